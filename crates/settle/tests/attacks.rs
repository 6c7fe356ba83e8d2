//! What hostile updates come to, on the digits campaign: nothing.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use futures::executor::block_on;
use lichen_campaign::Manifest;
use lichen_engine::{EngineKind, Trainer};
use lichen_learn::{Dataset, Quality, Update, difference, max_norm};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::Cid;
use lichen_settle::{Measurer, Settled, Settler, guarded};

const MANIFEST: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");
/// Norms that say nothing.
const WIDE: &str = "\n[update]\nmax_norm = 1e12\n";

struct Campaign {
    manifest: Manifest,
    data: Dataset,
    settler: Settler,
    base: Parameters,
}

impl Campaign {
    /// The digits campaign after some rounds, with more said in its manifest.
    fn new(more: &str) -> Self {
        Self::of(&format!("{MANIFEST}{more}"), 10)
    }

    fn of(text: &str, rounds: usize) -> Self {
        let manifest = Manifest::parse(text).unwrap();
        let data = Dataset::decode(DATA, &manifest).unwrap();
        let settler = Settler::new(&manifest, data.choose(&guarded(&manifest))).unwrap();
        let base = initial_parameters(&manifest.model, manifest.rounds.seed).unwrap();
        let mut campaign = Self { manifest, data, settler, base };
        for round in 0..rounds {
            let update = campaign.honest(round);
            let settled = campaign.settle(&[&update]);
            assert_eq!(settled.set_aside, None, "round {round}");
            campaign.base = Parameters::from_safetensors(&settled.checkpoint.unwrap()).unwrap();
        }
        campaign
    }

    /// What somebody learns who trains as the manifest says.
    fn honest(&self, round: usize) -> Update {
        let samples = self.manifest.data.split.training();
        let train = &self.manifest.train;
        let trained = block_on(async {
            let mut trainer = Trainer::new(EngineKind::Cpu, &self.manifest.model, train).await.unwrap();
            trainer.load(&self.base, 1).await.unwrap();
            let batches = samples.chunks_exact(train.batch).cycle().skip(round * 7);
            for batch in batches.take(train.steps as usize) {
                let (x, answers) = self.data.gather(batch);
                trainer.step(&x, &answers).await.unwrap();
            }
            trainer.parameters().await.unwrap()
        });
        difference(&self.base, &trained).unwrap()
    }

    /// The same for every parameter, with signs that come and go.
    fn hostile(&self, value: f32) -> Update {
        let sign = |index: usize| if (index * 2_654_435_761) & 64 == 0 { value } else { -value };
        Update::new((0..self.base.elements()).map(sign).collect()).unwrap()
    }

    fn settle(&mut self, updates: &[&Update]) -> Settled {
        let bytes = self.base.to_safetensors();
        let mut aggregation = self.settler.aggregation(&bytes).unwrap();
        for update in updates {
            aggregation.add(480, &update.encode().unwrap());
        }
        block_on(self.settler.settle(&Cid::of_raw(&bytes), None, aggregation, async || {})).unwrap()
    }

    fn quality(&self, parameters: &Parameters) -> Quality {
        let held_out = self.manifest.data.split.held_out();
        let mut measurer = Measurer::new(&self.manifest.model);
        block_on(measurer.measure(parameters, &self.data, &held_out, async || {})).unwrap()
    }

    /// Whatever comes of these updates, the campaign is about where it was; and honest work goes on from there.
    fn survives(&mut self, updates: &[&Update]) -> Settled {
        let before = self.quality(&self.base);
        let settled = self.settle(updates);
        if let Some(checkpoint) = &settled.checkpoint {
            let after = self.quality(&Parameters::from_safetensors(checkpoint).unwrap());
            assert!(after.accuracy > before.accuracy - 0.1 && after.loss < 1.0, "{after:?} after {before:?}");
        } else {
            assert_eq!(settled.result, Cid::of_raw(&self.base.to_safetensors()));
        }
        settled
    }
}

#[test]
fn hostile_updates_beyond_the_bound_do_not_count() {
    let mut campaign = Campaign::new("");
    assert!(campaign.quality(&campaign.base).accuracy > 0.9);
    let honest = campaign.honest(9);
    let alone = campaign.settle(&[&honest]);
    assert!(alone.checkpoint.is_some());
    for value in [f32::MAX, 1e6, 10.0, 1.0] {
        for hostile in
            [Update::new(vec![value; 2410]).unwrap(), campaign.hostile(value), campaign.hostile(-value)]
        {
            assert_eq!(campaign.survives(&[&honest, &hostile]), alone, "{value}");
            assert_eq!(campaign.survives(&[&hostile]).set_aside, None, "nothing counted");
        }
    }
}

#[test]
fn hostile_updates_within_the_bound_are_set_aside() {
    for (more, values) in [("", &[0.48][..]), (WIDE, &[1e9, 1e6, 10.0, 2.0][..])] {
        let mut campaign = Campaign::new(more);
        let honest = campaign.honest(9);
        for value in values {
            for hostile in [campaign.hostile(*value), campaign.hostile(-value)] {
                assert!(hostile.norm() <= campaign.settler.max_norm());
                let beside: &[&Update] = if more.is_empty() { &[] } else { &[&honest] };
                let settled = campaign.survives(&[&[&hostile], beside].concat());
                let set_aside = settled.set_aside.unwrap();
                assert!(set_aside.result.accuracy < set_aside.base.accuracy, "{set_aside:?}");
                assert_eq!(settled.checkpoint, None);
            }
        }
        // Honest work goes on.
        let alone = campaign.settle(&[&honest]);
        assert!(alone.checkpoint.is_some(), "{alone:?}");
    }
}

#[test]
fn to_unlearn_everything_at_once_is_set_aside() {
    let mut campaign = Campaign::new("");
    let initial = initial_parameters(&campaign.manifest.model, campaign.manifest.rounds.seed).unwrap();
    let back = difference(&campaign.base, &initial).unwrap();
    assert!(campaign.survives(&[&back]).set_aside.is_some());
}

/// A model so deep that its numbers overflow.
fn deep(more: &str) -> String {
    let layer = "[[model.layers]]\nkind = \"dense\"\nunits = 16\n";
    let text = MANIFEST.replacen("[[model.layers]]", &format!("{}[[model.layers]]", layer.repeat(6)), 1);
    format!("{text}{more}")
}

/// Added up layer by layer, no 32 bits hold it.
fn overflowing(base: &Parameters) -> Update {
    Update::new(vec![1e9; base.elements()]).unwrap()
}

#[test]
fn a_model_of_which_the_loss_is_no_number_never_settles() {
    let mut campaign = Campaign::of(&deep(WIDE), 0);
    let hostile = overflowing(&campaign.base);
    let set_aside = campaign.survives(&[&hostile]).set_aside.unwrap();
    assert!(!set_aside.result.loss.is_finite(), "{set_aside:?}");
}

#[test]
fn from_a_broken_base_anything_better_is_taken() {
    let mut campaign = Campaign::of(&deep(WIDE), 0);
    let whole = campaign.base.clone();
    let hostile = overflowing(&whole);
    let broken = lichen_learn::aggregate(&whole, &[(1, &hostile)]).unwrap();
    campaign.base = broken;
    assert!(!campaign.quality(&campaign.base).loss.is_finite());
    let back = difference(&campaign.base, &whole).unwrap();
    let settled = campaign.settle(&[&back]);
    let healed = Parameters::from_safetensors(&settled.checkpoint.unwrap()).unwrap();
    assert!(campaign.quality(&healed).loss.is_finite());
}

#[test]
fn without_a_guard_the_aggregate_stands() {
    let mut campaign = Campaign::new("\n[guard]\nsamples = 0\n");
    let hostile = campaign.hostile(0.4);
    let settled = campaign.settle(&[&hostile]);
    assert!(settled.checkpoint.is_some() && settled.set_aside.is_none());
    let nothing = block_on(campaign.settler.quality(&settled.result, &campaign.base, async || {})).unwrap();
    assert_eq!(nothing, None);
}

#[test]
fn everybody_finds_the_same() {
    let (mut one, mut other) = (Campaign::new(WIDE), Campaign::new(WIDE));
    let updates = [one.honest(5), one.hostile(0.01), one.hostile(3.0)];
    // The one has measured the base already, the other has not.
    one.settle(&[&updates[0]]);
    for count in 1..=updates.len() {
        let updates: Vec<&Update> = updates.iter().take(count).collect();
        assert_eq!(one.settle(&updates), other.settle(&updates));
    }
}

#[test]
fn the_default_bound_is_that_of_the_manifest() {
    let campaign = Campaign::of(MANIFEST, 0);
    assert_eq!(campaign.settler.max_norm(), max_norm(&campaign.manifest).unwrap());
}
