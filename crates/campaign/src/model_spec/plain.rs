//! Training with everything that may be left out left out.

use super::{Optimizer, Schedule, TrainSpec};

impl TrainSpec {
    /// This rule with its usual parameters, a constant step size and no bounds.
    #[must_use]
    pub const fn plain(optimizer: Optimizer, learning_rate: f64, batch: usize, steps: u32) -> Self {
        Self {
            optimizer,
            learning_rate,
            batch,
            steps,
            budget: None,
            schedule: Schedule::Constant,
            warmup: 0,
            momentum: None,
            beta1: None,
            beta2: None,
            epsilon: None,
            weight_decay: None,
            clip_norm: None,
            clip_sample_norm: None,
            proximal: None,
        }
    }
}
