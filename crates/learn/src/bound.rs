//! How large an update may be.

use lichen_campaign::Manifest;
use lichen_campaign::model_spec::{Optimizer, TrainSpec};
use lichen_model::{ModelError, layers};

use crate::Update;

/// How many times the length of its steps an adaptive optimiser's update may be.
const ROOM: f64 = 4.0;

/// Small models may change this much whatever they are made of.
const LEAST: f64 = 10.0;

/// What a clipped update lies below its bound, since its values are rounded to 32 bits again.
const ROUNDING: f64 = 1.0 - 1e-6;

/// The largest L2 norm that an update of this campaign may have: `update.max_norm` of the manifest, or the default that
/// the documentation of this crate gives.
///
/// # Errors
/// [`ModelError`] if the layers do not fit.
pub fn max_norm(manifest: &Manifest) -> Result<f64, ModelError> {
    if let Some(given) = manifest.update.max_norm {
        return Ok(given);
    }
    let graph = layers::build(&manifest.model, 1)?;
    let parameters =
        graph.parameters().iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum();
    let is_trained = graph.parameters().iter().all(|parameter| parameter.trained);
    // Whatever the organiser changes, the bound stays.
    let train = TrainSpec { learning_rate: manifest.largest_learning_rate(), ..manifest.train.clone() };
    Ok(default_norm(parameters, is_trained, &train))
}

#[expect(clippy::cast_precision_loss, reason = "models have far fewer parameters than 2^52")]
fn default_norm(parameters: usize, is_trained: bool, train: &TrainSpec) -> f64 {
    // Running statistics go where the data is, however small the steps.
    let is_adaptive = is_trained && train.optimizer != Optimizer::Sgd;
    // Where devices take as many steps as they come to, updates are bounded as they are counted: extended to all steps.
    let most = train.budget.map_or(1.0, |budget| f64::from(train.steps) / f64::from(budget.least.max(1)));
    let each = if is_adaptive { ROOM * train.learning_rate * f64::from(train.steps) } else { most };
    (libm::sqrt(parameters as f64) * each.min(most)).max(LEAST)
}

impl Update {
    /// The L2 norm: squares added up in the order of the values, in 64 bits, so that everybody finds the same.
    #[must_use]
    pub fn norm(&self) -> f64 {
        libm::sqrt(self.values().iter().map(|value| f64::from(*value)).map(|value| value * value).sum())
    }

    /// The update, shortened to this norm if it is longer. It points where it did.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what values are kept in")]
    pub fn clipped(mut self, max_norm: f64) -> Self {
        let norm = self.norm();
        if norm > max_norm {
            let scale = max_norm / norm * ROUNDING;
            for value in self.values_mut() {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        self
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    const DIGITS: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");

    fn manifest(changes: &[(&str, &str)]) -> Manifest {
        // Budgets of time do not go together with the table on audits.
        let unaudited = DIGITS.split("[audit]").next().unwrap();
        let mut text = alloc::string::String::from(unaudited);
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        Manifest::parse(&text).unwrap()
    }

    #[test]
    fn the_default_is_as_documented() {
        // 2,410 parameters, 60 steps of 0.002: √2410 · 4 · 0.12.
        let digits = max_norm(&manifest(&[])).unwrap();
        assert!((digits - 23.564).abs() < 1e-3, "{digits}");
        let root = 2410f64.sqrt();
        let of = |changes: &[(&str, &str)]| max_norm(&manifest(changes)).unwrap();
        assert_eq!(of(&[("steps = 60", "steps = 6000")]), root);
        assert_eq!(of(&[("steps = 60", "steps = 1")]), LEAST);
        assert_eq!(of(&[("\"adam\"", "\"sgd\"")]), root);
        let half = |steps: &str| alloc::format!("{steps}\nseconds = 1\nleast_steps = 30");
        assert_eq!(of(&[("steps = 60", &half("steps = 60")), ("\"adam\"", "\"sgd\"")]), 2.0 * root);
        assert_eq!(of(&[("steps = 60", &half("steps = 60"))]), digits);
        assert_eq!(of(&[("steps = 60", &half("steps = 6000"))]), root * 4.0 * 0.002 * 6000.0);
        assert_eq!(of(&[("[rounds]", "[update]\nmax_norm = 0.5\n[rounds]")]), 0.5);
    }

    #[test]
    fn ten_for_each_parameter_is_too_long_by_default() {
        for parameters in [2, 100, 2410, 1_000_000] {
            let hostile = Update::new(vec![10.0; parameters]).unwrap();
            for optimizer in ["adam", "sgd"] {
                let train = manifest(&[("\"adam\"", &alloc::format!("\"{optimizer}\""))]).train;
                assert!(hostile.norm() > default_norm(parameters, true, &train));
            }
        }
    }

    #[test]
    fn a_norm_of_anything_finite_is_finite() {
        let largest = Update::new(vec![f32::MAX; 1000]).unwrap();
        assert!((largest.norm() / f64::from(f32::MAX) - 1000f64.sqrt()).abs() < 1e-9);
        assert_eq!(Update::new(Vec::new()).unwrap().norm(), 0.0);
        assert_eq!(Update::new(vec![3.0, -4.0]).unwrap().norm(), 5.0);
    }

    #[test]
    fn what_is_short_enough_stays_to_the_bit() {
        let update = Update::new(vec![3.0, -4.0]).unwrap();
        assert_eq!(update.clone().clipped(5.0), update);
    }

    proptest! {
        #[test]
        fn what_is_clipped_is_within_the_bound(values in proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO, 1..200), bound in 1e-6f64..1e12) {
            let update = Update::new(values).unwrap();
            let norm = update.norm();
            let clipped = update.clone().clipped(bound);
            prop_assert!(clipped.norm() <= bound, "{} of {bound}", clipped.norm());
            if norm <= bound {
                prop_assert_eq!(clipped, update);
            } else {
                prop_assert!(clipped.norm() > bound * 0.999);
                for (short, long) in clipped.values().iter().zip(update.values()) {
                    prop_assert!(*short == 0.0 || short.signum() == long.signum());
                }
            }
        }
    }
}
