//! What changes from step to step: step size, Adam's corrections, the seed.

use crate::cosine::cosine;
use lichen_campaign::model_spec::{Optimizer, Schedule, TrainSpec};
use lichen_model::program::{Rule, StepValues};

/// The state of a schedule; all arithmetic is in double precision and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct StepSchedule {
    spec: TrainSpec,
    seed: u64,
    step: u32,
    /// beta1^t and beta2^t.
    powers: [f64; 2],
}

impl StepSchedule {
    pub(crate) fn new(spec: &TrainSpec, seed: u64) -> Self {
        Self { spec: spec.clone(), seed, step: 0, powers: [1.0, 1.0] }
    }

    /// Back to the first step.
    pub(crate) fn restart(&mut self, seed: u64) {
        self.seed = seed;
        self.step = 0;
        self.powers = [1.0, 1.0];
    }

    /// Sets the step size before the schedule.
    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        self.spec.learning_rate = learning_rate;
    }

    /// What the schedule follows.
    pub(crate) fn spec(&self) -> &TrainSpec {
        &self.spec
    }

    /// Steps taken.
    pub(crate) fn step(&self) -> u32 {
        self.step
    }

    /// Leaves out so many steps, with the same roundings as if they had been taken.
    pub(crate) fn skip(&mut self, steps: u32) {
        for _ in 0..steps {
            self.next(0.0);
        }
    }

    /// Values of the next step; `loss_scale` is 1 / (what the loss averages over).
    #[expect(clippy::cast_possible_truncation, reason = "kernels take single precision and 32 random bits")]
    pub(crate) fn next(&mut self, loss_scale: f32) -> StepValues {
        let (mut first, mut second) = (1.0, 1.0);
        if matches!(self.spec.optimizer, Optimizer::Adam | Optimizer::Adamw) {
            let (beta1, beta2) = betas(&self.spec);
            self.powers = [self.powers[0] * beta1, self.powers[1] * beta2];
            first = 1.0 / (1.0 - self.powers[0]);
            second = 1.0 / (1.0 - self.powers[1]).sqrt();
        }
        let seed = self.seed ^ (u64::from(self.step) << 32 | u64::from(self.step));
        let values = StepValues {
            learning_rate: self.rate() as f32,
            first_correction: first as f32,
            second_correction: second as f32,
            loss_scale,
            step: self.step,
            seed: (seed ^ (seed >> 32)) as u32,
        };
        self.step += 1;
        values
    }

    fn rate(&self) -> f64 {
        let (step, warmup) = (f64::from(self.step), f64::from(self.spec.warmup));
        let full = self.spec.learning_rate;
        if step < warmup {
            return full * (step + 1.0) / (warmup + 1.0);
        }
        match self.spec.schedule {
            Schedule::Constant => full,
            Schedule::Cosine => {
                let length = (f64::from(self.spec.steps) - warmup).max(1.0);
                let share = ((step - warmup) / length).min(1.0);
                full * 0.5 * (1.0 + cosine(core::f64::consts::PI * share))
            }
        }
    }
}

fn betas(spec: &TrainSpec) -> (f64, f64) {
    let second = if spec.optimizer == Optimizer::Lion { 0.99 } else { 0.999 };
    (spec.beta1.unwrap_or(0.9), spec.beta2.unwrap_or(second))
}

/// The kernel's rule for a specification.
#[expect(clippy::cast_possible_truncation, reason = "kernels take single precision")]
pub(crate) fn rule(spec: &TrainSpec) -> Rule {
    let (beta1, beta2) = betas(spec);
    let decay =
        spec.weight_decay.unwrap_or(if spec.optimizer == Optimizer::Adamw { 0.01 } else { 0.0 }) as f32;
    match spec.optimizer {
        Optimizer::Sgd => Rule::Sgd { momentum: spec.momentum.unwrap_or(0.0) as f32, decay },
        Optimizer::Adam | Optimizer::Adamw => Rule::Adam {
            beta1: beta1 as f32,
            rest1: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            rest2: (1.0 - beta2) as f32,
            epsilon: spec.epsilon.unwrap_or(1e-8) as f32,
            decay,
            decoupled: spec.optimizer == Optimizer::Adamw,
        },
        Optimizer::Lion => Rule::Lion { beta1: beta1 as f32, beta2: beta2 as f32, decay },
    }
}

/// The weight of one target among so many.
#[expect(clippy::cast_precision_loss, reason = "rounding to single precision is meant")]
pub(crate) fn share(count: usize) -> f32 {
    if count == 0 { 0.0 } else { 1.0 / count as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_and_fall() {
        let spec =
            TrainSpec { schedule: Schedule::Cosine, warmup: 2, steps: 6, ..crate::testing::adam(1.0, 1) };
        let mut schedule = StepSchedule::new(&spec, 0);
        let rates: Vec<f32> = (0..7).map(|_| schedule.next(1.0).learning_rate).collect();
        let expected = [1.0 / 3.0, 2.0 / 3.0, 1.0, 0.853_553_4, 0.5, 0.146_446_6, 0.0];
        for (rate, expected) in rates.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-6, "{rates:?}");
        }
    }
}
