//! A rule holds where the mean fails: a short form of `cargo xtask bench attacks`.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a test may fail, and the benchmark uses more than this"
)]

mod swarm;

use swarm::hostile::Attack;
use swarm::{Setting, Shards, digits, learn};

#[test]
fn a_third_that_pulls_backwards_stops_the_mean_and_no_robust_rule() {
    let accuracy = |rule| {
        let manifest = digits(rule);
        let honest = Setting::honest(&manifest, 20, Shards::Alike, 7, 5);
        learn(&Setting { attack: Attack::InnerProduct, hostile: 6, ..honest }).last()
    };
    let mean = accuracy("rule = \"mean\"");
    assert!(mean < 0.7, "{mean}");
    let median = "rule = \"geometric-median\"\nbefore = \"nearest-neighbours\"\nhostile = 0.3";
    for rule in [median, "rule = \"zeno\"", "rule = \"fltrust\""] {
        let robust = accuracy(rule);
        assert!(robust > 0.8, "{rule}: {robust}");
    }
}
