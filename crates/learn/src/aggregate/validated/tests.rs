//! Vectors that can be checked by hand, and what holds for any updates.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::{AggregationRule, Encoding, Rule};
use lichen_model::{Parameters, Tensor};
use proptest::prelude::*;

use super::*;
use crate::{Aggregation, Codec};

const ZENO: AggregationRule = AggregationRule { rule: Rule::Zeno, before: None, hostile: 0.3 };
const FLTRUST: AggregationRule = AggregationRule { rule: Rule::FlTrust, ..ZENO };

fn update(values: &[f32]) -> Update {
    Update::new(values.to_vec()).unwrap()
}

fn begun(rule: &AggregationRule, updates: &[Vec<f32>]) -> Aggregation {
    let mut base = Parameters::new();
    let elements = updates.first().map_or(2, Vec::len);
    base.insert("w".into(), Tensor::new(vec![elements], vec![0.0; elements]).unwrap()).unwrap();
    let codec = Codec::new(Encoding::Dense);
    let mut aggregation = Aggregation::new(&base.to_safetensors(), codec, f64::INFINITY, rule).unwrap();
    for values in updates {
        assert!(aggregation.add(480, &update(values).encode().unwrap()));
    }
    aggregation
}

fn values(parameters: &Parameters) -> Vec<f64> {
    parameters.iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).map(f64::from).collect()
}

fn trusting(own: &[f32], updates: &[Vec<f32>]) -> Vec<f64> {
    let mut aggregation = begun(&FLTRUST, updates);
    aggregation.trust(update(own));
    values(&aggregation.finish())
}

/// What `zeno` makes of updates after so many questions, where the loss has this gradient.
fn descending(updates: &[Vec<f32>], questions: u32, gradient: impl Fn(&[f64]) -> Vec<f32>) -> Vec<f64> {
    let mut aggregation = begun(&ZENO, updates);
    for _ in 0..questions {
        let Some(heading) = aggregation.heading() else { break };
        aggregation.descend(&gradient(&values(&heading)));
    }
    values(&aggregation.finish())
}

fn close(ours: &[f64], by_hand: &[f64]) {
    assert_eq!(ours.len(), by_hand.len());
    for (ours, by_hand) in ours.iter().zip(by_hand) {
        assert!((ours - by_hand).abs() < 1e-6, "{ours}, not {by_hand}");
    }
}

/// Cosines 1, −1, 0 and 3/5, lengths brought to 5: ((3, 4) + 3/5 · (5, 0) + 1/2 · (3, 4)) / (1 + 3/5 + 1/2).
#[test]
fn fltrust_weighs_by_the_angle_to_the_own_update() {
    let updates = [vec![6.0, 8.0], vec![-3.0, -4.0], vec![4.0, -3.0], vec![0.5, 0.0], vec![0.0, 0.0]];
    close(&trusting(&[3.0, 4.0], &updates), &[7.5 / 2.1, 6.0 / 2.1]);
}

#[test]
fn without_anybody_to_trust_fltrust_takes_the_own_update() {
    close(&trusting(&[3.0, 4.0], &[vec![-9.0, 0.0], vec![0.0, -9.0]]), &[3.0, 4.0]);
}

#[test]
fn what_was_never_measured_changes_nothing() {
    let updates = [vec![1.0, 2.0], vec![3.0, 4.0]];
    for rule in [ZENO, FLTRUST] {
        assert_eq!(values(&begun(&rule, &updates).finish()), [0.0, 0.0]);
        assert_eq!(values(&begun(&rule, &[]).finish()), [0.0, 0.0]);
    }
    assert_eq!(trusting(&[0.0, 0.0], &updates), [0.0, 0.0], "the own update is none");
    assert_eq!(descending(&[], 3, |_at| vec![1.0, 1.0]), [0.0, 0.0]);
}

/// Slopes −1, 1, 0 and −0.6. Before the first question all have 1/4; after it, the first and the last have
/// 1/3 · 1/4 + 2/3 · 1/2 = 5/12, the others 1/12.
#[test]
fn zeno_weighs_by_where_the_loss_goes() {
    // The last is as long as the others once it is shortened.
    let updates = [vec![-1.0, 0.0], vec![1.0, 0.0], vec![0.0, 1.0], vec![-2.4, 3.2]];
    let (x, y) = ((-5.0 + 1.0 - 5.0 * 0.6) / 12.0, (1.0 + 5.0 * 0.8) / 12.0);
    close(&descending(&updates, 1, |_at| vec![1.0, 0.0]), &[x, y]);
    // Nothing goes down a loss that falls with minus y.
    close(&descending(&updates, 1, |_at| vec![0.0, 1.0]), &[-0.6 / 12.0, 1.8 / 12.0]);
    // What only goes up the loss loses its share and gets none back, though one of the two is the better half.
    close(&descending(&[vec![0.0, 1.0], vec![0.0, 1.0]], 1, |_at| vec![0.0, 1.0]), &[0.0, 1.0 / 3.0]);
    // Asked ever again, it takes the mean of the better half.
    let late = descending(&updates, 200, |_at| vec![1.0, 0.0]);
    assert!((late[0] + 0.8).abs() < 1e-3 && (late[1] - 0.4).abs() < 1e-3, "{late:?}");
}

#[test]
fn a_gradient_of_no_numbers_leaves_the_even_shares() {
    let updates = [vec![1.0, 0.0], vec![0.0, 1.0]];
    for broken in [f32::NAN, f32::INFINITY] {
        close(&descending(&updates, 3, |_at| vec![broken, 0.0]), &[0.5, 0.5]);
    }
}

fn some() -> impl Strategy<Value = Vec<Vec<f32>>> {
    proptest::collection::vec(proptest::collection::vec(-1e3f32..1e3, 3), 1..12)
}

fn norm(values: &[f64]) -> f64 {
    libm::sqrt(values.iter().map(|value| value * value).sum())
}

proptest! {
    #[test]
    fn fltrust_goes_no_farther_than_the_own_update_and_never_against_it(own in proptest::collection::vec(-1e3f32..1e3, 3), updates in some()) {
        let result = trusting(&own, &updates);
        let own: Vec<f64> = own.iter().map(|value| f64::from(*value)).collect();
        prop_assert!(norm(&result) <= norm(&own) * (1.0 + 1e-6));
        let product: f64 = result.iter().zip(&own).map(|(one, other)| one * other).sum();
        prop_assert!(product >= 0.0);
    }

    #[test]
    fn fltrust_does_not_see_how_long_an_update_is_nor_whether_an_opposite_one_is_there(own in proptest::collection::vec(1f32..1e3, 3), updates in some(), at: prop::sample::Index, by in -8i32..8) {
        let result = trusting(&own, &updates);
        let mut scaled = updates.clone();
        let at = at.index(scaled.len());
        for value in &mut scaled[at] {
            *value *= libm::ldexpf(1.0, by);
        }
        prop_assert_eq!(&trusting(&own, &scaled), &result);
        scaled.push(own.iter().map(|value| -value).collect());
        prop_assert_eq!(trusting(&own, &scaled), result);
    }

    #[test]
    fn zeno_goes_no_farther_than_the_middle_update(updates in some(), gradient in proptest::collection::vec(-1e3f32..1e3, 3), questions in 0u32..9) {
        let result = descending(&updates, questions, |_at| gradient.clone());
        let norms: Vec<f64> = updates.iter().map(|values| update(values).norm()).collect();
        prop_assert!(norm(&result) <= lower_median(&norms) * (1.0 + 1e-6));
    }

    /// The loss is half the square of the distance to (1, 1, 1).
    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "gradients are of 32 bits")]
    fn zeno_comes_nearer_than_the_mean_where_some_pull_away(honest in proptest::collection::vec(proptest::collection::vec(0.5f32..1.5, 3), 6..12), hostile in 1usize..6) {
        let mut updates = honest;
        updates.extend(vec![vec![-1.0; 3]; hostile]);
        let away = |at: &[f64]| norm(&at.iter().map(|value| value - 1.0).collect::<Vec<_>>());
        let result = descending(&updates, 16, |at| at.iter().map(|value| (*value - 1.0) as f32).collect());
        prop_assert!(away(&result) < 0.5, "{result:?}");
    }
}
