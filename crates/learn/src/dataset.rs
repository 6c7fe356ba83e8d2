use alloc::vec::Vec;

use lichen_campaign::Manifest;
use lichen_model::ModelError;
use lichen_model::safetensors::{self, ElementType, View};
use lichen_record::MAX_BLOB;

/// A campaign's samples, scaled and ready for the model, and their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    width: usize,
    values: Vec<f32>,
    labels: Vec<u32>,
}

/// Why a data file was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DatasetError {
    /// The file is larger than a blob may be.
    #[error("the data file has {0} bytes, more than a blob may have")]
    TooLarge(usize),
    /// The file is not one of safetensors.
    #[error("the data file is broken: {0}")]
    File(ModelError),
    /// The tensors are not `x` and `y`.
    #[error("the data file must hold the tensors \"x\" and \"y\" and nothing else")]
    Tensors,
    /// A tensor's elements are of a type that is not read here.
    #[error("the elements of tensor \"{0}\" are of a type that is not read here")]
    ElementType(&'static str),
    /// A tensor's shape is not the one that the manifest says.
    #[error("the shape of tensor \"{0}\" is not the one that the manifest says")]
    Shape(&'static str),
    /// A value is infinite or not a number.
    #[error("a value of sample {0} is not finite")]
    NotFinite(usize),
    /// A label is none of the classes.
    #[error("the label of sample {0} is none of the classes")]
    Label(usize),
}

impl Dataset {
    /// Reads a safetensors file with the tensors `x` (`U8` or `F32`, first extent the number of samples, the others
    /// together as many as the model's input has) and `y` (`U8` or `I64`, one label for each sample).
    ///
    /// The caller has checked the bytes against the manifest's content id.
    ///
    /// # Errors
    /// [`DatasetError`] if the file is broken or not what the manifest says.
    pub fn decode(bytes: &[u8], manifest: &Manifest) -> Result<Self, DatasetError> {
        if bytes.len() > MAX_BLOB {
            return Err(DatasetError::TooLarge(bytes.len()));
        }
        let tensors = safetensors::read(bytes).map_err(DatasetError::File)?;
        let (Some(x), Some(y), 2) = (tensors.get("x"), tensors.get("y"), tensors.len()) else {
            return Err(DatasetError::Tensors);
        };
        let samples = manifest.data.split.samples as usize;
        let width = manifest.model.input.iter().product();
        Ok(Self {
            width,
            values: read_values(x, samples, width, manifest.data.scale)?,
            labels: read_labels(y, samples, manifest.data.classes)?,
        })
    }

    /// Number of samples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Values of one sample.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// A sample's values, scaled, and its label.
    #[must_use]
    pub fn sample(&self, index: u32) -> Option<(&[f32], u32)> {
        let index = index as usize;
        let label = *self.labels.get(index)?;
        let start = index.checked_mul(self.width)?;
        let values = self.values.get(start..start.checked_add(self.width)?)?;
        Some((values, label))
    }

    /// The samples with these indices, in this order: values row by row, and labels. Indices that there are not are
    /// left out.
    #[must_use]
    pub fn gather(&self, indices: &[u32]) -> (Vec<f32>, Vec<u32>) {
        let mut values = Vec::with_capacity(indices.len() * self.width);
        let mut labels = Vec::with_capacity(indices.len());
        for (sample, label) in indices.iter().filter_map(|index| self.sample(*index)) {
            values.extend_from_slice(sample);
            labels.push(label);
        }
        (values, labels)
    }
}

fn read_values(x: &View<'_>, samples: usize, width: usize, scale: f32) -> Result<Vec<f32>, DatasetError> {
    if !matches!(x.element, ElementType::U8 | ElementType::F32) {
        return Err(DatasetError::ElementType("x"));
    }
    // The reader has checked that the extents' product is the number of elements.
    let Some((&extent, inner)) = x.shape.split_first() else { return Err(DatasetError::Shape("x")) };
    if extent != samples || inner.iter().product::<usize>() != width {
        return Err(DatasetError::Shape("x"));
    }
    let mut values = x.to_f32();
    for value in &mut values {
        *value *= scale;
    }
    match values.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(DatasetError::NotFinite(index / width.max(1))),
        None => Ok(values),
    }
}

fn read_labels(y: &View<'_>, samples: usize, classes: u32) -> Result<Vec<u32>, DatasetError> {
    if !matches!(y.element, ElementType::U8 | ElementType::I64) {
        return Err(DatasetError::ElementType("y"));
    }
    if y.shape != [samples] {
        return Err(DatasetError::Shape("y"));
    }
    let label = |(index, label): (usize, i64)| match u32::try_from(label) {
        Ok(label) if label < classes => Ok(label),
        _ => Err(DatasetError::Label(index)),
    };
    y.to_integers().unwrap_or_default().into_iter().enumerate().map(label).collect()
}
