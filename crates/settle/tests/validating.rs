//! Updates are measured on samples that nothing else is measured on, and a tab has its turns meanwhile.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::cell::Cell;

use futures::executor::block_on;
use lichen_campaign::Manifest;
use lichen_engine::{EngineKind, Trainer};
use lichen_learn::{Dataset, Update, difference};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::Cid;
use lichen_settle::{Gauge, Settled, Settler, guarded};

const SHIPPED: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");
const DATA: &[u8] = include_bytes!("../../../relay/campaigns/digits/digits.safetensors");

/// The shipped manifest without its tables on aggregation and audits, so that others may follow.
fn plain() -> &'static str {
    SHIPPED.split("[aggregation]").next().unwrap()
}

/// The digits campaign by this rule.
fn manifest(rule: &str) -> Manifest {
    Manifest::parse(&format!("{}\n[aggregation]\nrule = \"{rule}\"\n", plain())).unwrap()
}

fn base(manifest: &Manifest) -> Parameters {
    initial_parameters(&manifest.model, manifest.rounds.seed).unwrap()
}

/// What somebody learns on every third sample from this one on.
fn learnt(manifest: &Manifest, first: usize) -> Update {
    let data = Dataset::decode(DATA, manifest).unwrap();
    let samples: Vec<u32> = manifest.data.split.training().into_iter().skip(first).step_by(3).collect();
    let trained = block_on(async {
        let mut trainer = Trainer::new(EngineKind::Cpu, &manifest.model, &manifest.train).await.unwrap();
        trainer.load(&base(manifest), 1).await.unwrap();
        let batches = samples.chunks_exact(manifest.train.batch).cycle();
        for batch in batches.take(manifest.train.steps as usize) {
            let (x, answers) = data.gather(batch);
            trainer.step(&x, &answers).await.unwrap();
        }
        trainer.parameters().await.unwrap()
    });
    difference(&base(manifest), &trained).unwrap()
}

fn opposite(update: &Update) -> Update {
    Update::new(update.values().iter().map(|value| -value).collect()).unwrap()
}

/// What a round of these updates settles with, where the guarded samples are these, and how many turns others had.
fn settled(manifest: &Manifest, data: Dataset, updates: &[Update]) -> (Settled, u32) {
    let mut settler = Settler::new(manifest, data).unwrap();
    let bytes = base(manifest).to_safetensors();
    let mut aggregation = settler.aggregation(&bytes).unwrap();
    for update in updates {
        assert!(aggregation.add(480, &update.encode().unwrap()));
    }
    let turns = Cell::new(0);
    let turn = async || turns.set(turns.get() + 1);
    (block_on(settler.settle(&Cid::of_raw(&bytes), None, aggregation, turn)).unwrap(), turns.get())
}

/// The guarded samples, some of which are replaced by the first of them.
fn data(manifest: &Manifest, replaced: impl Fn(usize) -> bool) -> Dataset {
    let mut indices = guarded(manifest);
    let first = indices.first().copied().unwrap();
    for (place, index) in indices.iter_mut().enumerate() {
        if replaced(place) {
            *index = first;
        }
    }
    Dataset::decode_samples(DATA, manifest, &indices).unwrap()
}

#[test]
fn what_is_measured_for_the_rule_and_for_the_guard_are_different_samples() {
    for rule in ["zeno", "fltrust"] {
        let manifest = manifest(rule);
        let mut updates: Vec<Update> = (0..5).map(|first| learnt(&manifest, first)).collect();
        updates.push(opposite(&learnt(&manifest, 5)));
        let of = |replaced: fn(usize) -> bool| settled(&manifest, data(&manifest, replaced), &updates).0;
        let whole = of(|_place| false);
        assert!(whole.checkpoint.is_some(), "{rule}: {whole:?}");
        let same = of(|place| place % 2 == 1);
        assert_eq!(same.result, whole.result, "{rule}: the guard's samples do not weigh updates");
        assert_ne!(of(|place| place % 2 == 0).result, whole.result, "{rule}");
    }
}

#[test]
fn the_goal_is_measured_on_what_no_rule_sees() {
    let ending = plain().replacen("target_accuracy", "at_target = \"finish\"\ntarget_accuracy", 1);
    for (rule, samples) in [("mean", 360), ("zeno", 180), ("fltrust", 180)] {
        let manifest = Manifest::parse(&format!("{ending}\n[aggregation]\nrule = \"{rule}\"\n")).unwrap();
        let mut gauge = Gauge::new(&manifest, DATA).unwrap().unwrap();
        let quality = block_on(gauge.measure(&base(&manifest), async || {})).unwrap();
        assert_eq!(quality.samples, samples, "{rule}");
    }
}

#[test]
fn an_opposite_update_is_as_good_as_none_for_fltrust() {
    let manifest = manifest("fltrust");
    let honest = [learnt(&manifest, 0), learnt(&manifest, 1)];
    let of = |updates: &[Update]| settled(&manifest, data(&manifest, |_place| false), updates).0;
    let alone = of(&honest);
    assert!(alone.checkpoint.is_some(), "{alone:?}");
    let [first, second] = honest;
    assert_eq!(of(&[opposite(&first), first, second]), alone);
}

#[test]
fn others_have_their_turns_while_updates_are_measured() {
    let turns = |rule| {
        let manifest = manifest(rule);
        settled(&manifest, data(&manifest, |_place| false), &[learnt(&manifest, 0)]).1
    };
    // Base and result are measured in three parts each; 180 samples are asked 16 times in three parts; 60 steps are
    // 15 times four.
    assert_eq!(turns("mean"), 12);
    assert_eq!(turns("zeno"), 6 + 48);
    assert_eq!(turns("fltrust"), 6 + 15);
}
