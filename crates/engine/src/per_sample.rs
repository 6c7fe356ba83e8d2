//! Gradients clipped sample by sample before they are averaged, as private training needs them.

use crate::EngineError;
use crate::cpu::CpuExecutor;
use lichen_campaign::model_spec::ModelSpec;
use lichen_model::layers;
use lichen_model::lower::{Purpose, lower};
use lichen_model::program::{GRADIENTS, PARAMETERS, STATISTICS, StepValues};

/// A program for one sample, and the sum of what it finds.
pub(crate) struct PerSample {
    executor: CpuExecutor,
    limit: f32,
    sum: Vec<f32>,
}

impl PerSample {
    pub(crate) fn new(model: &ModelSpec, limit: f32) -> Result<Self, EngineError> {
        let graph = layers::build(model, 1)?;
        let executor = CpuExecutor::new(lower(&graph, Purpose::Differentiate)?.into());
        let sum = vec![0.0; executor.slot(GRADIENTS).len()];
        Ok(Self { executor, limit, sum })
    }

    /// Runs every sample of a checked batch at the parameters of `whole`, leaves the mean of the clipped
    /// gradients in its gradient slot and returns the mean loss.
    #[expect(clippy::cast_precision_loss, reason = "batches are small")]
    pub(crate) fn gradients(
        &mut self,
        whole: &mut CpuExecutor,
        x: &[f32],
        targets: &[f32],
        values: &StepValues,
    ) -> f32 {
        let program = self.executor.program();
        let (input, target, loss) = (program.input, program.target, program.loss);
        let labelled = program.classes > 0;
        let (width, answers) = (program.buffer(input).elements(), program.buffer(target).elements());
        self.executor.write_slot(PARAMETERS, whole.slot(PARAMETERS));
        self.executor.write_slot(STATISTICS, whole.slot(STATISTICS));
        self.sum.fill(0.0);
        let (mut losses, mut seed) = (0.0, values.seed);
        let share = 1.0 / (x.len() / width.max(1)).max(1) as f32;
        for (x, target) in x.chunks_exact(width).zip(targets.chunks_exact(answers)) {
            let counted = target.iter().filter(|&&label| !labelled || label >= 0.0).count();
            let loss_scale = if counted == 0 { 0.0 } else { 1.0 / counted as f32 };
            // Every sample drops other elements.
            seed = seed.wrapping_mul(0x9e37_79b1).wrapping_add(1);
            self.executor.feed(x, target);
            self.executor.run(&StepValues { loss_scale, seed, ..*values });
            losses += self.executor.read(loss).first().copied().unwrap_or(0.0);
            let gradient = self.executor.slot(GRADIENTS);
            let norm = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
            let factor = share * (self.limit / (norm + 1e-6)).min(1.0);
            for (sum, g) in self.sum.iter_mut().zip(gradient) {
                *sum += g * factor;
            }
        }
        whole.write_slot(GRADIENTS, &self.sum);
        whole.write_slot(STATISTICS, self.executor.slot(STATISTICS));
        losses * share
    }
}
