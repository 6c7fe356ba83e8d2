//! Our rules of aggregation give what those of byzfl give, on the updates that `judged_by_byzfl.py` made.

#![cfg(not(target_arch = "wasm32"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail"
)]

use lichen_campaign::{AggregationRule, Before, Encoding, Rule};
use lichen_learn::{Aggregation, Codec, Update};
use lichen_model::{Parameters, Tensor};
use serde_json::Value;

const JUDGED: &str = include_str!("judged_by_byzfl.json");

fn numbers(list: &Value) -> Vec<f32> {
    list.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

const RULES: [(&str, Rule); 7] = [
    ("median-norm-clip", Rule::MedianNormClip),
    ("centered-clip", Rule::CenteredClip),
    ("krum", Rule::Krum),
    ("multi-krum", Rule::MultiKrum),
    ("coordinate-median", Rule::CoordinateMedian),
    ("trimmed-mean", Rule::TrimmedMean),
    ("geometric-median", Rule::GeometricMedian),
];
const BEFORE: [(&str, Before); 2] =
    [("nearest-neighbours", Before::NearestNeighbours), ("bucketing", Before::Bucketing)];

/// What a name of these stands for; none for what is no name.
fn named<T: Copy>(name: &Value, known: &[(&str, T)]) -> Option<T> {
    let name = name.as_str()?;
    Some(known.iter().find(|(known, _meaning)| *known == name).unwrap().1)
}

/// What the rule makes of the updates, all of the same weight.
fn combined(updates: &[Vec<f32>], rule: &AggregationRule) -> Vec<f32> {
    let mut base = Parameters::new();
    let elements = updates[0].len();
    base.insert("w".into(), Tensor::new(vec![elements], vec![0.0; elements]).unwrap()).unwrap();
    let mut aggregation =
        Aggregation::new(&base.to_safetensors(), Codec::new(Encoding::Dense), f64::INFINITY, rule).unwrap();
    for update in updates {
        assert!(aggregation.add(480, &Update::new(update.clone()).unwrap().encode().unwrap()));
    }
    aggregation.finish().iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).collect()
}

#[test]
fn every_rule_gives_what_byzfl_gives() {
    let cases: Vec<Value> = serde_json::from_str(JUDGED).unwrap();
    assert!(cases.len() >= 10);
    for case in &cases {
        let updates: Vec<Vec<f32>> = case["updates"].as_array().unwrap().iter().map(numbers).collect();
        let hostile = case["hostile"].as_f64().unwrap() / updates.len() as f64;
        for judged in case["results"].as_array().unwrap() {
            let rule = AggregationRule {
                rule: named(&judged["rule"], &RULES).unwrap(),
                before: named(&judged["before"], &BEFORE),
                hostile,
            };
            let expected = numbers(&judged["is"]);
            let ours = combined(&updates, &rule);
            assert_eq!(ours.len(), expected.len());
            for (ours, theirs) in ours.iter().zip(&expected) {
                let apart = (ours - theirs).abs();
                assert!(
                    apart <= 1e-6 * theirs.abs().max(1.0),
                    "{}: {rule:?}: {ours}, not {theirs}",
                    case["attack"]
                );
            }
        }
    }
}
