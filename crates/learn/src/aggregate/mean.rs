//! The mean of updates, weighted by their samples, one update after the other.

use alloc::vec;
use alloc::vec::Vec;

use crate::Update;

#[derive(Clone, Debug)]
pub(super) struct WeightedMean {
    sums: Vec<f64>,
    weight: f64,
}

impl WeightedMean {
    pub(super) fn new(count: usize) -> Self {
        Self { sums: vec![0.0; count], weight: 0.0 }
    }

    pub(super) fn add(&mut self, samples: u32, update: &Update) {
        let weight = f64::from(samples);
        self.weight += weight;
        for (sum, value) in self.sums.iter_mut().zip(update.values()) {
            *sum += weight * f64::from(*value);
        }
    }

    /// What becomes of the updates; none if none of them weighs anything.
    pub(super) fn combined(mut self) -> Option<Vec<f64>> {
        if self.weight == 0.0 {
            return None;
        }
        for sum in &mut self.sums {
            *sum /= self.weight;
        }
        Some(self.sums)
    }
}
