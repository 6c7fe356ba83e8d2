//! How much of a full training somebody did, where each trains for as long as it has time.
//!
//! Whoever takes more steps comes further towards what its own samples ask for, and would pull the mean there. So updates count
//! as if everybody had taken all steps, and their combination is shortened to what was done on average: `FedNova` (Wang et al.,
//! 2020, arXiv 2007.07481), whose step is `(Σ pᵢ aᵢ) Σ pᵢ Δᵢ / aᵢ`, with weights `pᵢ`, updates `Δᵢ` and effective numbers of
//! steps `aᵢ`.

use lichen_campaign::model_spec::{Optimizer, TrainSpec};

use crate::Update;
use crate::update::to_f32;

/// The share of a full training that was done, above 0 and up to 1: of all effective steps, so many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalWork(f64);

impl LocalWork {
    /// All of it.
    pub const FULL: Self = Self(1.0);

    /// What so many steps are; everything where the manifest gives each training as many.
    #[must_use]
    pub fn of(train: &TrainSpec, steps: u32) -> Self {
        if train.budget.is_none() || steps >= train.steps {
            return Self::FULL;
        }
        Self(effective_steps(train, steps.max(1)) / effective_steps(train, train.steps.max(1)))
    }

    /// The share.
    #[must_use]
    pub const fn share(self) -> f64 {
        self.0
    }
}

impl Update {
    /// What the update would be after all steps, if it went on as it did.
    #[must_use]
    pub fn extended(mut self, work: LocalWork) -> Self {
        if work != LocalWork::FULL {
            for value in self.values_mut() {
                *value = to_f32(f64::from(*value) / work.0).clamp(f32::MIN, f32::MAX);
            }
        }
        self
    }
}

/// How far so many steps go, in steps without momentum.
///
/// With SGD's momentum `ρ`, the gradient of each step goes into the later ones, too: of `n` steps, the k-th from the end counts
/// `1 + ρ + … + ρᵏ⁻¹`. Adam, `AdamW` and Lion divide by the gradient's own size, so that each step goes about as far as the
/// others whatever their decays are: there, steps count as they are.
fn effective_steps(train: &TrainSpec, steps: u32) -> f64 {
    let momentum = match train.optimizer {
        Optimizer::Sgd => train.momentum.unwrap_or(0.0),
        Optimizer::Adam | Optimizer::Adamw | Optimizer::Lion => 0.0,
    };
    if momentum == 0.0 {
        return f64::from(steps);
    }
    let (mut sum, mut counts) = (0.0, 0.0);
    for _step in 0..steps {
        counts = counts * momentum + 1.0;
        sum += counts;
    }
    sum
}

/// The average of what was done, by weight.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MeanWork {
    sum: f64,
    weight: f64,
}

impl MeanWork {
    pub(crate) fn add(&mut self, weight: u32, work: LocalWork) {
        self.sum += f64::from(weight) * work.0;
        self.weight += f64::from(weight);
    }

    /// Shortens what updates that were extended come to; what comes of full ones stays to the bit.
    pub(crate) fn shorten(self, change: &mut [f64]) {
        if self.weight > 0.0 && self.sum < self.weight {
            let share = self.sum / self.weight;
            change.iter_mut().for_each(|value| *value *= share);
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
