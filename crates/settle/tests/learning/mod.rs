//! Several peers that learn the digits together, in one thread and without a network.

mod shards;

use futures::executor::block_on;
use lichen_campaign::Manifest;
use lichen_engine::{EngineKind, Trainer};
use lichen_learn::{Aggregation, BaseOf, Codec, Dataset, Residual, Update, difference, max_norm};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::{CampaignId, Cid, RoundNumber};
use lichen_settle::Measurer;

pub(crate) use shards::Shards;
use shards::{Random, split};

const MANIFEST: &str = include_str!("../../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../../relay/campaigns/digits/digits.safetensors");

/// Who learns, on what, and what of it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) peers: usize,
    pub(crate) shards: Shards,
    pub(crate) seed: u64,
    pub(crate) rounds: u64,
    /// What the manifest's `[update]` says.
    pub(crate) update: &'a str,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// Accuracy on the held-out samples after every round.
    pub(crate) accuracy: Vec<f64>,
    /// Bytes of an update.
    pub(crate) bytes: usize,
    pub(crate) parameters: usize,
}

impl Outcome {
    pub(crate) fn last(&self) -> f64 {
        self.accuracy.last().copied().unwrap_or(0.0)
    }
}

/// One of those who learn.
struct Peer {
    samples: Vec<u32>,
    random: Random,
    residual: Residual,
    accepted: Option<(RoundNumber, Cid)>,
}

/// A campaign with its model as far as it has come.
struct Campaign {
    manifest: Manifest,
    codec: Codec,
    max_norm: f64,
    data: Dataset,
    base: Parameters,
    trainer: Trainer,
}

/// Has these peers learn together for so many rounds.
pub(crate) fn learn(setting: &Setting<'_>) -> Outcome {
    let text = manifest(setting.update);
    let mut campaign = Campaign::new(&text, setting.seed);
    let mut peers = campaign.peers(&text, setting);
    let mut measurer = Measurer::new(&campaign.manifest.model);
    let held_out = campaign.manifest.data.split.held_out();
    let parameters = campaign.base.elements();
    let mut outcome = Outcome { accuracy: Vec::new(), bytes: 0, parameters };
    for round in 1..=setting.rounds {
        outcome.bytes = campaign.round(RoundNumber(round), &mut peers);
        let measured = measurer.measure(&campaign.base, &campaign.data, &held_out, async || {});
        outcome.accuracy.push(block_on(measured).unwrap().accuracy);
    }
    outcome
}

/// The digits campaign's manifest with a wider model, whose 19,210 parameters are five chunks of the sparse encoding, with
/// shorter rounds, and with this said of updates.
fn manifest(update: &str) -> String {
    let text = MANIFEST.replace("units = 32", "units = 256").replace("steps = 60", "steps = 20");
    format!("{text}\n[update]\n{update}\n")
}

impl Campaign {
    fn new(text: &str, seed: u64) -> Self {
        let manifest = Manifest::parse(text).unwrap();
        let data = Dataset::decode(DATA, &manifest).unwrap();
        let base = initial_parameters(&manifest.model, seed).unwrap();
        let trainer = block_on(Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train)).unwrap();
        let (codec, max_norm) = (Codec::new(manifest.update.encoding), max_norm(&manifest).unwrap());
        Self { manifest, codec, max_norm, data, base, trainer }
    }

    fn peers(&self, text: &str, setting: &Setting<'_>) -> Vec<Peer> {
        let campaign = CampaignId::of_manifest(text.as_bytes());
        let base_of = BaseOf { campaign, codec: self.codec, parameters: self.base.elements() };
        let training = self.manifest.data.split.training();
        let parts = split(&self.data, training, setting.peers, setting.shards, setting.seed);
        let peer = |(index, samples)| Peer {
            samples,
            random: Random::new(setting.seed * 1000 + index),
            residual: Residual::new(base_of),
            accepted: None,
        };
        (0..).zip(parts).map(peer).collect()
    }

    /// One round of all, after which the base is what came of it; bytes of the last update.
    fn round(&mut self, round: RoundNumber, peers: &mut [Peer]) -> usize {
        let bytes = self.base.to_safetensors();
        let base = Cid::of_raw(&bytes);
        let mut sum =
            Aggregation::new(&bytes, self.codec, self.max_norm, &self.manifest.aggregation).unwrap();
        let mut length = 0;
        for peer in peers {
            let change = block_on(self.train(peer));
            let update = match self.manifest.update.feedback {
                None => change.clipped(self.max_norm).encode().unwrap(),
                Some(_share) => {
                    let Peer { residual, accepted, .. } = peer;
                    let rule = &self.manifest.update;
                    residual.pack((round, base), &change, *accepted, rule, self.max_norm).unwrap()
                }
            };
            peer.accepted = Some((round, Cid::of_raw(&update)));
            length = update.len();
            assert!(sum.add(u32::try_from(peer.samples.len()).unwrap(), &update), "it counts");
        }
        self.base = sum.finish();
        length
    }

    async fn train(&mut self, peer: &mut Peer) -> Update {
        let train = &self.manifest.train;
        self.trainer.load(&self.base, peer.random.next()).await.unwrap();
        for _step in 0..train.steps {
            let batch: Vec<u32> =
                (0..train.batch).map(|_sample| peer.samples[peer.random.below(peer.samples.len())]).collect();
            let (x, answers) = self.data.gather(&batch);
            self.trainer.step(&x, &answers).await.unwrap();
        }
        difference(&self.base, &self.trainer.parameters().await.unwrap()).unwrap()
    }
}
