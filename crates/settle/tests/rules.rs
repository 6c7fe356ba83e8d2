//! A rule holds where the mean fails: a short form of `cargo xtask bench attacks`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a test may fail, and the benchmark uses more than this"
)]

#[path = "../benches/attacks/hostile.rs"]
mod hostile;
#[path = "../benches/attacks/random.rs"]
mod random;
#[path = "../benches/attacks/swarm.rs"]
mod swarm;

use hostile::Attack;
use lichen_campaign::{AggregationRule, Before, Rule};
use swarm::{Spread, Swarm, Trial};

#[test]
fn a_third_that_pulls_backwards_stops_the_mean_and_not_the_geometric_median() {
    let swarm = Swarm::new();
    let accuracy = |rule| {
        let attack = Attack::InnerProduct;
        let trial = Trial { spread: Spread::Even, rule, attack, hostile: 6, without: false, rounds: 5 };
        swarm.run(&trial).accuracy
    };
    let mean = accuracy(AggregationRule::default());
    let before = Some(Before::NearestNeighbours);
    let robust = accuracy(AggregationRule { rule: Rule::GeometricMedian, before, hostile: 0.3 });
    assert!(mean < 0.7, "{mean}");
    assert!(robust > 0.8, "{robust}");
}
