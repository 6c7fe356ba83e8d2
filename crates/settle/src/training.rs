//! Trains on the CPU, so that everybody finds the same bits.

use lichen_campaign::Manifest;
use lichen_campaign::model_spec::{ModelSpec, TrainSpec};
use lichen_engine::{EngineError, EngineKind, Trainer};
use lichen_learn::{Batches, Dataset};
use lichen_model::Parameters;

/// Steps taken between two turns of others.
const STEPS: u32 = 4;

/// What is trained, and how.
#[derive(Clone, Debug)]
pub(crate) struct Training {
    pub(crate) model: ModelSpec,
    pub(crate) train: TrainSpec,
}

impl Training {
    /// As a campaign's tabs train.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self { model: manifest.model.clone(), train: manifest.train.clone() }
    }

    /// The parameters after so many steps on these samples; `seed` stands for everything random in it, and `turn` is called
    /// now and then.
    pub(crate) async fn run(
        &self,
        base: &Parameters,
        samples: &Dataset,
        (steps, seed): (u32, u64),
        turn: impl AsyncFn(),
    ) -> Result<Parameters, EngineError> {
        let mut trainer = Trainer::new(EngineKind::Cpu, &self.model, &self.train).await?;
        trainer.load(base, seed).await?;
        let places = (0..).take(samples.len()).collect();
        let mut batches = Batches::new(places, self.train.batch, seed);
        for step in 0..steps {
            let (x, answers) = samples.gather(&batches.next_batch());
            trainer.step(&x, &answers).await?;
            if step % STEPS == 0 {
                turn().await;
            }
        }
        trainer.parameters().await
    }
}
