//! Short campaigns in which everything goes wrong that may, and every rule holds.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use lichen_simulate::{Faults, Settings, run_quietly};

/// How many, of those that the long form runs.
const SEEDS: u64 = 200;

#[test]
fn every_rule_holds_whatever_goes_wrong() {
    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > SEEDS {
                        return;
                    }
                    let settings = Settings::drawn(seed);
                    if let Err(violation) = run_quietly(&settings) {
                        panic!("{violation}\n    cargo xtask simulate {settings}");
                    }
                }
            });
        }
    });
}

#[test]
fn one_seed_gives_one_run() {
    for is_mesh in [false, true] {
        let mut settings = Settings::new(7, 6, 3);
        (settings.faults, settings.is_mesh) = (Faults::all(), is_mesh);
        let [once, again] = [(); 2].map(|()| run_quietly(&settings).unwrap());
        assert_eq!((once.head, once.tally), (again.head, again.tally));
        let other = run_quietly(&Settings { seed: 8, ..settings }).unwrap();
        assert_ne!(once.head, other.head);
    }
}

#[test]
fn honest_tabs_learn_what_they_are_to_learn() {
    for is_mesh in [false, true] {
        let mut settings = Settings::new(1, 4, 12);
        settings.is_mesh = is_mesh;
        let outcome = run_quietly(&settings).unwrap();
        assert!(outcome.tally.fruitful >= 12 && outcome.faults == 0, "{outcome:?}");
        assert!(outcome.accuracy.unwrap() > 0.8, "{:?}", outcome.accuracy);
    }
}

#[test]
fn tabs_that_share_folds_write_the_same_log() {
    for seed in [1, 2, 3] {
        let mut settings = Settings::new(seed, 5, 3);
        let own = run_quietly(&settings).unwrap();
        settings.shared = true;
        let shared = run_quietly(&settings).unwrap();
        assert_eq!(own.tally.contributions, shared.tally.contributions);
        assert_eq!(own.settled, shared.settled);
    }
}
