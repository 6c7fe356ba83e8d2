//! Reads a campaign's data file and prepares its samples for the model.

use alloc::vec::Vec;

use lichen_campaign::Manifest;
use lichen_campaign::model_spec::ModelSpec;
use lichen_model::safetensors::{self, ElementType, View};
use lichen_model::{Answers, ModelError, answers_per_sample, pick};
use lichen_record::MAX_BLOB;

/// A campaign's samples, scaled and ready for the model, and the answers wanted for them.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    samples: usize,
    width: usize,
    values: Vec<f32>,
    answers: Answers,
}

/// Why a data file was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DatasetError {
    /// The file is larger than a blob may be.
    #[error("the data file has {0} bytes, more than a blob may have")]
    TooLarge(usize),
    /// The file is not one of safetensors.
    #[error("the data file is broken: {0}")]
    File(ModelError),
    /// The manifest's model cannot be built.
    #[error("the manifest's model: {0}")]
    Model(ModelError),
    /// The tensors are not `x` and `y`.
    #[error("the data file must hold the tensors \"x\" and \"y\" and nothing else")]
    Tensors,
    /// A tensor's elements are of a type that is not read here.
    #[error("the elements of tensor \"{0}\" are of a type that is not read here")]
    ElementType(&'static str),
    /// A tensor's shape is not the one that the manifest says.
    #[error("the shape of tensor \"{0}\" is not the one that the manifest says")]
    Shape(&'static str),
    /// A value or an answer is infinite or not a number.
    #[error("a value of sample {0} is not finite")]
    NotFinite(usize),
    /// A label is none of the classes.
    #[error("the label of sample {0} is none of the classes")]
    Label(usize),
}

impl Dataset {
    /// Reads a safetensors file with the tensors `x` (`U8`, `I64` or `F32`, first extent the number of samples, the
    /// others together as many as the model's input has) and `y`: as many answers for each sample as the model gives,
    /// labels (whole numbers of any type) where the manifest counts classes, else numbers (`U8` or `F32`).
    ///
    /// The caller has checked the bytes against the manifest's content id.
    ///
    /// # Errors
    /// [`DatasetError`] if the file is broken or not what the manifest says.
    pub fn decode(bytes: &[u8], manifest: &Manifest) -> Result<Self, DatasetError> {
        let file = DataFile::open(bytes, manifest)?;
        file.read(&file.x, &file.y, file.samples)
    }

    /// Only the samples with these indices, in this order: far less memory than [`Dataset::decode`] and a choice among all.
    ///
    /// # Errors
    /// As [`Dataset::decode`], as far as these samples are concerned.
    pub fn decode_samples(bytes: &[u8], manifest: &Manifest, indices: &[u32]) -> Result<Self, DatasetError> {
        let file = DataFile::open(bytes, manifest)?;
        let chosen = || indices.iter().map(|&index| index as usize);
        let [x, y] = [&file.x, &file.y].map(|tensor| pick(tensor.bytes, file.samples, chosen()));
        let [x, y] = [(&file.x, &x), (&file.y, &y)].map(|(tensor, bytes)| {
            let inner = tensor.shape.iter().skip(1).copied();
            View {
                element: tensor.element,
                shape: core::iter::once(indices.len()).chain(inner).collect(),
                bytes,
            }
        });
        let place = |index: usize| indices.get(index).map_or(index, |&sample| sample as usize);
        file.read(&x, &y, indices.len()).map_err(|error| match error {
            DatasetError::NotFinite(index) => DatasetError::NotFinite(place(index)),
            DatasetError::Label(index) => DatasetError::Label(place(index)),
            other => other,
        })
    }

    /// The samples with these indices, in this order. Indices that there are not are left out.
    #[must_use]
    pub fn choose(&self, indices: &[u32]) -> Self {
        let (values, answers) = self.gather(indices);
        Self { samples: values.len() / self.width.max(1), width: self.width, values, answers }
    }

    /// Number of samples.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.samples
    }

    /// Whether there are no samples.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// Values of one sample.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// The samples with these indices, in this order: values row by row, and answers. Indices that there are not are
    /// left out.
    #[must_use]
    pub fn gather(&self, indices: &[u32]) -> (Vec<f32>, Answers) {
        let chosen = || indices.iter().map(|&index| index as usize);
        (pick(&self.values, self.samples, chosen()), self.answers.pick(self.samples, chosen()))
    }
}

/// A data file whose tensors have the shapes that the manifest says.
struct DataFile<'a> {
    manifest: &'a Manifest,
    samples: usize,
    width: usize,
    per_sample: usize,
    x: View<'a>,
    y: View<'a>,
}

impl<'a> DataFile<'a> {
    fn open(bytes: &'a [u8], manifest: &'a Manifest) -> Result<Self, DatasetError> {
        if bytes.len() > MAX_BLOB {
            return Err(DatasetError::TooLarge(bytes.len()));
        }
        let tensors = safetensors::read(bytes).map_err(DatasetError::File)?;
        let Ok([(first, x), (second, y)]) = <[_; 2]>::try_from(tensors) else {
            return Err(DatasetError::Tensors);
        };
        if first != "x" || second != "y" {
            return Err(DatasetError::Tensors);
        }
        let samples = manifest.data.split.samples as usize;
        let width = manifest.model.input.iter().product();
        check_shape("x", &x, samples, width)?;
        let per_sample = answers_per_sample(&manifest.model).map_err(DatasetError::Model)?;
        check_shape("y", &y, samples, per_sample)?;
        Ok(Self { manifest, samples, width, per_sample, x, y })
    }

    /// Reads so many samples of these tensors.
    fn read(&self, x: &View<'_>, y: &View<'_>, samples: usize) -> Result<Dataset, DatasetError> {
        let Self { manifest, width, per_sample, .. } = *self;
        let values = read_numbers("x", x, width, manifest.data.scale)?;
        let answers = match manifest.data.classes {
            Some(classes) => Answers::Labels(read_labels(y, per_sample, classes, &manifest.model)?),
            None => Answers::Values(read_numbers("y", y, per_sample, 1.0)?),
        };
        Ok(Dataset { samples, width, values, answers })
    }
}

/// `width` numbers for each sample.
fn read_numbers(
    name: &'static str,
    tensor: &View<'_>,
    width: usize,
    scale: f32,
) -> Result<Vec<f32>, DatasetError> {
    let is_token = name == "x" && tensor.element == ElementType::I64;
    if !is_token && !matches!(tensor.element, ElementType::U8 | ElementType::F32) {
        return Err(DatasetError::ElementType(name));
    }
    let mut values = tensor.to_f32();
    for value in &mut values {
        *value *= scale;
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(DatasetError::NotFinite(index / width.max(1))),
        None => Ok(values),
    }
}

/// `width` labels for each sample.
fn read_labels(
    y: &View<'_>,
    width: usize,
    classes: u32,
    model: &ModelSpec,
) -> Result<Vec<u32>, DatasetError> {
    let labels = y.to_integers().ok_or(DatasetError::ElementType("y"))?;
    let ignored = model.ignored();
    let label = |(index, label)| {
        let known = model.label(label).filter(|&label| label < classes || Some(label) == ignored);
        known.ok_or(DatasetError::Label(index / width.max(1)))
    };
    labels.into_iter().enumerate().map(label).collect()
}

fn check_shape(
    name: &'static str,
    tensor: &View<'_>,
    samples: usize,
    width: usize,
) -> Result<(), DatasetError> {
    // The reader has checked that the extents' product is the number of elements.
    match tensor.shape.split_first() {
        Some((&extent, inner)) if extent == samples && inner.iter().product::<usize>() == width => Ok(()),
        _ => Err(DatasetError::Shape(name)),
    }
}
