//! What the outer optimisers' steps are, their bits, and what is no state.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::{Moments, Momentum, OuterOptimizer};
use lichen_model::{Parameters, Tensor};
use proptest::prelude::*;

use super::{OuterState, OuterStateError, outer_step};

const MOMENTUM: OuterOptimizer = OuterOptimizer::Momentum(Momentum { rate: 0.5, momentum: 0.5 });
const NESTEROV: OuterOptimizer = OuterOptimizer::Nesterov(Momentum { rate: 0.5, momentum: 0.5 });
const ADAM: OuterOptimizer =
    OuterOptimizer::Adam(Moments { rate: 0.1, beta1: 0.5, beta2: 0.5, epsilon: 1e-3 });
const YOGI: OuterOptimizer =
    OuterOptimizer::Yogi(Moments { rate: 0.1, beta1: 0.5, beta2: 0.5, epsilon: 1e-3 });
const STATEFUL: [OuterOptimizer; 4] = [MOMENTUM, NESTEROV, ADAM, YOGI];

fn model(values: &[f32]) -> Parameters {
    let mut parameters = Parameters::new();
    parameters.insert("w".into(), Tensor::new(vec![values.len()], values.to_vec()).unwrap()).unwrap();
    parameters
}

fn values(parameters: &Parameters) -> Vec<f32> {
    parameters.iter().flat_map(|(_name, tensor)| tensor.data()).copied().collect()
}

/// What the parameters are after each of these changes.
fn course(optimizer: &OuterOptimizer, from: f32, changes: &[f64]) -> Vec<f32> {
    let (mut base, mut state) = (model(&[from]), None);
    let mut course = Vec::new();
    for change in changes {
        let (result, next) = outer_step(optimizer, &base, &[*change], state.as_ref()).unwrap();
        course.push(values(&result)[0]);
        (base, state) = (result, next);
    }
    course
}

#[test]
fn the_mean_adds_and_carries_nothing_over() {
    let (result, state) = outer_step(&OuterOptimizer::Mean, &model(&[1.0, 2.0]), &[0.5, -1.0], None).unwrap();
    assert_eq!((values(&result), state), (vec![1.5, 1.0], None));
}

#[test]
fn momentum_goes_on_by_itself() {
    // m = 1, 0.5, 2.25
    assert_eq!(course(&MOMENTUM, 0.0, &[1.0, 0.0, 2.0]), [0.5, 0.75, 1.875]);
    // d + m / 2 = 1.5, 0.25, 3.125
    assert_eq!(course(&NESTEROV, 0.0, &[1.0, 0.0, 2.0]), [0.75, 0.875, 2.4375]);
}

#[test]
fn steps_of_adam_and_yogi_are_about_the_rate_however_large_the_change() {
    for optimizer in [ADAM, YOGI] {
        for change in [0.1, 10.0, 1000.0] {
            let first = course(&optimizer, 0.0, &[change])[0];
            assert!((0.05..0.15).contains(&first), "{optimizer:?} {change}: {first}");
        }
    }
}

#[test]
fn the_second_moment_of_yogi_falls_by_a_share_of_the_square() {
    let (_result, state) = outer_step(&YOGI, &model(&[0.0]), &[2.0], None).unwrap();
    let state = state.unwrap();
    assert_eq!(state.second, [2.0]);
    let (_result, state) = outer_step(&YOGI, &model(&[0.0]), &[1.0], Some(&state)).unwrap();
    assert_eq!(state.unwrap().second, [1.5]);
}

#[test]
fn where_a_number_would_end_there_is_no_step() {
    for optimizer in [OuterOptimizer::Mean, MOMENTUM, NESTEROV, ADAM, YOGI] {
        assert_eq!(outer_step(&optimizer, &model(&[1.0, 1.0]), &[0.0, 1e39], None), None, "{optimizer:?}");
    }
    // The model would hold it, the second moment would not.
    assert_eq!(outer_step(&ADAM, &model(&[1.0]), &[1e20], None), None);
}

#[test]
fn a_state_of_another_optimiser_or_model_is_refused() {
    let (_result, state) = outer_step(&ADAM, &model(&[1.0, 2.0]), &[0.5, 0.25], None).unwrap();
    let bytes = state.unwrap().encode().unwrap();
    assert!(OuterState::decode(&bytes, &ADAM, 2).is_ok());
    for (optimizer, elements) in [(YOGI, 2), (ADAM, 1), (ADAM, 3)] {
        let refused = OuterState::decode(&bytes, &optimizer, elements);
        let is_other = matches!(refused, Err(OuterStateError::Other | OuterStateError::Decode(_)));
        assert!(is_other, "{refused:?}");
    }
    for optimizer in [OuterOptimizer::Mean, MOMENTUM] {
        assert!(OuterState::decode(&bytes, &optimizer, 2).is_err());
    }
}

#[test]
fn what_no_step_can_give_is_no_state() {
    let state = OuterState { optimizer: "adam", steps: 1, first: vec![1.0], second: vec![1.0] };
    assert_eq!(OuterState::decode(&state.encode().unwrap(), &ADAM, 1), Ok(state.clone()));
    for broken in [
        OuterState { steps: 0, ..state.clone() },
        OuterState { first: vec![f32::NAN], ..state.clone() },
        OuterState { first: vec![f32::MAX], ..state.clone() },
        OuterState { second: vec![f32::INFINITY], ..state.clone() },
        OuterState { second: vec![-1.0], ..state },
    ] {
        assert_eq!(OuterState::decode(&broken.encode().unwrap(), &ADAM, 1), Err(OuterStateError::Broken));
    }
}

#[test]
fn states_are_within_their_bound() {
    for optimizer in STATEFUL {
        for elements in [1, 2, 1000, 100_000] {
            let (first, second) = (vec![1.0; elements], vec![1.0; elements]);
            let mut state = OuterState { steps: u64::MAX, ..OuterState::new(&optimizer, 0) };
            state.first = first;
            if optimizer.moments() == 2 {
                state.second = second;
            }
            assert!(state.encode().unwrap().len() <= OuterState::most_bytes(&optimizer, elements));
        }
    }
}

fn optimizers() -> impl Strategy<Value = OuterOptimizer> {
    let momentum = (1e-6..10.0, 0.0..0.999).prop_map(|(rate, momentum)| Momentum { rate, momentum });
    let moments = (1e-6..10.0, 0.0..0.9999, 0.0..0.9999, 1e-12..1.0)
        .prop_map(|(rate, beta1, beta2, epsilon)| Moments { rate, beta1, beta2, epsilon });
    prop_oneof![
        momentum.clone().prop_map(OuterOptimizer::Momentum),
        momentum.prop_map(OuterOptimizer::Nesterov),
        moments.clone().prop_map(OuterOptimizer::Adam),
        moments.prop_map(OuterOptimizer::Yogi),
    ]
}

proptest! {
    #[test]
    fn momentum_of_nothing_at_rate_one_is_the_mean(base in proptest::collection::vec(-1e30f32..1e30, 1..20), change in -1e30f64..1e30) {
        let changes = vec![change; base.len()];
        let plain = OuterOptimizer::Momentum(Momentum { rate: 1.0, momentum: 0.0 });
        let mean = outer_step(&OuterOptimizer::Mean, &model(&base), &changes, None).unwrap().0;
        prop_assert_eq!(outer_step(&plain, &model(&base), &changes, None).unwrap().0, mean);
    }

    #[test]
    fn whatever_comes_the_model_stays_one_of_numbers_and_the_state_goes_through_its_bytes(
        optimizer in optimizers(),
        rounds in proptest::collection::vec((proptest::num::f64::NORMAL, -1.0f64..1.0), 1..12),
    ) {
        let (mut base, mut state) = (model(&[0.5, -2.0]), None);
        for (wild, tame) in rounds {
            let Some((result, next)) = outer_step(&optimizer, &base, &[wild, tame], state.as_ref()) else { continue };
            let next = next.unwrap();
            prop_assert!(values(&result).iter().all(|value| value.is_finite()));
            let bytes = next.encode().unwrap();
            prop_assert_eq!(OuterState::decode(&bytes, &optimizer, 2), Ok(next.clone()));
            prop_assert_eq!(next.steps(), state.as_ref().map_or(0, OuterState::steps) + 1);
            (base, state) = (result, Some(next));
        }
    }

    #[test]
    fn damaged_states_are_refused_or_canonical(
        optimizer in optimizers(),
        place in any::<prop::sample::Index>(),
        byte: u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let (_result, state) = outer_step(&optimizer, &model(&[0.5, -2.0, 3.0]), &[0.1, 0.2, -0.3], None).unwrap();
        let mut bytes = state.unwrap().encode().unwrap();
        prop_assert!(OuterState::decode(&bytes[..cut.index(bytes.len())], &optimizer, 3).is_err());
        let place = place.index(bytes.len());
        bytes[place] = byte;
        if let Ok(state) = OuterState::decode(&bytes, &optimizer, 3) {
            prop_assert_eq!(state.encode().unwrap(), bytes);
        }
    }
}
