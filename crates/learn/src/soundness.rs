//! Whether a campaign can be trained at all: the one check of manifest, model and data together, which the command line,
//! the relay and tabs share, so that none of them accepts what another refuses.

use alloc::string::String;

use lichen_campaign::model_spec::{LayerSpec, ModelSpec, TrainSpec};
use lichen_campaign::{Encoding, Manifest};
use lichen_model::graph::{Graph, ParameterInfo};
use lichen_model::{ModelError, layers};
use lichen_record::{Cid, MAX_BLOB};

use crate::file_kind::{FileKind, file_kind};
use crate::{Dataset, DatasetError, OuterState};

/// Bytes of a checkpoint or an update beside its numbers and names, for each tensor and once for the whole.
const FRAME: usize = 256;

/// What a model's checkpoints and updates take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelSize {
    /// Numbers that are learned or kept.
    pub parameters: usize,
    /// Most bytes of a checkpoint or an update.
    pub blob: usize,
}

/// Why a campaign cannot be trained, with the key of the manifest to change.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SoundnessError {
    /// Running statistics of batch normalisation do not grow with the steps as what is trained does.
    #[error(
        "train.seconds does not go with batch normalisation: its running statistics cannot be set off against numbers of steps. \
         Leave seconds out, or use layer or group normalisation"
    )]
    UnevenStatistics,
    /// The model cannot be built, or not for so large a batch.
    #[error("model: {0}")]
    Model(ModelError),
    /// Checkpoints would be larger than a blob may be.
    #[error(
        "model.layers.{key} makes the model too large: a checkpoint of {parameters} numbers takes {bytes} bytes, at most \
         {MAX_BLOB} are allowed. The layer \"{layer}\" is the largest, with {share} numbers: make it smaller"
    )]
    TooLarge {
        /// The largest layer.
        layer: String,
        /// The field that says how large it is.
        key: &'static str,
        /// Numbers of the largest layer.
        share: usize,
        /// Numbers of the model.
        parameters: usize,
        /// Bytes of a checkpoint.
        bytes: usize,
    },
    /// Gradients of single samples are asked for where one sample's depend on the others.
    #[error(
        "train.clip_sample_norm does not go with batch normalisation, which has no meaning for a single sample: use \
         group-norm or layer-norm"
    )]
    SampleClipping,
    /// Updates are packed where a part of them must arrive as it is.
    #[error(
        "update.codec \"{0}\" does not go with batch normalisation, whose running statistics must arrive as they are: use \
         \"dense\", or group-norm or layer-norm"
    )]
    Packing(&'static str),
    /// The outer optimiser would carry running statistics on from round to round.
    #[error(
        "outer.optimizer \"{0}\" does not go with batch normalisation, whose running statistics are no directions to go on \
         in: use \"mean\", or group-norm or layer-norm"
    )]
    OuterStatistics(&'static str),
    /// What the outer optimiser carries over would be larger than a blob may be.
    #[error(
        "outer.optimizer \"{word}\" keeps {bytes} bytes for a model of {parameters} numbers, at most {MAX_BLOB} are allowed: \
         use another, or make the model smaller"
    )]
    OuterTooLarge {
        /// The optimiser.
        word: &'static str,
        /// Numbers of the model.
        parameters: usize,
        /// Bytes that it keeps.
        bytes: usize,
    },
    /// The data file is of another kind.
    #[error("data.file {file} is {kind}, where a safetensors file belongs: {}", .kind.remedy().unwrap_or_default())]
    FileKind {
        /// The file's name.
        file: String,
        /// What it is.
        kind: FileKind,
    },
    /// The data file is not the one that the manifest names.
    #[error(
        "data.cid is {expected}, but the file {file} has {found}: if it is the right file, write that into data.cid"
    )]
    OtherFile {
        /// The file's name.
        file: String,
        /// The content id in the manifest.
        expected: Cid,
        /// The file's.
        found: Cid,
    },
    /// The data file does not hold what the manifest says.
    #[error("data.file {file}: {error}")]
    Data {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        error: DatasetError,
    },
}

/// Checks a manifest's model and the data file that it names.
///
/// # Errors
/// [`SoundnessError`] saying which key of the manifest to change, or what is wrong with the file.
pub fn check_campaign(manifest: &Manifest, data: &[u8]) -> Result<ModelSize, SoundnessError> {
    let size = check_model(&manifest.model, &manifest.train)?;
    check_packing(manifest)?;
    check_outer(manifest, size.parameters)?;
    check_data(manifest, data)?;
    Ok(size)
}

/// Checks that a model can be built for its batches, and that its checkpoints are small enough to be exchanged.
///
/// # Errors
/// [`SoundnessError`] saying which key of the manifest to change.
pub fn check_model(model: &ModelSpec, train: &TrainSpec) -> Result<ModelSize, SoundnessError> {
    check_training(model, train)?;
    let graph = layers::build(model, 1).map_err(SoundnessError::Model)?;
    let parameters = graph.parameters().iter().map(elements).fold(0, usize::saturating_add);
    let names = graph.parameters().iter().map(|parameter| parameter.name.len() + FRAME);
    let blob = names.fold(parameters.saturating_mul(4).saturating_add(FRAME), usize::saturating_add);
    if blob > MAX_BLOB {
        return Err(too_large(&graph, model, parameters, blob));
    }
    Ok(ModelSize { parameters, blob })
}

/// Checks that a model can be trained, in batches as large as asked for; its checkpoints may be of any size.
///
/// # Errors
/// [`SoundnessError`] saying which key of the manifest to change.
pub fn check_training(model: &ModelSpec, train: &TrainSpec) -> Result<(), SoundnessError> {
    let graph = layers::build(model, train.batch).map_err(SoundnessError::Model)?;
    let has_statistics = graph.parameters().iter().any(|parameter| !parameter.trained);
    if train.clip_sample_norm.is_some() && has_statistics {
        return Err(SoundnessError::SampleClipping);
    }
    if train.budget.is_some() && has_statistics {
        return Err(SoundnessError::UnevenStatistics);
    }
    Ok(())
}

fn check_packing(manifest: &Manifest) -> Result<(), SoundnessError> {
    let encoding = manifest.update.encoding;
    if encoding != Encoding::Dense && has_statistics(&manifest.model)? {
        return Err(SoundnessError::Packing(encoding.word()));
    }
    Ok(())
}

fn check_outer(manifest: &Manifest, parameters: usize) -> Result<(), SoundnessError> {
    let (optimizer, word) = (&manifest.outer, manifest.outer.word());
    if optimizer.moments() > 0 && has_statistics(&manifest.model)? {
        return Err(SoundnessError::OuterStatistics(word));
    }
    let bytes = OuterState::most_bytes(optimizer, parameters);
    if bytes > MAX_BLOB {
        return Err(SoundnessError::OuterTooLarge { word, parameters, bytes });
    }
    Ok(())
}

/// Whether the model keeps running statistics, which are not trained.
fn has_statistics(model: &ModelSpec) -> Result<bool, SoundnessError> {
    let graph = layers::build(model, 1).map_err(SoundnessError::Model)?;
    Ok(graph.parameters().iter().any(|parameter| !parameter.trained))
}

fn check_data(manifest: &Manifest, data: &[u8]) -> Result<(), SoundnessError> {
    let file = || manifest.data.file.clone();
    // Before the id: whoever has the wrong file must not be told to write its id into the manifest.
    if let Some(kind) = file_kind(data).filter(|kind| kind.remedy().is_some()) {
        return Err(SoundnessError::FileKind { file: file(), kind });
    }
    if !manifest.data.cid.matches(data) {
        let (expected, found) = (manifest.data.cid, Cid::of_raw(data));
        return Err(SoundnessError::OtherFile { file: file(), expected, found });
    }
    match Dataset::decode(data, manifest) {
        Ok(_samples) => Ok(()),
        Err(error) => Err(SoundnessError::Data { file: file(), error }),
    }
}

fn elements(parameter: &ParameterInfo) -> usize {
    parameter.shape.iter().product()
}

/// Names the layer whose parameters are most.
fn too_large(graph: &Graph, model: &ModelSpec, parameters: usize, bytes: usize) -> SoundnessError {
    let belongs = |parameter: &ParameterInfo, layer: &str| {
        parameter.name.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'))
    };
    let share = |layer: &str| {
        graph.parameters().iter().filter(|parameter| belongs(parameter, layer)).map(elements).sum::<usize>()
    };
    let layers =
        model.layers.iter().enumerate().map(|(position, layer)| (layer.full_name("", position), layer));
    let largest = layers.map(|(name, layer)| (share(&name), name, size_key(layer))).max();
    let (share, layer, key) = largest.unwrap_or_default();
    SoundnessError::TooLarge { layer, key, share, parameters, bytes }
}

/// The field of a layer that its number of parameters follows from.
fn size_key(layer: &LayerSpec) -> &'static str {
    match layer {
        LayerSpec::Dense { .. } | LayerSpec::Gru { .. } | LayerSpec::Lstm { .. } => "units",
        LayerSpec::Embedding { .. } => "vocabulary",
        LayerSpec::Conv { .. } | LayerSpec::ConvTranspose { .. } | LayerSpec::ConvBlock { .. } => "filters",
        _ => "kind",
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::*;

    const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
    const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

    fn manifest(from: &str, to: &str) -> Manifest {
        let text = MANIFEST.replace(from, to);
        assert!(from.is_empty() || text != MANIFEST, "{from} is in the manifest");
        Manifest::parse(&text).unwrap()
    }

    fn said(manifest: &Manifest, data: &[u8]) -> String {
        check_campaign(manifest, data).unwrap_err().to_string()
    }

    #[test]
    fn the_digits_campaign_is_sound() {
        let size = check_campaign(&manifest("", ""), DATA).unwrap();
        assert_eq!(size.parameters, 64 * 32 + 32 + 32 * 10 + 10);
        let checkpoint =
            lichen_model::initial_parameters(&manifest("", "").model, 7).unwrap().to_safetensors();
        assert!((checkpoint.len()..checkpoint.len() + 4096).contains(&size.blob), "{size:?}");
    }

    #[test]
    fn a_model_whose_checkpoints_no_relay_takes_is_refused_by_its_key() {
        let said = said(&manifest("units = 32", "units = 230000"), DATA);
        assert!(said.starts_with("model.layers.units makes the model too large"), "{said}");
        assert!(said.contains("\"hidden\"") && said.contains("67108864"), "{said}");
    }

    #[test]
    fn a_batch_that_no_memory_holds_is_refused() {
        let text = MANIFEST
            .replace("samples = 1797", "samples = 16777216")
            .replace("shard = 480", "shard = 8388608")
            .replace("batch = 32", "batch = 8388608")
            .replace("units = 32", "units = 4096");
        let manifest = Manifest::parse(&text).unwrap();
        let refused = check_model(&manifest.model, &manifest.train);
        assert!(matches!(refused, Err(SoundnessError::Model(ModelError::TooLarge { .. }))), "{refused:?}");
    }

    #[test]
    fn uneven_work_behind_batch_normalisation_is_refused() {
        let unaudited = MANIFEST.split("[audit]").next().unwrap();
        let budget = unaudited.replace("steps = 60", "steps = 60\nseconds = 1");
        let layer = "[[model.layers]]";
        let norm = budget.replacen(layer, &format!("{layer}\nkind = \"batch-norm\"\n\n{layer}"), 1);
        let check = |text: &str| check_campaign(&Manifest::parse(text).unwrap(), DATA);
        assert_eq!(check(&norm), Err(SoundnessError::UnevenStatistics));
        assert!(check(&budget).is_ok());
    }

    #[test]
    fn clipping_single_samples_behind_batch_normalisation_is_refused_everywhere() {
        let text = MANIFEST.replace("steps = 60", "steps = 60\nclip_sample_norm = 1.0").replacen(
            "[[model.layers]]",
            "[[model.layers]]\nkind = \"batch-norm\"\n\n[[model.layers]]",
            1,
        );
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!(check_model(&manifest.model, &manifest.train), Err(SoundnessError::SampleClipping));
    }

    #[test]
    fn packing_running_statistics_is_refused() {
        let text = MANIFEST.replacen(
            "[[model.layers]]",
            "[[model.layers]]\nkind = \"batch-norm\"\n\n[[model.layers]]",
            1,
        );
        for codec in ["int8", "sign", "sparse"] {
            let packed = format!("{text}\n[update]\ncodec = \"{codec}\"\nfeedback = 0\n");
            let packed = Manifest::parse(&packed).unwrap();
            assert_eq!(check_campaign(&packed, DATA), Err(SoundnessError::Packing(codec)));
        }
        assert!(check_campaign(&Manifest::parse(&text).unwrap(), DATA).is_ok());
        let packed = manifest("[rounds]", "[update]\ncodec = \"sign\"\nfeedback = 0\n[rounds]");
        assert!(check_campaign(&packed, DATA).is_ok());
    }

    #[test]
    fn what_an_outer_optimiser_cannot_carry_over_is_refused() {
        let outer = |text: &str, word: &str| {
            Manifest::parse(&format!("{text}\n[outer]\noptimizer = \"{word}\"\n")).unwrap()
        };
        let layer = "[[model.layers]]";
        let norm = MANIFEST.replacen(layer, &format!("{layer}\nkind = \"batch-norm\"\n\n{layer}"), 1);
        for word in ["momentum", "nesterov", "adam", "yogi"] {
            assert_eq!(check_campaign(&outer(&norm, word), DATA), Err(SoundnessError::OuterStatistics(word)));
        }
        assert!(check_campaign(&outer(&norm, "mean"), DATA).is_ok());
        // A checkpoint of so many parameters is small enough, and so is one moment of them, but not two.
        let large = MANIFEST.replace("units = 32", "units = 120000");
        assert!(check_campaign(&outer(&large, "mean"), DATA).is_ok());
        assert!(check_campaign(&outer(&large, "momentum"), DATA).is_ok());
        let refused = check_campaign(&outer(&large, "adam"), DATA);
        assert!(matches!(refused, Err(SoundnessError::OuterTooLarge { word: "adam", .. })), "{refused:?}");
    }

    #[test]
    fn a_file_of_another_kind_is_named_and_its_id_is_not_offered() {
        let files: [(&[u8], &str); 5] = [
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
            (b"<!doctype html><p>Not found", "a web page"),
            (b"\x93NUMPY\x01\0v\0{'descr': '<f4'}", "a NumPy array"),
            (b"x0,x1,label\n1,2,0\n", "a table as text (CSV)"),
            (b"", "an empty file"),
        ];
        for (data, expected) in files {
            let said = said(&manifest("", ""), data);
            assert!(said.contains(expected) && !said.contains("bafk"), "{said}");
        }
    }

    #[test]
    fn another_data_file_is_refused_with_both_ids() {
        let mut data: Vec<u8> = DATA.to_vec();
        *data.last_mut().unwrap() ^= 1;
        let said = said(&manifest("", ""), &data);
        assert!(said.starts_with("data.cid is bafk") && said.contains("write that into data.cid"), "{said}");
    }
}
