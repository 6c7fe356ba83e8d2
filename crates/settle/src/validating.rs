//! Measures a round's updates on the held-out samples that the campaign's rule of aggregation may see.

use lichen_campaign::model_spec::{Optimizer, TrainSpec};
use lichen_campaign::{Manifest, Rule};
use lichen_engine::{EngineError, EngineKind, Trainer};
use lichen_learn::{Aggregation, Dataset, difference};
use lichen_model::Parameters;
use lichen_record::Cid;

use crate::training::Training;

/// Most samples of a batch, and between two turns of others: short enough for a tab to answer a click.
const PART: usize = 64;

/// How often `zeno` asks for the loss's gradient.
const QUESTIONS: u32 = 16;

/// Measures updates for one campaign, always on the CPU, so that everybody finds the same bits.
pub(crate) struct Validating {
    rule: Rule,
    training: Training,
    data: Dataset,
}

impl Validating {
    /// `data` has the samples that the rule may see, and no others. None where the rule looks at updates alone.
    pub(crate) fn new(manifest: &Manifest, data: Dataset) -> Option<Self> {
        let rule = manifest.aggregation.rule;
        let is_needed = rule.validates() && !data.is_empty();
        is_needed.then(|| Self { rule, training: Training::of(manifest), data })
    }

    /// Says of an aggregation what each of its updates counts for.
    pub(crate) async fn weigh(
        &self,
        base: &Cid,
        aggregation: &mut Aggregation,
        turn: impl AsyncFn(),
    ) -> Result<(), EngineError> {
        match self.rule {
            Rule::Zeno => self.descend(aggregation, turn).await,
            Rule::FlTrust => self.train(base, aggregation, turn).await,
            _ => Ok(()),
        }
    }

    /// Trains from the base as the manifest has others train, in an order that follows from the base's id.
    async fn train(
        &self,
        base: &Cid,
        aggregation: &mut Aggregation,
        turn: impl AsyncFn(),
    ) -> Result<(), EngineError> {
        let seed = base.digest().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let steps = self.training.train.steps;
        let trained = self.training.run(aggregation.base(), &self.data, (steps, seed), turn).await?;
        // A training that diverges has nothing to say: the round changes nothing.
        if let Ok(own) = difference(aggregation.base(), &trained) {
            aggregation.trust(own);
        }
        Ok(())
    }

    /// Goes down the loss by giving other updates more weight.
    async fn descend(&self, aggregation: &mut Aggregation, turn: impl AsyncFn()) -> Result<(), EngineError> {
        let parts = self.data.len().div_ceil(PART);
        let batch = self.data.len() / parts.max(1);
        let mut trainer = Trainer::new(EngineKind::Cpu, &self.training.model, &plain(batch)).await?;
        let indices: Vec<u32> = (0..).take(parts * batch).collect();
        for _question in 0..QUESTIONS {
            let Some(heading) = aggregation.heading() else { return Ok(()) };
            let mut sums = vec![0.0; heading.elements()];
            for part in indices.chunks_exact(batch) {
                let (x, answers) = self.data.gather(part);
                trainer.load(&heading, 0).await?;
                trainer.step(&x, &answers).await?;
                add(&mut sums, &heading, &trainer.gradients().await?);
                turn().await;
            }
            aggregation.descend(&sums);
        }
        Ok(())
    }
}

/// A training of which only the gradients are wanted.
const fn plain(batch: usize) -> TrainSpec {
    TrainSpec::plain(Optimizer::Sgd, 1e-9, batch, 1)
}

/// Adds gradients up, in the order that updates have. What is not trained has none.
fn add(sums: &mut [f32], parameters: &Parameters, gradients: &Parameters) {
    let mut rest = sums;
    for (name, tensor) in parameters.iter() {
        let Some((here, after)) = rest.split_at_mut_checked(tensor.data().len()) else { return };
        if let Some(gradient) = gradients.get(name) {
            here.iter_mut().zip(gradient.data()).for_each(|(sum, value)| *sum += value);
        }
        rest = after;
    }
}
