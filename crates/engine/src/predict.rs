//! What a model says of single samples, without a training program and what it takes in memory.

use crate::EngineError;
use crate::batch;
use crate::cpu::CpuExecutor;
use crate::slots::parameter_slots;
use lichen_campaign::model_spec::{Loss, ModelSpec};
use lichen_model::lower::{Purpose, lower};
use lichen_model::program::{PARAMETERS, STATISTICS, StepValues};
use lichen_model::{Parameters, layers};

/// Runs a model forwards, one sample at a time, on the CPU.
pub struct Predictor {
    executor: CpuExecutor,
    loss: Loss,
    is_loaded: bool,
    targets: Vec<f32>,
}

impl Predictor {
    /// Builds the program; [`Predictor::load`] comes next.
    ///
    /// # Errors
    /// [`EngineError::Model`] if the layers do not fit.
    pub fn new(model: &ModelSpec) -> Result<Self, EngineError> {
        let program = lower(&layers::build(model, 1)?, Purpose::Evaluate)?;
        let targets = vec![0.0; program.buffer(program.target).elements()];
        Ok(Self { executor: CpuExecutor::new(program.into()), loss: model.loss, is_loaded: false, targets })
    }

    /// Takes in the parameters to predict with.
    ///
    /// # Errors
    /// [`EngineError::Model`] if names or shapes are not those of the model; what was loaded before stays then.
    pub fn load(&mut self, parameters: &Parameters) -> Result<(), EngineError> {
        let [trained, statistics] = parameter_slots(self.executor.program(), parameters)?;
        self.executor.write_slot(PARAMETERS, &trained);
        self.executor.write_slot(STATISTICS, &statistics);
        self.is_loaded = true;
        Ok(())
    }

    /// The model's output for one sample: probabilities where it tells classes apart (for each position, where there are
    /// several) or says yes or no, else the numbers themselves.
    ///
    /// # Errors
    /// [`EngineError::Length`], [`EngineError::NotFinite`] or [`EngineError::OutOfRange`] for a sample that is refused;
    /// [`EngineError::Train`] before anything is loaded.
    pub fn predict(&mut self, x: &[f32]) -> Result<Vec<f32>, EngineError> {
        if !self.is_loaded {
            return Err(EngineError::Train("parameters must be loaded before the first prediction".into()));
        }
        let program = self.executor.program();
        let (output, classes) = (program.output, program.classes);
        batch::check_input(program, x)?;
        self.executor.feed(x, &self.targets);
        self.executor.run(&StepValues::default());
        let mut numbers = self.executor.read(output).to_vec();
        match self.loss {
            Loss::SoftmaxCrossEntropy => numbers.chunks_mut(classes.max(1)).for_each(softmax),
            Loss::BinaryCrossEntropy => numbers.iter_mut().for_each(|number| *number = logistic(*number)),
            Loss::MeanSquaredError | Loss::MeanAbsoluteError | Loss::Huber => {}
        }
        Ok(numbers)
    }
}

/// Turns scores into probabilities; the largest score becomes the largest of them.
fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
    }
    let sum: f32 = scores.iter().sum();
    for score in scores.iter_mut() {
        *score /= sum;
    }
}

fn logistic(score: f32) -> f32 {
    1.0 / (1.0 + (-score).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{adam, blobs, dense, ready, spec};
    use crate::workloads;
    use crate::{EngineKind, Evaluator, Trainer};
    use lichen_campaign::model_spec::Activation;
    use lichen_model::initial_parameters;

    fn largest(row: &[f32]) -> usize {
        (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap()
    }

    #[test]
    fn guesses_are_those_that_an_evaluation_counts() {
        let model = spec(
            &[4],
            Loss::SoftmaxCrossEntropy,
            vec![dense("a", 16, Activation::Relu), dense("b", 3, Activation::None)],
        );
        let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &adam(0.02, 16))).unwrap();
        let (x, y) = blobs(160, 4, 3);
        ready(trainer.load(&initial_parameters(&model, 1).unwrap(), 1)).unwrap();
        let mut predictor = Predictor::new(&model).unwrap();
        let mut evaluator = Evaluator::new(&model);
        for trained in 0..3 {
            let parameters = ready(trainer.parameters()).unwrap();
            let counted = evaluator.evaluate(&parameters, &x, &y).unwrap();
            predictor.load(&parameters).unwrap();
            let mut right = 0;
            for (x, y) in x.chunks(4).zip(&y) {
                let said = predictor.predict(x).unwrap();
                assert!((said.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{said:?}");
                right += usize::from(largest(&said) == *y as usize);
            }
            assert_eq!(right as f64 / 160.0, counted.accuracy, "after {trained} trainings");
            for start in (0..160).step_by(16) {
                ready(trainer.step(&x[start * 4..(start + 16) * 4], &y[start..start + 16])).unwrap();
            }
        }
    }

    #[test]
    fn every_kind_of_model_predicts() {
        for workload in workloads::all() {
            let mut predictor = Predictor::new(&workload.model).unwrap();
            predictor.load(&initial_parameters(&workload.model, 1).unwrap()).unwrap();
            let width: usize = workload.model.input.iter().product();
            let said = predictor.predict(&vec![0.0; width]).unwrap();
            assert!(said.iter().all(|number| number.is_finite()), "{said:?}");
        }
        let [number, yes] = [Loss::MeanSquaredError, Loss::BinaryCrossEntropy].map(|loss| {
            let model = spec(&[2], loss, vec![dense("a", 1, Activation::None)]);
            let mut predictor = Predictor::new(&model).unwrap();
            predictor.load(&initial_parameters(&model, 1).unwrap()).unwrap();
            predictor.predict(&[0.5, 0.25]).unwrap()[0]
        });
        assert_eq!(yes, logistic(number));
    }

    #[test]
    fn what_cannot_be_predicted_is_refused() {
        let model = spec(&[2], Loss::SoftmaxCrossEntropy, vec![dense("a", 3, Activation::None)]);
        let mut predictor = Predictor::new(&model).unwrap();
        assert!(matches!(predictor.predict(&[0.0, 0.0]), Err(EngineError::Train(_))));
        predictor.load(&initial_parameters(&model, 1).unwrap()).unwrap();
        assert!(matches!(predictor.predict(&[0.0]), Err(EngineError::Length { .. })));
        assert!(matches!(predictor.predict(&[0.0, f32::NAN]), Err(EngineError::NotFinite { .. })));
        let other = spec(&[3], Loss::SoftmaxCrossEntropy, vec![dense("a", 3, Activation::None)]);
        assert!(predictor.load(&initial_parameters(&other, 1).unwrap()).is_err());
        assert_eq!(predictor.predict(&[0.5, 0.25]).unwrap().len(), 3);
    }
}
