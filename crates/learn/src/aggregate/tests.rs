//! Tests of what every rule has in common.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use alloc::format;
use alloc::vec;

use lichen_campaign::Before;
use lichen_model::Tensor;
use proptest::prelude::*;

use super::*;

fn parameters(values: &[f32]) -> Parameters {
    let mut parameters = Parameters::new();
    let (first, second) = values.split_at(values.len() / 2);
    for (name, part) in [("a", first), ("b", second)] {
        parameters.insert(name.into(), Tensor::new(vec![part.len()], part.to_vec()).unwrap()).unwrap();
    }
    parameters
}

fn values(parameters: &Parameters) -> Vec<f32> {
    parameters.iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).collect()
}

fn update(values: &[f32]) -> Update {
    Update::new(values.to_vec()).unwrap()
}

#[test]
fn samples_weigh() {
    let base = parameters(&[1.0, 10.0]);
    let result = aggregate(&base, &[(1, &update(&[4.0, 0.0])), (3, &update(&[0.0, 8.0]))]).unwrap();
    assert_eq!(values(&result), [2.0, 16.0]);
}

#[test]
fn without_updates_the_base_stays() {
    let base = parameters(&[1.0, -0.0]);
    assert_eq!(aggregate(&base, &[]).unwrap().to_safetensors(), base.to_safetensors());
    assert_eq!(aggregate(&base, &[(0, &update(&[1.0, 1.0]))]).unwrap(), base);
}

#[test]
fn an_update_of_another_model_is_named() {
    let refused = aggregate(&parameters(&[1.0, 2.0]), &[(1, &update(&[1.0, 1.0])), (1, &update(&[1.0]))]);
    assert_eq!(refused, Err(AggregateError::Count { index: 1, expected: 2, actual: 1 }));
}

#[test]
fn what_leaves_the_finite_numbers_leaves_the_base() {
    let base = parameters(&[1.0, f32::MIN / 2.0]);
    for hostile in [[f32::MAX, 0.0], [0.0, f32::MIN], [f32::MAX, f32::MIN], [0.0, f32::MIN / 2.0]] {
        let result = aggregate(&base, &[(u32::MAX, &update(&hostile))]).unwrap();
        assert_eq!(result, base, "{hostile:?}");
    }
    let large = aggregate(&base, &[(1, &update(&[1e38, 1e38]))]).unwrap();
    assert_ne!(large, base, "it is large, but a number");
}

#[test]
fn what_is_too_long_is_left_out() {
    let bytes = parameters(&[1.0, 2.0]).to_safetensors();
    let blob = |values: &[f32]| update(values).encode().unwrap();
    let (good, long, largest) = (blob(&[0.5, 0.5]), blob(&[3.0, 4.1]), blob(&[f32::MAX, f32::MIN]));
    let accepted: [(u32, &[u8]); 3] = [(9, &long), (7, &good), (11, &largest)];
    let bounded = aggregate_checkpoint(&bytes, &accepted, 5.0).unwrap();
    assert_eq!(bounded, aggregate_checkpoint(&bytes, &[(7, &good)], 5.0).unwrap());
    assert_eq!(aggregate_checkpoint(&bytes, &[(9, &long)], 5.0).unwrap(), (Cid::of_raw(&bytes), bytes));
}

#[test]
fn a_checkpoint_leaves_out_what_is_no_update() {
    let base = parameters(&[1.0, 2.0]);
    let good = update(&[0.5, 0.5]).encode().unwrap();
    let other_model = update(&[9.0, 9.0, 9.0]).encode().unwrap();
    let mut hostile = update(&[9.0, 9.0]).encode().unwrap();
    let nan = hostile.windows(4).position(|window| window == 9f32.to_le_bytes()).unwrap();
    hostile[nan..nan + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let bytes = base.to_safetensors();
    let accepted: [(u32, &[u8]); 4] = [(5, b"junk"), (7, &good), (9, &other_model), (11, &hostile)];
    let (cid, checkpoint) = aggregate_checkpoint(&bytes, &accepted, 100.0).unwrap();
    let alone = aggregate_checkpoint(&bytes, &[(7, &good)], 100.0).unwrap();
    assert_eq!((cid, &checkpoint), (alone.0, &alone.1));
    assert_eq!(values(&Parameters::from_safetensors(&checkpoint).unwrap()), [1.5, 2.5]);
    assert!(cid.matches(&checkpoint));
}

#[test]
fn a_round_of_junk_ends_with_its_base() {
    let bytes = parameters(&[1.0, 2.0]).to_safetensors();
    let (cid, checkpoint) = aggregate_checkpoint(&bytes, &[(1, b"junk")], 100.0).unwrap();
    assert_eq!((cid, checkpoint), (Cid::of_raw(&bytes), bytes));
}

#[test]
fn a_base_that_is_no_checkpoint_is_refused() {
    let none: [(u32, &[u8]); 0] = [];
    assert!(matches!(aggregate_checkpoint(b"junk", &none, 1.0), Err(AggregateError::Base(_))));
    let large = vec![0; MAX_BLOB + 1];
    assert_eq!(aggregate_checkpoint(&large, &none, 1.0), Err(AggregateError::BaseTooLarge(MAX_BLOB + 1)));
}

fn finite() -> impl Strategy<Value = f32> {
    proptest::num::f32::NORMAL | proptest::num::f32::ZERO | proptest::num::f32::SUBNORMAL
}

/// A base of some size and several updates of the same size with weights.
fn rounds() -> impl Strategy<Value = (Vec<f32>, Vec<(u32, Vec<f32>)>)> {
    (1usize..20).prop_flat_map(|count| {
        let updates =
            proptest::collection::vec((any::<u32>(), proptest::collection::vec(finite(), count)), 0..6);
        (proptest::collection::vec(finite(), count), updates)
    })
}

proptest! {
    #[test]
    fn bytes_and_parameters_give_the_same((base, updates) in rounds()) {
        let base = parameters(&base);
        let updates: Vec<_> = updates.iter().map(|(samples, values)| (*samples, update(values))).collect();
        let borrowed: Vec<_> = updates.iter().map(|(samples, update)| (*samples, update)).collect();
        let encoded: Vec<_> =
            updates.iter().map(|(samples, update)| (*samples, update.encode().unwrap())).collect();
        let expected = aggregate(&base, &borrowed).unwrap().to_safetensors();
        let (cid, checkpoint) = aggregate_checkpoint(&base.to_safetensors(), &encoded, f64::INFINITY).unwrap();
        prop_assert_eq!(cid, Cid::of_raw(&expected));
        prop_assert_eq!(&checkpoint, &expected);
        // Whatever finite updates came, the next round can start from the result.
        prop_assert!(Parameters::from_safetensors(&checkpoint).is_ok());
    }

    #[test]
    #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is what is expected")]
    fn equal_updates_give_base_plus_update(base in proptest::collection::vec(-1e6f32..1e6, 6), change in proptest::collection::vec(-1e6f32..1e6, 6), weights in proptest::collection::vec(1u32..65536, 1..8)) {
        let change = update(&change);
        let accepted: Vec<_> = weights.iter().map(|samples| (*samples, &change)).collect();
        let result = aggregate(&parameters(&base), &accepted).unwrap();
        let expected: Vec<f32> = base
            .iter()
            .zip(change.values())
            .map(|(value, change)| (f64::from(*value) + f64::from(*change)) as f32)
            .collect();
        prop_assert_eq!(values(&result), expected);
    }

    #[test]
    fn the_mean_lies_between_the_updates((base, updates) in rounds()) {
        let zero = parameters(&vec![0.0; base.len()]);
        let weighted: Vec<_> = updates.iter().map(|(samples, values)| (samples.max(&1), update(values))).collect();
        let borrowed: Vec<_> = weighted.iter().map(|(samples, update)| (**samples, update)).collect();
        let result = values(&aggregate(&zero, &borrowed).unwrap());
        for (index, value) in result.iter().enumerate() {
            let column = || weighted.iter().map(|(_samples, update)| update.values()[index]);
            let (least, most) = (column().fold(f32::MAX, f32::min), column().fold(f32::MIN, f32::max));
            let is_between = weighted.is_empty() || (*value >= least && *value <= most);
            prop_assert!(is_between, "{}", format!("{value} is not between {least} and {most}"));
        }
    }
}

const ROBUST: [Rule; 7] = [
    Rule::MedianNormClip,
    Rule::CenteredClip,
    Rule::Krum,
    Rule::MultiKrum,
    Rule::CoordinateMedian,
    Rule::TrimmedMean,
    Rule::GeometricMedian,
];
const BEFORE: [Option<Before>; 3] = [None, Some(Before::NearestNeighbours), Some(Before::Bucketing)];

/// Every robust rule, with everything that may come before it.
fn robust(hostile: f64) -> impl Iterator<Item = AggregationRule> {
    let with = move |rule| BEFORE.into_iter().map(move |before| AggregationRule { rule, before, hostile });
    ROBUST.into_iter().flat_map(with)
}

/// What a rule makes of updates with their samples, from this base.
fn combined(base: &[f32], updates: &[(u32, Vec<f32>)], rule: &AggregationRule) -> Vec<f32> {
    let mut aggregation =
        Aggregation::new(&parameters(base).to_safetensors(), Codec::new(Encoding::Dense), 1e39, rule)
            .unwrap();
    for (samples, values) in updates {
        assert!(aggregation.add(*samples, &update(values).encode().unwrap()));
    }
    values(&aggregation.finish())
}

fn length(values: &[f32]) -> f64 {
    update(values).norm()
}

#[test]
fn of_one_or_two_updates_every_rule_gives_the_mean() {
    for rule in robust(0.2) {
        assert_eq!(combined(&[1.0, -0.0], &[], &rule), [1.0, -0.0]);
        assert_eq!(combined(&[1.0, 2.0], &[(9, vec![0.5, -4.0])], &rule), [1.5, -2.0]);
        let two = [(480, vec![1.0, 0.0]), (480, vec![3.0, 8.0])];
        assert_eq!(combined(&[0.0, 0.0], &two, &rule), [2.0, 4.0], "{rule:?}");
    }
}

#[test]
fn a_large_claim_weighs_no_more_than_the_middle_one() {
    for rule in robust(0.2) {
        let two = [(1, vec![1.0, 0.0]), (u32::MAX, vec![3.0, 8.0])];
        assert_eq!(combined(&[0.0, 0.0], &two, &rule), [2.0, 4.0], "{rule:?}");
    }
}

#[test]
fn an_update_of_no_samples_does_not_count() {
    let some = [(5, vec![1.0, 0.0]), (5, vec![0.0, 1.0]), (5, vec![1.0, 1.0])];
    let more = [&some[..], &[(0, vec![-90.0, 7.0])]].concat();
    for rule in robust(0.2) {
        assert_eq!(combined(&[0.0, 0.0], &more, &rule), combined(&[0.0, 0.0], &some, &rule), "{rule:?}");
    }
}

/// Seven updates around 1 and three of another kind, in an order that mixes them.
fn attacked(hostile: &[f32; 4]) -> Vec<(u32, Vec<f32>)> {
    let honest =
        |index: u8| (0..4u8).map(|place| 0.9 + f32::from((index * 7 + place * 5) % 11) / 50.0).collect();
    let kind = |index: u8| if index % 3 == 1 { hostile.to_vec() } else { honest(index) };
    (0..10).map(|index| (480, kind(index))).collect()
}

#[test]
fn three_hostile_of_ten_move_the_mean_and_no_robust_rule() {
    for hostile in [[-9.0; 4], [40.0, -40.0, 40.0, -40.0], [1e30; 4]] {
        let updates = attacked(&hostile);
        let apart = |rule: &AggregationRule| {
            let result = combined(&[0.0; 4], &updates, rule);
            length(&result.iter().map(|value| value - 1.0).collect::<Vec<f32>>())
        };
        assert!(apart(&AggregationRule::default()) > 5.0);
        // Half of all pairs may be spoiled by three of ten.
        for rule in robust(0.3).filter(|rule| rule.before != Some(Before::Bucketing)) {
            // To shorten what points elsewhere is not to leave it out.
            let allowed = if rule.rule == Rule::MedianNormClip { 1.3 } else { 0.6 };
            assert!(apart(&rule) < allowed, "{rule:?}: {}", apart(&rule));
        }
    }
}

#[test]
fn a_hostile_pair_does_not_decide() {
    let mut updates = attacked(&[1.0; 4]);
    updates[4].1 = vec![-40.0; 4];
    for rule in robust(0.1).filter(|rule| rule.before == Some(Before::Bucketing)) {
        let result = combined(&[0.0; 4], &updates, &rule);
        let allowed = if rule.rule == Rule::MedianNormClip { 0.8 } else { 0.6 };
        assert!(result.iter().all(|value| (value - 1.0).abs() < allowed), "{rule:?}: {result:?}");
    }
}

#[test]
fn whom_an_update_is_paired_with_follows_from_the_base() {
    let rule =
        AggregationRule { rule: Rule::CoordinateMedian, before: Some(Before::Bucketing), hostile: 0.2 };
    let updates: Vec<_> =
        (0..9u8).map(|index| (1, vec![f32::from(index * index), f32::from(index)])).collect();
    let of = |base: f32| combined(&[base, base], &updates, &rule).iter().map(|value| value - base).collect();
    let results: Vec<Vec<f32>> = (0..8u8).map(|base| of(f32::from(base))).collect();
    assert!(results.iter().any(|result| result != &results[0]), "{results:?}");
    assert_eq!(of(3.0), results[3]);
}

#[test]
fn more_than_memory_allows_are_drawn_by_lot() {
    let mut held = Held::new(
        AggregationRule { rule: Rule::Krum, ..AggregationRule::default() },
        1 << 26,
        &Cid::of_raw(b"base"),
    );
    for index in 0..100u8 {
        held.add(1, update(&[f32::from(index)]));
    }
    let mut kept = held.kept();
    kept.sort_unstable();
    kept.dedup();
    assert_eq!(kept.len(), 3);
    assert!(kept[2] >= 3f32.to_bits(), "not the first that came: {kept:?}");
}

proptest! {
    #[test]
    fn every_rule_gives_a_checkpoint_among_the_updates((base, updates) in rounds(), hostile in 0f64..0.49) {
        let columns = |index: usize| updates.iter().filter(|(samples, _values)| *samples > 0).map(move |(_samples, values)| values[index]);
        for rule in robust(hostile) {
            // Whatever came, the next round can start from the result.
            let whole = combined(&base, &updates, &rule);
            prop_assert!(whole.iter().all(|value| value.is_finite()));
            let change = combined(&vec![0.0; base.len()], &updates, &rule);
            for (index, value) in change.iter().enumerate() {
                // What is clipped lies towards the base.
                let least = columns(index).fold(0.0, f32::min);
                let most = columns(index).fold(0.0, f32::max);
                let room = (most - least) * 1e-6;
                prop_assert!(*value >= least - room && *value <= most + room, "{:?}: {} is not in {}..{}", rule, value, least, most);
            }
        }
    }

    #[test]
    fn equal_updates_are_what_every_rule_gives(change in proptest::collection::vec(-1e3f32..1e3, 4), count in 1usize..12, hostile in 0f64..0.49) {
        let updates = vec![(480, change.clone()); count];
        for rule in robust(hostile) {
            for (value, expected) in combined(&[0.0; 4], &updates, &rule).iter().zip(&change) {
                prop_assert!((value - expected).abs() <= 1e-6 * expected.abs(), "{:?}: {} is not {}", rule, value, expected);
            }
        }
    }

    #[test]
    fn the_rank_of_a_value_does_not_depend_on_the_order((base, updates) in rounds()) {
        let mut turned = updates.clone();
        turned.reverse();
        for rule in [Rule::CoordinateMedian, Rule::TrimmedMean] {
            let rule = AggregationRule { rule, before: None, hostile: 0.45 };
            if updates.len() > 2 {
                let sum = combined(&base, &updates, &rule);
                prop_assert_eq!(sum, combined(&base, &turned, &rule));
            }
        }
    }
}

#[test]
fn numbers_are_sorted_as_the_library_sorts_them() {
    let mut ours = [3.5, -0.0, 0.0, -7.25, 1e300, -1e-300, f64::MAX, f64::MIN, 3.5, 2.0];
    let mut theirs = ours;
    points::sort(&mut ours);
    theirs.sort_unstable_by(f64::total_cmp);
    assert_eq!(ours.map(f64::to_bits), theirs.map(f64::to_bits));
}

#[test]
fn of_equal_values_the_first_are_the_least() {
    assert_eq!(points::least(&[2.0, 1.0, 2.0, 0.0, 2.0], 4), [true, true, true, true, false]);
    assert_eq!(points::least(&[2.0, 1.0, 2.0, 0.0, 2.0], 2), [false, true, false, true, false]);
    assert_eq!(points::least(&[1.0, 1.0], 0), [false, false]);
}
