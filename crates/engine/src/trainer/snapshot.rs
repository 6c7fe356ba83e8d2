//! The whole state of a training in one blob, so that its id stands for it and anybody can take the next step from it.

use super::Trainer;
use crate::EngineError;
use lichen_model::Parameters;
use lichen_model::program::{PARAMETERS, Program, STATE0, STATE1, STATISTICS};

/// What a step changes and the next one reads, in the order of the blob.
const SLOTS: [usize; 4] = [PARAMETERS, STATISTICS, STATE0, STATE1];

impl Trainer {
    /// The state after the last step: the number of steps taken, then every value of parameters, statistics and optimiser,
    /// little-endian. A training with the same bits has the same blob on every machine.
    ///
    /// # Errors
    /// [`EngineError::Gpu`] if the device fails.
    pub async fn snapshot(&self) -> Result<Vec<u8>, EngineError> {
        let mut bytes = Vec::with_capacity(snapshot_length(&self.program));
        bytes.extend(self.schedule.step().to_le_bytes());
        for slot in SLOTS.into_iter().filter(|slot| self.size(*slot) > 0) {
            let values = self.backend.read_slot(slot).await?;
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(bytes)
    }

    /// Goes on from a [`Trainer::snapshot`] of the same training, which began with this base and this seed and has taken so
    /// many steps: every further step gives the bits that it would have given there.
    ///
    /// # Errors
    /// As [`Trainer::load`]; [`EngineError::Train`] if the blob is no state of this training after so many steps.
    pub async fn restore(
        &mut self,
        base: &Parameters,
        seed: u64,
        steps: u32,
        snapshot: &[u8],
    ) -> Result<(), EngineError> {
        let foreign = || EngineError::Train("the state is none of this training".into());
        let (taken, mut values) = snapshot.split_first_chunk().ok_or_else(foreign)?;
        if snapshot.len() != snapshot_length(&self.program) || u32::from_le_bytes(*taken) != steps {
            return Err(foreign());
        }
        self.load(base, seed).await?;
        for slot in SLOTS {
            let (of_slot, rest) = values.split_at_checked(self.size(slot) * 4).ok_or_else(foreign)?;
            let (of_slot, _none) = of_slot.as_chunks();
            let of_slot: Vec<f32> = of_slot.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            self.backend.write_slot(slot, &of_slot)?;
            values = rest;
        }
        self.schedule.skip(steps);
        Ok(())
    }

    fn size(&self, slot: usize) -> usize {
        size(&self.program, slot)
    }
}

/// Bytes of a [`Trainer::snapshot`] of a training with this [`step_program`](super::step_program).
#[must_use]
pub fn snapshot_length(program: &Program) -> usize {
    let values: usize = SLOTS.iter().map(|slot| size(program, *slot)).sum();
    values.saturating_mul(size_of::<f32>()).saturating_add(size_of::<u32>())
}

fn size(program: &Program, slot: usize) -> usize {
    program.slots.get(slot).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineKind;
    use crate::testing::{adam, dense, ready, spec, steps};
    use lichen_campaign::model_spec::{Activation, LayerSpec, Loss, ModelSpec, Optimizer, TrainSpec};
    use lichen_model::initial_parameters;

    fn model() -> ModelSpec {
        let layers = vec![
            LayerSpec::Reshape { name: String::new(), shape: vec![4, 1] },
            LayerSpec::BatchNorm { name: "norm".into(), epsilon: 1e-5, momentum: 0.1 },
            LayerSpec::Flatten { name: String::new() },
            dense("a", 16, Activation::Relu),
            LayerSpec::Dropout { name: String::new(), rate: 0.25 },
            dense("b", 3, Activation::None),
        ];
        spec(&[4], Loss::SoftmaxCrossEntropy, layers)
    }

    fn open(train: &TrainSpec) -> Trainer {
        ready(Trainer::new(EngineKind::Cpu, &model(), train)).unwrap()
    }

    #[test]
    fn every_kind_of_training_goes_on_from_its_state_to_the_bit() {
        let base = initial_parameters(&model(), 1).unwrap();
        for optimizer in [Optimizer::Sgd, Optimizer::Adam, Optimizer::Adamw, Optimizer::Lion] {
            for proximal in [None, Some(0.1)] {
                let train = TrainSpec { optimizer, proximal, warmup: 5, ..adam(0.01, 16) };
                let mut whole = open(&train);
                ready(whole.load(&base, 9)).unwrap();
                steps(&mut whole, 0..23);
                let snapshot = ready(whole.snapshot()).unwrap();
                steps(&mut whole, 23..30);
                let mut other = open(&train);
                ready(other.restore(&base, 9, 23, &snapshot)).unwrap();
                assert_eq!(ready(other.snapshot()).unwrap(), snapshot);
                steps(&mut other, 23..30);
                assert_eq!(ready(other.snapshot()), ready(whole.snapshot()));
                ready(other.restore(&base, 8, 23, &snapshot)).unwrap();
                steps(&mut other, 23..30);
                assert_ne!(ready(other.snapshot()), ready(whole.snapshot()), "dropout follows from the seed");
            }
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let base = initial_parameters(&model(), 1).unwrap();
        let mut trainer = open(&adam(0.01, 16));
        ready(trainer.load(&base, 9)).unwrap();
        steps(&mut trainer, 0..3);
        let snapshot = ready(trainer.snapshot()).unwrap();
        let longer = [snapshot.as_slice(), &[0]].concat();
        for wrong in [&[][..], &snapshot[..3], &snapshot[..snapshot.len() - 1], &longer] {
            assert!(ready(trainer.restore(&base, 9, 3, wrong)).is_err());
        }
        assert!(ready(trainer.restore(&base, 9, 4, &snapshot)).is_err());
        assert!(ready(trainer.restore(&base, 9, 3, &snapshot)).is_ok());
    }
}
