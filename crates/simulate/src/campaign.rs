//! The campaign that is simulated: a real manifest, with real data that a generator of whole numbers makes.

use std::fmt::Write as _;

use lichen_campaign::Manifest;
use lichen_learn::{Codec, Dataset, max_norm};
use lichen_model::initial_parameters;
use lichen_record::{CampaignId, Cid};
use lichen_round::Rules;

use crate::random::Random;
use crate::settings::Settings;

const SAMPLES: usize = 300;
const WIDTH: usize = 6;
const CLASSES: usize = 3;

/// How long a round waits for its cohort, in milliseconds.
pub(crate) const DEADLINE_MS: u64 = 8_000;

/// A campaign with all that follows from its manifest.
pub(crate) struct Campaign {
    pub(crate) id: CampaignId,
    pub(crate) manifest: Manifest,
    pub(crate) rules: Rules,
    pub(crate) data: Dataset,
    pub(crate) initial: Cid,
    pub(crate) initial_bytes: Vec<u8>,
    /// Number of the model's parameters.
    pub(crate) parameters: usize,
    pub(crate) max_norm: f64,
    pub(crate) codec: Codec,
}

impl Campaign {
    pub(crate) fn new(settings: &Settings) -> Self {
        let bytes = data();
        let text = manifest(settings, &Cid::of_raw(&bytes));
        let manifest = Manifest::parse(&text).unwrap();
        let parameters = initial_parameters(&manifest.model, manifest.rounds.seed).unwrap();
        let initial_bytes = parameters.to_safetensors();
        Self {
            id: CampaignId::of_manifest(text.as_bytes()),
            rules: Rules::from(&manifest),
            data: Dataset::decode(&bytes, &manifest).unwrap(),
            initial: Cid::of_raw(&initial_bytes),
            initial_bytes,
            parameters: parameters.elements(),
            max_norm: max_norm(&manifest).unwrap(),
            codec: Codec::new(manifest.update.encoding),
            manifest,
        }
    }
}

/// A safetensors file of three clouds of points with whole coordinates.
fn data() -> Vec<u8> {
    let mut random = Random::new(0, 2);
    let (mut x, mut y) = (Vec::with_capacity(SAMPLES * WIDTH), Vec::with_capacity(SAMPLES));
    for sample in 0..SAMPLES {
        let class = sample % CLASSES;
        for value in 0..WIDTH {
            let centre = if value % CLASSES == class { 150 } else { 90 };
            let noise = random.below(90) + random.below(90);
            x.push(u8::try_from((centre + noise).min(255)).unwrap_or(u8::MAX));
        }
        y.push(u8::try_from(class).unwrap_or(0));
    }
    let (middle, end) = (x.len(), x.len() + y.len());
    let header = format!(
        r#"{{"x":{{"dtype":"U8","shape":[{SAMPLES},{WIDTH}],"data_offsets":[0,{middle}]}},"y":{{"dtype":"U8","shape":[{SAMPLES}],"data_offsets":[{middle},{end}]}}}}"#
    );
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &x, &y].concat()
}

fn manifest(settings: &Settings, data: &Cid) -> String {
    let topology = if settings.is_mesh { "mesh" } else { "hub" };
    let Settings { minimum, quorum, extensions, rounds, seed, .. } = settings;
    let seed = seed % 1_000;
    // Repeated trainings and late ones happen between the rounds that are counted.
    let limit = rounds + 1_000;
    let deadline = DEADLINE_MS / 1_000;
    let mut text = format!(
        r#"version = 1
[campaign]
title = "A simulated campaign"
purpose = "Shows what becomes of a campaign when things go wrong."
licence = "CC0-1.0"
target_accuracy = 0.99
leaves_device = "Nothing: it is simulated."
[campaign.organiser]
name = "A simulation"
contact = "nobody"
[data]
kind = "shared"
file = "points.safetensors"
cid = "{data}"
samples = {SAMPLES}
classes = {CLASSES}
scale = 0.0078125
shard = 24
held_out_every = 5
credit = "A generator"
licence = "CC0-1.0"
[model]
input = [{WIDTH}]
loss = "softmax-cross-entropy"
[[model.layers]]
kind = "dense"
name = "output"
units = {CLASSES}
[train]
optimizer = "adam"
learning_rate = 0.1
batch = 8
steps = 6
[rounds]
topology = "{topology}"
interval_seconds = 1
deadline_seconds = {deadline}
minimum = {minimum}
extensions = {extensions}
quorum = {quorum}
limit = {limit}
seed = {seed}
"#
    );
    for (key, number) in [("cohort", settings.cohort), ("committee", settings.committee)] {
        if let Some(number) = number {
            let _always = writeln!(text, "{key} = {number}");
        }
    }
    if settings.robust {
        text += "[aggregation]\nrule = \"geometric-median\"\nbefore = \"nearest-neighbours\"\n";
    }
    if settings.audit {
        text += "[audit]\nshare = 0.3\n";
    }
    if settings.outer {
        text += "[outer]\noptimizer = \"nesterov\"\n";
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_campaign_is_sound_however_it_is_drawn() {
        for seed in 0..100 {
            let mut settings = Settings::drawn(seed);
            settings.seed = seed;
            let campaign = Campaign::new(&settings);
            assert_eq!(campaign.parameters, WIDTH * CLASSES + CLASSES);
            assert_eq!(campaign.rules.deadline_ms, DEADLINE_MS);
        }
    }
}
