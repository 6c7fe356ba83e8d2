//! The optimiser's state as named tensors, so that a training goes on elsewhere as if it had never stopped.

use super::Trainer;
use crate::EngineError;
use crate::slots::other_shape;
use lichen_campaign::model_spec::{Optimizer, TrainSpec};
use lichen_model::program::{STATE0, STATE1};
use lichen_model::{ModelError, Parameters, Tensor};

/// The tensor that counts the steps taken.
const STEP: &str = "step";
/// Steps up to here are exact in a tensor of single precision.
const MOST_STEPS: f32 = 16_777_216.0;

/// What the state in the first and the second slot is called, after PyTorch's optimisers.
fn prefixes(train: &TrainSpec) -> &'static [(usize, &'static str)] {
    match train.optimizer {
        Optimizer::Sgd if train.momentum.unwrap_or(0.0) > 0.0 => &[(STATE0, "momentum_buffer")],
        Optimizer::Sgd => &[],
        Optimizer::Adam | Optimizer::Adamw => &[(STATE0, "exp_avg"), (STATE1, "exp_avg_sq")],
        Optimizer::Lion => &[(STATE0, "exp_avg")],
    }
}

impl Trainer {
    /// The optimiser's state after the last step: `step`, the number of steps taken since [`Trainer::load`], and a
    /// tensor `exp_avg.NAME`, `exp_avg_sq.NAME` or `momentum_buffer.NAME` for each parameter, as the rule needs them.
    ///
    /// # Errors
    /// [`EngineError::Gpu`] if the device fails; [`EngineError::Model`] if a name is too long for a file.
    #[expect(clippy::cast_precision_loss, reason = "as PyTorch counts steps")]
    pub async fn optimizer_state(&self) -> Result<Parameters, EngineError> {
        let mut state = Parameters::new();
        state.insert(STEP.into(), Tensor::new(vec![1], vec![self.schedule.step() as f32])?)?;
        for &(slot, prefix) in prefixes(self.schedule.spec()) {
            let data = self.backend.read_slot(slot).await?;
            for (name, place) in self.trained() {
                let values = data.get(place.range()).unwrap_or_default().to_vec();
                state.insert(format!("{prefix}.{name}"), Tensor::new(place.shape.to_vec(), values)?)?;
            }
        }
        Ok(state)
    }

    /// Goes on where [`Trainer::optimizer_state`] was taken: with the same parameters, seed and batches, every
    /// further step gives the bits that it would have given without the interruption. (The numbers of dropout and
    /// the schedule follow from seed and step.)
    ///
    /// # Errors
    /// As [`Trainer::load`]; [`EngineError::Model`] also for a state of another model or another optimiser,
    /// [`EngineError::Train`] for a training with a proximal term, whose base is not in the state.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a whole number in range"
    )]
    pub async fn resume(
        &mut self,
        parameters: &Parameters,
        state: &Parameters,
        seed: u64,
    ) -> Result<(), EngineError> {
        if self.proximal.is_some() {
            let problem =
                "train.proximal: a training cannot go on elsewhere, as its base is not in the state";
            return Err(EngineError::Train(problem.into()));
        }
        let step = state.get(STEP).and_then(|tensor| tensor.data().first().copied()).unwrap_or(-1.0);
        if !(0.0..=MOST_STEPS).contains(&step) || step.trunc() != step {
            return Err(mismatch(STEP, "must be one whole number from 0").into());
        }
        let prefixes = prefixes(self.schedule.spec());
        let mut slots = Vec::new();
        for &(slot, prefix) in prefixes {
            let mut data = vec![0.0; self.program.slots.get(slot).copied().unwrap_or(0)];
            for (name, place) in self.trained() {
                let name = format!("{prefix}.{name}");
                let tensor = state.get(&name).ok_or_else(|| mismatch(&name, "is missing"))?;
                if tensor.shape() != place.shape {
                    return Err(mismatch(&name, &other_shape(tensor.shape(), place.shape)).into());
                }
                if let Some(values) = data.get_mut(place.range()) {
                    values.copy_from_slice(tensor.data());
                }
            }
            slots.push((slot, data));
        }
        let known = 1 + prefixes.len() * self.trained().count();
        if state.len() != known {
            let problem = format!("are {}, but model and optimizer take {known}", state.len());
            return Err(mismatch("tensors of the optimiser's state", &problem).into());
        }
        self.load(parameters, seed).await?;
        for (slot, data) in slots {
            self.backend.write_slot(slot, &data)?;
        }
        self.schedule.skip(step as u32);
        Ok(())
    }

    /// Where the trained parameters lie in their slots, which is where their state lies in its slots.
    fn trained(&self) -> impl Iterator<Item = (&str, Place<'_>)> {
        self.program.parameters.iter().filter(|binding| binding.gradient.is_some()).map(|binding| {
            let buffer = self.program.buffer(binding.value);
            (binding.name.as_str(), Place { offset: buffer.offset, shape: &buffer.shape })
        })
    }
}

/// Where a tensor lies in a slot.
struct Place<'a> {
    offset: usize,
    shape: &'a [usize],
}

impl Place<'_> {
    fn range(&self) -> core::ops::Range<usize> {
        self.offset..self.offset + self.shape.iter().product::<usize>()
    }
}

fn mismatch(name: &str, problem: &str) -> ModelError {
    ModelError::Mismatch { name: name.into(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineKind;
    use crate::testing::{adam, dense, ready, spec, steps};
    use lichen_campaign::model_spec::{Activation, LayerSpec, Loss, ModelSpec, Schedule};
    use lichen_model::initial_parameters;

    fn model() -> ModelSpec {
        let dropout = LayerSpec::Dropout { name: String::new(), rate: 0.25 };
        let norm = LayerSpec::BatchNorm { name: "norm".into(), epsilon: 1e-5, momentum: 0.1 };
        let layers = vec![
            LayerSpec::Reshape { name: String::new(), shape: vec![4, 1] },
            norm,
            LayerSpec::Flatten { name: String::new() },
            dense("a", 16, Activation::Relu),
            dropout,
            dense("b", 3, Activation::None),
        ];
        spec(&[4], Loss::SoftmaxCrossEntropy, layers)
    }

    #[test]
    fn a_resumed_training_is_the_uninterrupted_one_to_the_bit() {
        for optimizer in [Optimizer::Sgd, Optimizer::Adam, Optimizer::Adamw, Optimizer::Lion] {
            for momentum in [None, Some(0.9)] {
                let schedule = Schedule::Cosine;
                let train = TrainSpec { optimizer, momentum, schedule, warmup: 5, ..adam(0.01, 16) };
                let open = || ready(Trainer::new(EngineKind::Cpu, &model(), &train)).unwrap();
                let first = initial_parameters(&model(), 1).unwrap();
                let mut whole = open();
                ready(whole.load(&first, 9)).unwrap();
                steps(&mut whole, 0..70);

                let mut half = open();
                ready(half.load(&first, 9)).unwrap();
                steps(&mut half, 0..33);
                // Through files, as another machine would get them.
                let [parameters, state] =
                    [ready(half.parameters()).unwrap(), ready(half.optimizer_state()).unwrap()]
                        .map(|tensors| Parameters::from_safetensors(&tensors.to_safetensors()).unwrap());
                let mut other = open();
                ready(other.resume(&parameters, &state, 9)).unwrap();
                steps(&mut other, 33..70);
                assert_eq!(ready(other.parameters()), ready(whole.parameters()));
                assert_eq!(ready(other.optimizer_state()), ready(whole.optimizer_state()));
                let losses = ready(whole.take_losses()).unwrap();
                assert_eq!(ready(other.take_losses()).unwrap(), losses[33..]);
            }
        }
    }

    #[test]
    fn the_state_of_another_training_is_refused() {
        let model = model();
        let first = initial_parameters(&model, 1).unwrap();
        let open = |optimizer| {
            let train = TrainSpec { optimizer, ..adam(0.01, 16) };
            let mut trainer = ready(Trainer::new(EngineKind::Cpu, &model, &train)).unwrap();
            ready(trainer.load(&first, 1)).unwrap();
            trainer
        };
        let refuse = |optimizer, state: &Parameters| {
            ready(open(optimizer).resume(&first, state, 1)).unwrap_err().to_string()
        };
        let lion = ready(open(Optimizer::Lion).optimizer_state()).unwrap();
        let adam = ready(open(Optimizer::Adam).optimizer_state()).unwrap();
        let error = refuse(Optimizer::Adam, &lion);
        assert!(error.starts_with("parameter exp_avg_sq.") && error.ends_with("is missing"), "{error}");
        let error = refuse(Optimizer::Lion, &adam);
        assert!(error.ends_with("are 13, but model and optimizer take 7"), "{error}");
        let mut early = Parameters::new();
        early.insert("step".into(), Tensor::new(vec![1], vec![0.5]).unwrap()).unwrap();
        assert_eq!(refuse(Optimizer::Sgd, &early), "parameter step must be one whole number from 0");
    }
}
