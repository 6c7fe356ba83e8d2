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

/// A training under way.
pub(crate) struct Walk<'a> {
    trainer: Trainer,
    samples: &'a Dataset,
    batches: Batches,
    /// Steps taken.
    pub(crate) done: u32,
}

impl Training {
    /// As a campaign's tabs train.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        Self { model: manifest.model.clone(), train: manifest.train.clone() }
    }

    /// The same with this step size.
    pub(crate) fn at_rate(mut self, learning_rate: f64) -> Self {
        self.train.learning_rate = learning_rate;
        self
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
        let mut walk = self.begin(base, samples, seed).await?;
        walk.steps(steps, &turn).await?;
        walk.parameters().await
    }

    /// Before the first step.
    pub(crate) async fn begin<'a>(
        &self,
        base: &Parameters,
        samples: &'a Dataset,
        seed: u64,
    ) -> Result<Walk<'a>, EngineError> {
        let mut trainer = Trainer::new(EngineKind::Cpu, &self.model, &self.train).await?;
        trainer.load(base, seed).await?;
        let places = (0..).take(samples.len()).collect();
        let batches = Batches::new(places, self.train.batch, seed);
        Ok(Walk { trainer, samples, batches, done: 0 })
    }
}

impl Walk<'_> {
    /// Takes so many steps.
    pub(crate) async fn steps(&mut self, count: u32, turn: &impl AsyncFn()) -> Result<(), EngineError> {
        for _step in 0..count {
            let (x, answers) = self.samples.gather(&self.batches.next_batch());
            self.trainer.step(&x, &answers).await?;
            if self.done.is_multiple_of(STEPS) {
                turn().await;
            }
            self.done += 1;
        }
        Ok(())
    }

    /// Before its first step, goes to the state after so many, which began with this base and this seed.
    pub(crate) async fn skip(
        &mut self,
        base: &Parameters,
        seed: u64,
        steps: u32,
        state: &[u8],
    ) -> Result<(), EngineError> {
        self.trainer.restore(base, seed, steps, state).await?;
        for _step in 0..steps {
            self.batches.next_batch();
        }
        self.done = steps;
        Ok(())
    }

    /// The state after the last step.
    pub(crate) async fn state(&self) -> Result<Vec<u8>, EngineError> {
        self.trainer.snapshot().await
    }

    /// The parameters after the last step.
    pub(crate) async fn parameters(&self) -> Result<Parameters, EngineError> {
        self.trainer.parameters().await
    }
}
