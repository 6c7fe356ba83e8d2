//! What the model learns from packed updates.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    dead_code,
    reason = "a test may fail, and uses a part of what the benchmark does"
)]

mod swarm;

use swarm::{Setting, Shards, learn, wide};

const SEEDS: u64 = 3;

/// Sparse updates need more rounds: after 60 they are half a point behind, from about 90 on no more than others.
const ROUNDS: u64 = 100;

fn accuracy(update: &str, rounds: u64) -> f64 {
    let manifest = wide(update);
    let of = |seed| learn(&Setting::honest(&manifest, 4, Shards::Alike, seed, rounds)).last();
    (1..=SEEDS).map(of).sum::<f64>() / SEEDS as f64
}

#[test]
fn the_largest_values_teach_nearly_as_much_as_all() {
    let (dense, sparse) = (accuracy("codec = \"dense\"", ROUNDS), accuracy("codec = \"sparse\"", ROUNDS));
    assert!(dense > 0.95, "{dense}");
    assert!(sparse >= dense - 0.005, "{sparse} {dense}");
    // Nor is it missed what packing rounds off of every result.
    let packed = accuracy("codec = \"sparse\"\n[aggregation]\ncodec = \"int8\"", ROUNDS);
    assert!(packed >= sparse - 0.005, "{packed} {sparse}");
}
