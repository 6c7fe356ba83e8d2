//! What tabs and relays compute: real trainings of a small model, and what rounds come to by the real settler.
//!
//! What a round comes to is a pure function of its base and its updates. So it is computed once for equal inputs, whoever asks.

use std::collections::HashMap;
use std::rc::Rc;

use futures::FutureExt as _;
use futures::executor::block_on;
use lichen_engine::{EngineKind, EngineVersion, Evaluator, Trainer, version};
use lichen_learn::{Batches, difference};
use lichen_model::Parameters;
use lichen_record::{Cid, Metrics};
use lichen_round::{Input, Outcome, Repetition};
use lichen_settle::{Claim, Course, Settler, guarded, repeat};

use crate::campaign::Campaign;

/// Blobs by their ids: there is one copy of each, whoever holds it.
#[derive(Default)]
pub(crate) struct Blobs(HashMap<Cid, Rc<[u8]>>);

impl Blobs {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Cid {
        let cid = Cid::of_raw(bytes);
        self.0.entry(cid).or_insert_with(|| bytes.into());
        cid
    }

    pub(crate) fn get(&self, cid: &Cid) -> Option<Rc<[u8]>> {
        self.0.get(cid).cloned()
    }

    pub(crate) fn length(&self, cid: &Cid) -> usize {
        self.0.get(cid).map_or(0, |bytes| bytes.len())
    }

    pub(crate) fn retain(&mut self, is_kept: impl Fn(&Cid) -> bool) {
        self.0.retain(|cid, _bytes| is_kept(cid));
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// What a training gave.
pub(crate) struct Trained {
    pub(crate) update: Vec<f32>,
    pub(crate) metrics: Metrics,
}

/// Trains, aggregates and repeats.
pub(crate) struct Learning {
    campaign: Rc<Campaign>,
    trainer: Trainer,
    evaluator: Evaluator,
    settler: Settler,
    computed: HashMap<Cid, Outcome>,
}

impl Learning {
    pub(crate) fn new(campaign: Rc<Campaign>) -> Self {
        let manifest = &campaign.manifest;
        let data = campaign.data.choose(&guarded(manifest));
        Self {
            trainer: block_on(Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train)).unwrap(),
            evaluator: Evaluator::new(&manifest.model),
            settler: Settler::new(manifest, data).unwrap(),
            computed: HashMap::new(),
            campaign,
        }
    }

    pub(crate) const fn engine() -> EngineVersion {
        EngineVersion { kind: EngineKind::Cpu, version: version(EngineKind::Cpu) }
    }

    /// Trains as a tab does; none where the base is no checkpoint, or the numbers grow beyond all bounds.
    pub(crate) fn train(&mut self, base: &[u8], shard: &[u32], steps: u32, seed: u64) -> Option<Trained> {
        let base = Parameters::from_safetensors(base).ok()?;
        let batch = self.campaign.manifest.train.batch;
        let mut batches = Batches::new(shard.to_vec(), batch, seed);
        let data = &self.campaign.data;
        let trainer = &mut self.trainer;
        let (trained, losses) = block_on(async {
            trainer.load(&base, seed).await.ok()?;
            for _step in 0..steps {
                let (x, answers) = data.gather(&batches.next_batch());
                trainer.step(&x, &answers).await.ok()?;
            }
            Some((trainer.parameters().await.ok()?, trainer.take_losses().await.ok()?))
        })?;
        let (x, answers) = data.gather(shard);
        let accuracy = self.evaluator.evaluate(&trained, &x, &answers).ok()?.accuracy;
        let loss = losses.last().copied().map_or(0.0, f64::from).max(0.0);
        let metrics = Metrics::new(loss, accuracy, steps).ok()?;
        let change = difference(&base, &trained).ok()?.clipped(self.campaign.max_norm);
        Some(Trained { update: change.values().to_vec(), metrics })
    }

    /// What a round comes to; none where a blob is not among these, or the base is no checkpoint.
    pub(crate) fn settle(&mut self, blobs: &mut Blobs, base: Outcome, inputs: &[Input]) -> Option<Outcome> {
        let key = key(base, inputs);
        if let Some(known) = self.computed.get(&key) {
            return Some(*known);
        }
        let outcome = self.compute(blobs, base, inputs)?;
        self.computed.insert(key, outcome);
        Some(outcome)
    }

    fn compute(&mut self, blobs: &mut Blobs, base: Outcome, inputs: &[Input]) -> Option<Outcome> {
        let bytes = blobs.get(&base.result)?;
        let state = match &base.state {
            Some(state) => Some(blobs.get(state)?),
            None => None,
        };
        let mut sum = self.settler.aggregation(&bytes).ok()?;
        for input in inputs {
            let update = blobs.get(&input.update)?;
            sum.add_part(input.weight, self.settler.work(input.steps), &update);
        }
        let settled = self.settler.settle(&base.result, state.as_deref(), sum, async || {});
        let settled = settled.now_or_never()?.ok()?;
        for made in settled.checkpoint.iter().chain(&settled.next_state) {
            blobs.put(made);
        }
        Some(Outcome { result: settled.result, state: settled.state })
    }

    /// What comes of repeating a training; none where its base is not to be had.
    pub(crate) fn repeat(&self, blobs: &Blobs, repetition: &Repetition) -> Option<Cid> {
        let base = blobs.get(&repetition.base)?;
        let shard = self.campaign.data.choose(&repetition.shard);
        let Repetition { steps, seed, learning_rate, .. } = *repetition;
        let course = Course { base: &base, shard: &shard, steps, seed, learning_rate };
        let claim = Claim { update: repetition.update, trace: None };
        let repeated = repeat(&self.campaign.manifest, &course, &claim, None, async || {});
        repeated.now_or_never()?.ok().map(|repeated| repeated.found)
    }

    /// Held-out accuracy of a checkpoint.
    pub(crate) fn accuracy(&mut self, blobs: &Blobs, checkpoint: &Cid) -> Option<f64> {
        let parameters = Parameters::from_safetensors(&blobs.get(checkpoint)?).ok()?;
        let (x, answers) = self.campaign.data.gather(&self.campaign.manifest.data.split.held_out());
        self.evaluator.evaluate(&parameters, &x, &answers).ok().map(|quality| quality.accuracy)
    }

    /// Forgets what rounds came to that are over.
    pub(crate) fn forget(&mut self) {
        self.computed.clear();
    }
}

fn key(base: Outcome, inputs: &[Input]) -> Cid {
    let mut bytes = Vec::with_capacity(72 + inputs.len() * 44);
    bytes.extend(base.result.to_bytes());
    bytes.extend(base.state.iter().flat_map(Cid::to_bytes));
    for input in inputs {
        bytes.extend(input.update.digest());
        bytes.extend(input.weight.to_be_bytes());
        bytes.extend(input.steps.to_be_bytes());
    }
    Cid::of_raw(&bytes)
}
