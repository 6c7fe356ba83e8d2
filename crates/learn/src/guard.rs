//! Whether a round's result is good enough to stand.

use lichen_campaign::Guard;
use lichen_campaign::model_spec::{Loss, ModelSpec};
use lichen_model::Answers;

/// Fewest samples from which an accuracy says something: on fewer, two or three of them are a tenth.
const FEWEST_FOR_ACCURACY: u32 = 100;

/// What a checkpoint is worth on held-out samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Mean loss; not a finite number where the model is broken.
    pub loss: f64,
    /// Share of samples answered rightly, 0 to 1; 0 for losses without right and wrong answers.
    pub accuracy: f64,
    /// Samples measured on.
    pub samples: u32,
}

/// Says whether a result may stand: a pure function of two measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judge {
    loss_factor: f64,
    loss_slack: f64,
    accuracy_drop: f64,
}

impl Judge {
    /// The judge of a campaign, `answers` being those of the samples that is measured on.
    #[must_use]
    pub fn new(guard: &Guard, model: &ModelSpec, answers: &Answers) -> Self {
        Self {
            loss_factor: guard.loss_factor,
            loss_slack: slack(model, answers),
            accuracy_drop: guard.accuracy_drop,
        }
    }

    /// Whether a round's result may stand beside the base that it came from. Where the base is broken itself, whatever
    /// is not broken may.
    #[must_use]
    pub fn accepts(&self, base: &Quality, result: &Quality) -> bool {
        if !result.loss.is_finite() {
            return false;
        }
        if !base.loss.is_finite() {
            return true;
        }
        let counts = result.samples >= FEWEST_FOR_ACCURACY;
        let is_right_enough = !counts || result.accuracy >= base.accuracy - self.accuracy_drop;
        is_right_enough && result.loss <= base.loss * self.loss_factor + self.loss_slack
    }
}

/// What a loss may be above so many times the base's. Near its end a training's loss goes up and down by factors, but not
/// by a tenth of what is lost by always giving the same answer.
fn slack(model: &ModelSpec, answers: &Answers) -> f64 {
    let variance = match answers {
        Answers::Labels(_) => 0.0,
        Answers::Values(values) => variance(values),
    };
    let deviation = libm::sqrt(variance);
    match model.loss {
        Loss::SoftmaxCrossEntropy => 0.25,
        Loss::BinaryCrossEntropy => 0.07,
        Loss::MeanSquaredError => variance / 10.0,
        Loss::MeanAbsoluteError => deviation / 10.0,
        Loss::Huber => (variance / 2.0).min(model.huber_delta.unwrap_or(1.0) * deviation) / 10.0,
    }
}

/// In 64 bits and in the order of the values, so that everybody finds the same.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer values than 2^52")]
fn variance(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    values.iter().map(|value| f64::from(*value) - mean).map(|value| value * value).sum::<f64>() / count
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;

    use lichen_campaign::Manifest;

    use super::*;

    const DIGITS: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");

    fn judge() -> Judge {
        let model = Manifest::parse(DIGITS).unwrap().model;
        Judge::new(&Guard::default(), &model, &Answers::Labels(vec![1, 2]))
    }

    fn of(loss: f64, accuracy: f64) -> Quality {
        Quality { loss, accuracy, samples: 360 }
    }

    #[test]
    fn what_is_a_little_worse_may_stand_and_what_is_far_worse_may_not() {
        let base = of(0.2, 0.96);
        for (result, may_stand) in [
            (of(0.1, 0.97), true),
            (of(0.3, 0.9), true),
            (of(0.65, 0.86), true),
            (of(0.66, 0.9), false),
            (of(0.3, 0.85), false),
            (of(f64::NAN, 0.96), false),
            (of(f64::INFINITY, 0.96), false),
            (of(f64::NEG_INFINITY, 0.96), false),
        ] {
            assert_eq!(judge().accepts(&base, &result), may_stand, "{result:?}");
        }
    }

    #[test]
    fn anything_that_is_not_broken_is_better_than_what_is() {
        for broken in [f64::NAN, f64::INFINITY] {
            assert!(judge().accepts(&of(broken, 0.1), &of(1e9, 0.0)));
            assert!(!judge().accepts(&of(broken, 0.1), &of(broken, 0.9)));
        }
    }

    #[test]
    fn few_samples_say_nothing_about_accuracy() {
        let few = |accuracy| Quality { samples: 99, ..of(0.2, accuracy) };
        assert!(judge().accepts(&few(1.0), &few(0.5)));
        let enough = |accuracy| Quality { samples: 100, ..of(0.2, accuracy) };
        assert!(!judge().accepts(&enough(1.0), &enough(0.5)));
    }

    #[test]
    fn where_answers_are_numbers_the_loss_is_seen_beside_their_spread() {
        let mut model = Manifest::parse(DIGITS).unwrap().model;
        model.loss = Loss::MeanSquaredError;
        // Thousands, of which the variance is a million.
        let answers = Answers::Values(vec![4000.0, 6000.0, 4000.0, 6000.0]);
        let judge = Judge::new(&Guard::default(), &model, &answers);
        assert!(judge.accepts(&of(10.0, 0.0), &of(50_000.0, 0.0)), "a twentieth of the spread");
        assert!(!judge.accepts(&of(10.0, 0.0), &of(101_000.0, 0.0)));
    }
}
