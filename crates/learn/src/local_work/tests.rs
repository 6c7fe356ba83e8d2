//! What uneven work comes to, against the paper's formula, and what that is for.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::model_spec::Budget;
use lichen_campaign::{AggregationRule, Encoding};
use lichen_model::{Parameters, Tensor};
use proptest::prelude::*;

use super::*;
use crate::{Aggregation, Codec};

fn spec(optimizer: Optimizer, momentum: Option<f64>, steps: u32) -> TrainSpec {
    let budget = Some(Budget { seconds: 1.0, least: 1 });
    TrainSpec { momentum, budget, ..TrainSpec::plain(optimizer, 0.1, 8, steps) }
}

fn parameters(values: &[f32]) -> Parameters {
    let mut parameters = Parameters::new();
    parameters.insert("w".into(), Tensor::new(vec![values.len()], values.to_vec()).unwrap()).unwrap();
    parameters
}

fn values(parameters: &Parameters) -> Vec<f64> {
    parameters.iter().flat_map(|(_name, tensor)| tensor.data()).map(|value| f64::from(*value)).collect()
}

/// What comes of a round with these weights, updates and steps.
fn round(base: &[f32], train: &TrainSpec, given: &[(u32, Vec<f32>, u32)]) -> Vec<f64> {
    let bytes = parameters(base).to_safetensors();
    let codec = Codec::new(Encoding::Dense);
    let mut aggregation = Aggregation::new(&bytes, codec, 1e9, &AggregationRule::default()).unwrap();
    for (weight, update, steps) in given {
        let work = LocalWork::of(train, *steps);
        let update = Update::new(update.clone()).unwrap().extended(work).encode().unwrap();
        assert!(aggregation.add_part(*weight, work, &update));
    }
    values(&aggregation.finish())
}

/// Wang et al., 2020, section 4, written down as it stands there.
fn fed_nova(base: &[f32], momentum: f64, given: &[(u32, Vec<f32>, u32)]) -> Vec<f64> {
    let all: f64 = given.iter().map(|(weight, _, _)| f64::from(*weight)).sum();
    let norm = |steps: u32| match momentum {
        0.0 => f64::from(steps),
        rho => {
            let power = rho.powi(i32::try_from(steps).unwrap());
            (f64::from(steps) - rho * (1.0 - power) / (1.0 - rho)) / (1.0 - rho)
        }
    };
    let share = |weight: u32| f64::from(weight) / all;
    let effective: f64 = given.iter().map(|(weight, _, steps)| share(*weight) * norm(*steps)).sum();
    let at = |index: usize| {
        let normalised = |(weight, update, steps): &(u32, Vec<f32>, u32)| {
            share(*weight) * f64::from(update[index]) / norm(*steps)
        };
        f64::from(base[index]) + effective * given.iter().map(normalised).sum::<f64>()
    };
    (0..base.len()).map(at).collect()
}

proptest! {
    #[test]
    fn a_round_is_what_the_paper_says(
        base in proptest::collection::vec(-2f32..2.0, 3),
        given in proptest::collection::vec((1u32..500, proptest::collection::vec(-1f32..1.0, 3), 1u32..=60), 1..7),
        momentum in prop_oneof![Just(0.0), 0.1f64..0.95],
    ) {
        let expected = fed_nova(&base, momentum, &given);
        let found = round(&base, &spec(Optimizer::Sgd, Some(momentum), 60), &given);
        for (found, expected) in found.iter().zip(&expected) {
            prop_assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }

    #[test]
    fn full_trainings_are_combined_as_without_a_budget(
        base in proptest::collection::vec(-2f32..2.0, 5),
        given in proptest::collection::vec((1u32..500, proptest::collection::vec(-1f32..1.0, 5), Just(60u32)), 1..7),
    ) {
        let budgeted = spec(Optimizer::Sgd, Some(0.9), 60);
        let plain = TrainSpec { budget: None, ..budgeted.clone() };
        let uneven: Vec<_> = given.iter().cloned().map(|(weight, update, _)| (weight, update, 7)).collect();
        prop_assert_eq!(round(&base, &budgeted, &given), round(&base, &plain, &given));
        prop_assert_eq!(round(&base, &plain, &uneven), round(&base, &plain, &given), "no budget, no difference");
    }
}

#[test]
fn steps_of_adaptive_optimisers_count_as_they_are() {
    for optimizer in [Optimizer::Adam, Optimizer::Adamw, Optimizer::Lion] {
        assert_eq!(LocalWork::of(&spec(optimizer, None, 60), 15).share(), 0.25);
    }
    let with_momentum = LocalWork::of(&spec(Optimizer::Sgd, Some(0.9), 60), 15).share();
    assert!(with_momentum < 0.25, "the first steps of a momentum go less far: {with_momentum}");
    assert_eq!(LocalWork::of(&spec(Optimizer::Sgd, Some(0.9), 60), 60), LocalWork::FULL);
    assert_eq!(LocalWork::of(&spec(Optimizer::Adam, None, 60), 0).share(), 1.0 / 60.0);
}

#[test]
fn an_extended_update_stays_finite() {
    let update = Update::new(vec![f32::MAX, -f32::MAX, 1.0]).unwrap();
    let extended = update.extended(LocalWork::of(&spec(Optimizer::Adam, None, 60), 1));
    assert_eq!(extended.values(), [f32::MAX, f32::MIN, 60.0]);
}

/// One of four pulls to its own samples with fifteen times the steps of the others: gradient descent on
/// `½ (x - centreᵢ)²`, whose best common answer is the mean of the centres.
#[test]
fn uneven_work_leaves_the_model_where_even_work_would() {
    const CENTRES: [f32; 4] = [4.0, -1.0, 0.0, 1.0];
    const STEPS: [u32; 4] = [60, 4, 4, 4];
    const RATE: f32 = 0.005;
    let train = spec(Optimizer::Sgd, None, 60);
    let local = |start: f32, centre: f32, steps: u32| {
        let end = (0..steps).fold(start, |x, _step| x - RATE * (x - centre));
        end - start
    };
    let learn = |train: &TrainSpec| {
        (0..400).fold(0.0f32, |x, _round| {
            let given: Vec<_> = CENTRES
                .iter()
                .zip(STEPS)
                .map(|(centre, steps)| (480, vec![local(x, *centre, steps)], steps))
                .collect();
            to_f32(round(&[x], train, &given)[0])
        })
    };
    let best = CENTRES.iter().sum::<f32>() / 4.0;
    let (normalised, plain) =
        ((learn(&train) - best).abs(), (learn(&TrainSpec { budget: None, ..train.clone() }) - best).abs());
    assert!(plain > 1.5, "the mean is off by {plain}");
    assert!(normalised < plain / 8.0, "{normalised} is not much better than {plain}");
}
