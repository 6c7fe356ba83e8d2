//! Our outer optimisers give what those of Flower give, and Nesterov's momentum what optax gives, on the updates that
//! `judged_by_flower.py` made.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

use lichen_campaign::{AggregationRule, Encoding, Moments, Momentum, OuterOptimizer};
use lichen_learn::{Aggregation, Codec, OuterState, Update, outer_step};
use lichen_model::{Parameters, Tensor};
use serde_json::Value;

const JUDGED: &str = include_str!("judged_by_flower.json");

fn list(list: &Value) -> &[Value] {
    list.as_array().unwrap()
}

fn numbers(numbers: &Value) -> Vec<f64> {
    list(numbers).iter().map(|number| number.as_f64().unwrap()).collect()
}

fn short(values: &Value) -> Vec<f32> {
    numbers(values).into_iter().map(|value| value as f32).collect()
}

fn optimizer(case: &Value) -> OuterOptimizer {
    let number = |key: &str| case[key].as_f64().unwrap();
    let momentum = || Momentum { rate: number("rate"), momentum: number("momentum") };
    let moments = || Moments {
        rate: number("rate"),
        beta1: number("beta1"),
        beta2: number("beta2"),
        epsilon: number("epsilon"),
    };
    match case["optimizer"].as_str().unwrap() {
        "mean" => OuterOptimizer::Mean,
        "momentum" => OuterOptimizer::Momentum(momentum()),
        "nesterov" => OuterOptimizer::Nesterov(momentum()),
        "adam" => OuterOptimizer::Adam(moments()),
        "yogi" => OuterOptimizer::Yogi(moments()),
        word => panic!("{word}"),
    }
}

/// What the round's updates come to, added to nothing yet.
fn aggregation(base: &Parameters, round: &Value) -> Aggregation {
    let codec = Codec::new(Encoding::Dense);
    let rule = AggregationRule::default();
    let mut aggregation = Aggregation::new(&base.to_safetensors(), codec, f64::INFINITY, &rule).unwrap();
    for (update, samples) in list(&round["updates"]).iter().zip(list(&round["samples"])) {
        let samples = u32::try_from(samples.as_u64().unwrap()).unwrap();
        assert!(aggregation.add(samples, &Update::new(short(update)).unwrap().encode().unwrap()));
    }
    aggregation
}

#[test]
fn every_outer_optimiser_gives_what_flower_gives() {
    let cases: Vec<Value> = serde_json::from_str(JUDGED).unwrap();
    assert!(cases.len() >= 10);
    for case in &cases {
        let optimizer = optimizer(case);
        let values = short(&case["base"]);
        let elements = values.len();
        // Ours are rounded to 32 bits after each round, theirs are not: where a value has come near to zero, that shows.
        let mut largest: Vec<f64> = values.iter().map(|value| f64::from(value.abs())).collect();
        let mut base = Parameters::new();
        base.insert("w".into(), Tensor::new(vec![elements], values).unwrap()).unwrap();
        let mut kept: Option<Vec<u8>> = None;
        for round in list(&case["rounds"]) {
            let (start, change) = aggregation(&base, round).combine();
            let state = kept.map(|bytes| OuterState::decode(&bytes, &optimizer, elements).unwrap());
            let (result, next) = outer_step(&optimizer, &start, &change.unwrap(), state.as_ref()).unwrap();
            kept = next.map(|state| state.encode().unwrap());
            base = result;
            let ours: Vec<f32> = base.iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).collect();
            for ((ours, theirs), largest) in ours.iter().zip(numbers(&round["is"])).zip(&mut largest) {
                *largest = theirs.abs().max(*largest);
                let apart = (f64::from(*ours) - theirs).abs();
                assert!(apart <= 1e-6 * *largest, "{optimizer:?}: {ours}, not {theirs}");
            }
        }
    }
}
