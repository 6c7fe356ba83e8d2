//! What a model is worth on some data: always on the CPU, so that everybody finds the same numbers.

use crate::EngineError;
use crate::batch;
use crate::cpu::CpuExecutor;
use crate::schedule::share;
use crate::slots::parameter_slots;
use lichen_campaign::model_spec::{Loss, ModelSpec};
use lichen_model::lower::{Purpose, lower};
use lichen_model::program::{PARAMETERS, STATISTICS, StepValues};
use lichen_model::{Parameters, Targets, layers};

/// Most samples evaluated in one run.
const EVALUATION_BATCH: usize = 256;

/// How good a model is on some data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Mean loss.
    pub loss: f64,
    /// Share of labels that the largest output hits (binary cross entropy: of targets on the output's side);
    /// 0 for losses without classes.
    pub accuracy: f64,
}

/// Evaluates a model without training it: no training program is lowered, and no gradients and no optimiser's state
/// take memory.
pub struct Evaluator {
    model: ModelSpec,
    /// Evaluation programs with their memory, each built when first needed.
    executors: Vec<CpuExecutor>,
    targets: Vec<f32>,
}

impl Evaluator {
    /// Nothing is built before the first evaluation.
    #[must_use]
    pub fn new(model: &ModelSpec) -> Self {
        Self { model: model.clone(), executors: Vec::new(), targets: Vec::new() }
    }

    /// Loss and accuracy of these parameters on this data, without dropout and with running moments; always on the CPU,
    /// so that everybody finds the same numbers.
    ///
    /// # Errors
    /// [`EngineError::Model`] if names or shapes are not those of the model; [`EngineError::Empty`] if there is no
    /// sample; for data that is refused, as [`Trainer::step`](crate::Trainer::step).
    pub fn evaluate<'a>(
        &mut self,
        parameters: &Parameters,
        x: &[f32],
        targets: impl Into<Targets<'a>>,
    ) -> Result<Evaluation, EngineError> {
        self.run(parameters, x, targets.into())
    }

    fn run(
        &mut self,
        parameters: &Parameters,
        x: &[f32],
        targets: Targets<'_>,
    ) -> Result<Evaluation, EngineError> {
        let width: usize = self.model.input.iter().product();
        let samples = x.len() / width.max(1);
        if samples == 0 || !targets.len().is_multiple_of(samples) {
            return Err(EngineError::Empty);
        }
        let program = self.executor(samples.min(EVALUATION_BATCH))?.program();
        let [trained, statistics] = parameter_slots(program, parameters)?;
        let per_sample = targets.len() / samples;
        let mut tally = Tally::default();
        let mut start = 0;
        while start < samples {
            let batch = EVALUATION_BATCH.min(samples - start);
            let end = start + batch;
            let part = x.get(start * width..if end == samples { x.len() } else { end * width });
            let wanted = targets.part(start * per_sample..end * per_sample);
            let (Some(part), Some(wanted)) = (part, wanted) else { return Err(EngineError::Empty) };
            let mut written = std::mem::take(&mut self.targets);
            let executor = self.executor(batch)?;
            executor.write_slot(PARAMETERS, &trained);
            executor.write_slot(STATISTICS, &statistics);
            let counted = batch::check(executor.program(), part, wanted, &mut written)?;
            executor.feed(part, &written);
            executor.run(&StepValues { loss_scale: share(counted), ..StepValues::default() });
            tally.add(executor, counted, &written);
            self.targets = written;
            start = end;
        }
        Ok(tally.evaluation(self.model.loss))
    }

    /// The evaluation program for this many samples.
    fn executor(&mut self, batch: usize) -> Result<&mut CpuExecutor, EngineError> {
        let known = self.executors.iter().position(|executor| executor.program().batch == batch);
        let index = match known {
            Some(index) => index,
            None => {
                let graph = layers::build(&self.model, batch)?;
                self.executors.push(CpuExecutor::new(lower(&graph, Purpose::Evaluate)?.into()));
                self.executors.len() - 1
            }
        };
        self.executors.get_mut(index).ok_or(EngineError::Empty)
    }
}

/// What an evaluation adds up.
#[derive(Default)]
struct Tally {
    loss: f64,
    counted: usize,
    hits: usize,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
impl Tally {
    fn add(&mut self, executor: &CpuExecutor, counted: usize, targets: &[f32]) {
        let program = executor.program();
        let loss = executor.read(program.loss).first().copied().unwrap_or(0.0);
        self.loss += f64::from(loss) * counted as f64;
        self.counted += counted;
        let output = executor.read(program.output);
        self.hits += if program.classes > 0 {
            let rows = output.chunks_exact(program.classes).zip(targets);
            rows.filter(|(row, label)| **label >= 0.0 && largest(row) as f32 == **label).count()
        } else {
            output.iter().zip(targets).filter(|(output, target)| (**output > 0.0) == (**target > 0.5)).count()
        };
    }

    fn evaluation(&self, loss: Loss) -> Evaluation {
        let count = self.counted.max(1) as f64;
        let labelled = matches!(loss, Loss::SoftmaxCrossEntropy | Loss::BinaryCrossEntropy);
        let accuracy = if labelled { self.hits as f64 / count } else { 0.0 };
        Evaluation { loss: self.loss / count, accuracy }
    }
}

/// Index of the first largest number.
fn largest(row: &[f32]) -> usize {
    let mut best = (0, f32::NEG_INFINITY);
    for (index, &value) in row.iter().enumerate() {
        if value > best.1 {
            best = (index, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{adam, blobs, dense, ready, spec};
    use crate::{EngineKind, Trainer};
    use lichen_campaign::model_spec::Activation;
    use lichen_model::initial_parameters;

    #[test]
    fn an_evaluator_finds_what_a_trainer_finds() {
        let layers = vec![dense("a", 16, Activation::Relu), dense("b", 3, Activation::None)];
        let model = spec(&[4], Loss::SoftmaxCrossEntropy, layers);
        let (x, y) = blobs(300, 4, 3);
        let mut evaluator = Evaluator::new(&model);
        for seed in 1..3 {
            let parameters = initial_parameters(&model, seed).unwrap();
            let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &adam(0.02, 300))).unwrap();
            ready(trainer.load(&parameters, 1)).unwrap();
            // A step tells the loss of the parameters before it.
            ready(trainer.step(&x, &y)).unwrap();
            let [loss] = ready(trainer.take_losses()).unwrap()[..] else { panic!("one step has one loss") };
            let found = evaluator.evaluate(&parameters, &x, &y).unwrap();
            assert!((found.loss - f64::from(loss)).abs() < 1e-6, "{found:?} {loss}");
            let counted = evaluator.evaluate(&ready(trainer.parameters()).unwrap(), &x, &y).unwrap();
            assert!(counted.loss < found.loss, "{counted:?} {found:?}");
        }
        let other = spec(&[5], Loss::SoftmaxCrossEntropy, model.layers.clone());
        let refused = evaluator.evaluate(&initial_parameters(&other, 1).unwrap(), &x, &y);
        assert!(matches!(refused, Err(EngineError::Model(_))));
        assert_eq!(
            evaluator.evaluate(&initial_parameters(&model, 1).unwrap(), &[], &[][..] as &[u32]),
            Err(EngineError::Empty)
        );
    }
}
