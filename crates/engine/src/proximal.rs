//! The pull towards the model that a round began with, so that peers whose samples differ do not drift apart.

use lichen_model::program::{GRADIENTS, PARAMETERS};

use crate::cpu::CpuExecutor;

/// Adds to the gradient what `strength / 2 · ‖θ - θ₀‖²` adds to the loss's.
pub(crate) struct Proximal {
    strength: f32,
    /// What the parameters' slot held when the round began.
    base: Vec<f32>,
}

impl Proximal {
    pub(crate) const fn new(strength: f32) -> Self {
        Self { strength, base: Vec::new() }
    }

    /// A round begins with these parameters.
    pub(crate) fn begin(&mut self, parameters: &[f32]) {
        self.base.clear();
        self.base.extend_from_slice(parameters);
    }

    pub(crate) fn add(&self, executor: &mut CpuExecutor) {
        let mut gradients = executor.slot(GRADIENTS).to_vec();
        let pairs = executor.slot(PARAMETERS).iter().zip(&self.base);
        for (gradient, (parameter, base)) in gradients.iter_mut().zip(pairs) {
            *gradient += self.strength * (parameter - base);
        }
        executor.write_slot(GRADIENTS, &gradients);
    }
}
