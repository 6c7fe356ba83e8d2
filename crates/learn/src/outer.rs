//! The outer optimiser: how a round's combined update changes the model, the same bits on every machine.

mod state;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;

use lichen_campaign::{Moments, Momentum, OuterOptimizer};
use lichen_model::Parameters;

use crate::aggregate::is_within;
use crate::power::power;
use crate::update::to_f32;

pub use state::{OuterState, OuterStateError};

/// Takes the model one step on from a round's base: gives the result and what is carried over to the round that begins with it,
/// which only the mean does without. `change` is the combined update, one value for each parameter; no state begins anew.
///
/// None where a number would leave those that `f32` has: then the round has come to nothing.
#[must_use]
pub fn outer_step(
    optimizer: &OuterOptimizer,
    base: &Parameters,
    change: &[f64],
    state: Option<&OuterState>,
) -> Option<(Parameters, Option<OuterState>)> {
    let mut next = match state {
        Some(state) => state.clone(),
        None => OuterState::new(optimizer, base.elements()),
    };
    next.steps = next.steps.saturating_add(1);
    let mut result = base.clone();
    let values = result.iter_mut().flat_map(|(_name, tensor)| tensor.data_mut()).zip(change);
    let is_whole = match optimizer {
        OuterOptimizer::Mean => {
            values.fold(true, |is_whole, (value, change)| is_whole & step(value, *change))
        }
        OuterOptimizer::Momentum(Momentum { rate, momentum }) => {
            let steps = values.zip(&mut next.first);
            steps.fold(true, |is_whole, ((value, change), first)| {
                let sum = momentum * f64::from(*first) + change;
                is_whole & keep(first, sum) & step(value, rate * sum)
            })
        }
        OuterOptimizer::Nesterov(Momentum { rate, momentum }) => {
            let steps = values.zip(&mut next.first);
            steps.fold(true, |is_whole, ((value, change), first)| {
                let sum = momentum * f64::from(*first) + change;
                is_whole & keep(first, sum) & step(value, rate * (change + momentum * sum))
            })
        }
        OuterOptimizer::Adam(moments) => {
            let Moments { rate, beta1, beta2, epsilon } = *moments;
            let rate = rate * correction(moments, next.steps);
            let steps = values.zip(&mut next.first).zip(&mut next.second);
            steps.fold(true, |is_whole, (((value, change), first), second)| {
                let mean = beta1 * f64::from(*first) + (1.0 - beta1) * change;
                let square = beta2 * f64::from(*second) + (1.0 - beta2) * (change * change);
                let by = rate * mean / (libm::sqrt(square) + epsilon);
                is_whole & keep(first, mean) & keep(second, square) & step(value, by)
            })
        }
        OuterOptimizer::Yogi(Moments { rate, beta1, beta2, epsilon }) => {
            let steps = values.zip(&mut next.first).zip(&mut next.second);
            steps.fold(true, |is_whole, (((value, change), first), second)| {
                let mean = beta1 * f64::from(*first) + (1.0 - beta1) * change;
                let square = towards(f64::from(*second), change * change, 1.0 - beta2);
                let by = rate * mean / (libm::sqrt(square) + epsilon);
                is_whole & keep(first, mean) & keep(second, square) & step(value, by)
            })
        }
    };
    is_whole.then(|| (result, (optimizer.moments() > 0).then_some(next)))
}

/// Moves a parameter, and says whether it is a number still.
fn step(value: &mut f32, by: f64) -> bool {
    *value = to_f32(f64::from(*value) + by);
    is_within(*value)
}

/// Keeps a moment, and says whether it is a number still.
fn keep(moment: &mut f32, value: f64) -> bool {
    *moment = to_f32(value);
    is_within(*moment)
}

/// What the first steps' rate is multiplied with, as their moments are still near the zero that they began with. The
/// exponent is one more than the step's number, as in Flower.
fn correction(moments: &Moments, steps: u64) -> f64 {
    let exponent = steps.saturating_add(1);
    libm::sqrt(1.0 - power(moments.beta2, exponent)) / (1.0 - power(moments.beta1, exponent))
}

/// Yogi's second moment: it moves by a share of the square, up or down.
fn towards(second: f64, square: f64, share: f64) -> f64 {
    if second > square {
        second - share * square
    } else if second < square {
        second + share * square
    } else {
        second
    }
}
