//! What a contribution may say of itself.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod fixture;

use fixture::{BOTH, Log, Person, campaign, cid, coordinator, initial, opened};
use lichen_campaign::{Manifest, Split};
use lichen_record::{Entry, Metrics, RoundNumber};
use lichen_round::{Refusal, Rules};

fn claim(samples: u32, loss: f64, accuracy: f64, steps: u32) -> Entry {
    let metrics = Metrics::new(loss, accuracy, steps).unwrap();
    let (campaign, round, update) = (campaign(), RoundNumber(1), cid("an update"));
    Entry::Contribution {
        campaign,
        round,
        base: initial(),
        update,
        samples,
        metrics,
        engine: None,
        trace: None,
    }
}

#[test]
fn what_no_training_can_come_to_is_refused() {
    for rules in BOTH {
        let anna = Person::new(1);
        let mut log = Log::with_members(rules, &[&anna]);
        log.add(&coordinator(), &opened(1, initial()));
        for (refusal, entry) in [
            (Refusal::ImpossibleLoss, claim(16, -1e308, 0.5, 60)),
            (Refusal::ImpossibleLoss, claim(16, -f64::MIN_POSITIVE, 0.5, 60)),
            (Refusal::ImpossibleLoss, claim(16, 1_000_000.5, 0.5, 60)),
            (Refusal::ImpossibleLoss, claim(16, f64::MAX, 0.5, 60)),
            (Refusal::WrongSteps, claim(16, 0.5, 1.0, 0)),
            (Refusal::WrongSteps, claim(16, 0.5, 1.0, 61)),
            (Refusal::WrongSteps, claim(16, 0.5, 1.0, u32::MAX)),
            (Refusal::WrongSamples, claim(0, 0.5, 1.0, 60)),
            (Refusal::WrongSamples, claim(17, 0.5, 1.0, 60)),
            (Refusal::WrongSamples, claim(u32::MAX, 0.5, 1.0, 60)),
        ] {
            log.refuse(&anna, &entry, refusal);
        }
        log.add(&anna, &claim(16, 0.0, 1.0, 1));
    }
}

#[test]
fn who_takes_as_many_steps_as_it_comes_to_takes_the_fewest_at_least() {
    for rules in BOTH.map(|rules| Rules { least_steps: Some(8), ..rules }) {
        let anna = Person::new(1);
        let mut log = Log::with_members(rules, &[&anna]);
        log.add(&coordinator(), &opened(1, initial()));
        for steps in [0, 7, 61] {
            log.refuse(&anna, &claim(16, 0.5, 1.0, steps), Refusal::WrongSteps);
        }
        log.add(&anna, &claim(16, 0.5, 1.0, 8));
        let inputs = log.state.round().unwrap().inputs();
        assert_eq!((inputs[0].steps, inputs[0].weight), (8, 16));
    }
}

fn manifest(from: &str, to: &str) -> Manifest {
    let text = include_str!("../../../relay/campaigns/digits/campaign.toml");
    assert!(text.contains(from), "{from}");
    Manifest::parse(&text.replace(from, to)).unwrap()
}

#[test]
fn the_weight_is_what_the_steps_get_through_of_the_shard() {
    let samples = |steps: &str| Rules::from(&manifest("steps = 60", steps)).samples;
    assert_eq!(samples("steps = 60"), 480, "four times through the shard");
    assert_eq!(samples("steps = 15"), 480, "once, to the last batch");
    assert_eq!(samples("steps = 14"), 448);
    assert_eq!(samples("steps = 1"), 32);
    let large = Rules::from(&manifest("batch = 32", "batch = 100"));
    assert_eq!(large.samples, 480, "the last batch of an epoch is filled up from the next one");
    let Split { samples, .. } = large.split;
    assert!(samples > 480);
}

#[test]
fn the_largest_loss_follows_from_the_loss() {
    let digits = Rules::from(&manifest("steps = 60", "steps = 60"));
    let nats = |loss| digits.check_metrics(&Metrics::new(loss, 0.1, 60).unwrap());
    assert_eq!(nats(core::f64::consts::LN_10), Ok(()));
    assert_eq!(nats(1e6), Ok(()));
    assert_eq!(nats(1e7), Err(Refusal::ImpossibleLoss));
    // Answers in thousands, squared, are no mistake.
    let squares = Rules { max_loss: 1_000_000_000_000_000_000, ..digits };
    assert_eq!(squares.check_metrics(&Metrics::new(1e9, 0.0, 60).unwrap()), Ok(()));
}
