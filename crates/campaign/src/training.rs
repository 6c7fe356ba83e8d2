//! The part of a manifest that local training needs: model, optimiser and scaling.

use alloc::vec::Vec;

use toml::de::DeTable;

use crate::model_spec::{ModelSpec, TrainSpec, read_model, read_train};
use crate::reader::Reader;
use crate::reader::{read_text, to_f32};
use crate::{Fault, ManifestError};

/// What else a campaign says of its data, which is not read here.
const DATA_OF_CAMPAIGNS: [&str; 9] =
    ["kind", "file", "cid", "samples", "classes", "shard", "held_out_every", "credit", "licence"];

/// What a manifest says about training alone: `[model]`, `[train]` and `data.scale`, whatever else it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Training {
    /// What is trained.
    pub model: ModelSpec,
    /// How.
    pub train: TrainSpec,
    /// What every stored value is multiplied with before it is fed to the model; none unless given.
    pub scale: Option<f32>,
}

impl Training {
    /// Reads and checks the tables that training needs, of a text that need not be a whole campaign's manifest.
    ///
    /// # Errors
    /// [`ManifestError`] with everything that is wrong.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        read_text(text, read_training)
    }
}

fn read_training(table: &DeTable<'_>, faults: &mut Vec<Fault>) -> Option<Training> {
    let mut reader = Reader::new("", Some(table), faults);
    let [model, train] = ["model", "train"].map(|name| reader.table(name));
    let data = reader.value("data").and_then(|_| reader.table("data"));
    let mut reader = Reader::new("data", data, faults);
    let scale = reader.optional_number("scale", 1e-30..=1e30);
    for campaigns in DATA_OF_CAMPAIGNS {
        reader.value(campaigns);
    }
    reader.finish();
    let model = read_model(model, faults);
    let train = read_train(train, faults);
    Some(Training { model: model?, train: train?, scale: scale?.map(to_f32) })
}
