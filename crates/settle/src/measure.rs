//! Measures a checkpoint on the held-out samples.

use lichen_campaign::model_spec::ModelSpec;
use lichen_engine::{EngineError, Evaluator};
use lichen_learn::{Dataset, Quality};
use lichen_model::Parameters;

/// Samples measured between two turns of others: short enough for a tab to answer a click.
const PART: usize = 64;

/// Measures checkpoints, part by part and always in the same parts, so that everybody finds the same bits.
pub struct Measurer {
    evaluator: Evaluator,
}

impl Measurer {
    /// For checkpoints of this model.
    #[must_use]
    pub fn new(model: &ModelSpec) -> Self {
        Self { evaluator: Evaluator::new(model) }
    }

    /// What these parameters are worth on these samples of the data; `turn` is called between two parts.
    ///
    /// # Errors
    /// [`EngineError`] if they are not the model's or there is no sample.
    pub async fn measure(
        &mut self,
        parameters: &Parameters,
        data: &Dataset,
        indices: &[u32],
        turn: impl AsyncFn(),
    ) -> Result<Quality, EngineError> {
        let (mut loss, mut accuracy, mut samples) = (0.0, 0.0, 0);
        for part in indices.chunks(PART) {
            let (x, answers) = data.gather(part);
            let found = self.evaluator.evaluate(parameters, &x, &answers)?;
            let count = u32::try_from(part.len()).unwrap_or(u32::MAX);
            loss += found.loss * f64::from(count);
            accuracy += found.accuracy * f64::from(count);
            samples += count;
            turn().await;
        }
        if samples == 0 {
            return Err(EngineError::Empty);
        }
        let all = f64::from(samples);
        Ok(Quality { loss: loss / all, accuracy: accuracy / all, samples })
    }
}
