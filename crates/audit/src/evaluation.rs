//! What can be computed again: checkpoints from updates, accuracy from a checkpoint.

use lichen_campaign::Manifest;
use lichen_engine::{EngineError, Evaluator};
use lichen_learn::{AggregateError, Aggregation, Dataset, Quality};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::{Cid, RoundNumber};
use lichen_round::{Input, Outcome};
use lichen_settle::{Settler, guarded};

use crate::Fault;
use crate::following::SettledRound;

/// The bytes of the checkpoint that a campaign begins with.
pub(super) fn initial_checkpoint(manifest: &Manifest) -> Result<Vec<u8>, Fault> {
    let parameters = initial_parameters(&manifest.model, manifest.rounds.seed)
        .map_err(|error| Fault::Campaign(format!("model: {error}")))?;
    Ok(parameters.to_safetensors())
}

/// What a round came to, and its bytes.
pub(super) struct Reached {
    pub(super) outcome: Outcome,
    pub(super) checkpoint: Vec<u8>,
    /// What the outer optimiser carries over.
    pub(super) state: Option<Vec<u8>>,
}

/// What computes rounds' results again.
pub(super) struct Recomputer {
    settler: Settler,
}

impl Recomputer {
    pub(super) fn new(manifest: &Manifest, data: &[u8]) -> Result<Self, Fault> {
        let data = Dataset::decode_samples(data, manifest, &guarded(manifest))
            .map_err(|error| Fault::Campaign(format!("data: {error}")))?;
        let settler = Settler::new(manifest, data).map_err(|error| Fault::Campaign(error.to_string()))?;
        Ok(Self { settler })
    }

    /// Begins what a round comes to, on what it began with.
    pub(super) fn begin(&self, round: &SettledRound, base: &Reached) -> Result<Aggregation, Fault> {
        let fault = |error: AggregateError| Fault::Round { round: round.number, problem: error.to_string() };
        self.settler.aggregation(&base.checkpoint).map_err(fault)
    }

    /// Adds an accepted update; one that does not decode as the campaign's do, or is too long, is left out.
    pub(super) fn add(&self, aggregation: &mut Aggregation, input: &Input, update: &[u8]) -> bool {
        aggregation.add_part(input.weight, self.settler.work(input.steps), update)
    }

    /// Computes what a round comes to from what it began with and all updates, with the packed difference where results are told so.
    pub(super) async fn settle(
        &mut self,
        round: &SettledRound,
        base: &Reached,
        aggregation: Aggregation,
    ) -> Result<(Outcome, Option<Cid>), Fault> {
        let fault = |problem: String| Fault::Round { round: round.number, problem };
        let (checkpoint, state) = (&base.outcome.result, base.state.as_deref());
        let settled = self.settler.settle(checkpoint, state, aggregation, async || {}).await;
        let settled = settled.map_err(|error| fault(error.to_string()))?;
        let difference = settled.difference.as_deref().map(Cid::of_raw);
        Ok((Outcome { result: settled.result, state: settled.state }, difference))
    }

    /// What a round's result is worth; none where the campaign has no guard.
    pub(super) async fn quality(
        &mut self,
        round: RoundNumber,
        checkpoint: &Cid,
        bytes: &[u8],
    ) -> Result<Option<Quality>, Fault> {
        let fault = |problem: String| Fault::Round { round, problem };
        let parameters = Parameters::from_safetensors(bytes).map_err(|error| fault(error.to_string()))?;
        let quality = self.settler.quality(checkpoint, &parameters, async || {}).await;
        quality.map_err(|error| fault(error.to_string()))
    }

    /// Whether a checkpoint of this worth would be turned down after one of that.
    pub(super) fn is_far_below(&self, quality: &Quality, best: &Quality) -> bool {
        !self.settler.accepts(best, quality)
    }
}

/// What a checkpoint is worth on the held-out samples.
pub(super) struct Evaluated {
    pub(super) accuracy: f64,
    pub(super) loss: f64,
    pub(super) samples: u64,
}

/// Evaluates a checkpoint on the held-out samples that no rule of aggregation sees, on the CPU.
pub(super) fn evaluate(manifest: &Manifest, checkpoint: &[u8], data: &[u8]) -> Result<Evaluated, Fault> {
    let data = Dataset::decode(data, manifest).map_err(|error| Fault::Campaign(format!("data: {error}")))?;
    let parameters =
        Parameters::from_safetensors(checkpoint).map_err(|error| Fault::Campaign(error.to_string()))?;
    let held_out = manifest.measured();
    let (x, answers) = data.gather(&held_out);
    let failed = |error: EngineError| Fault::Campaign(format!("evaluation: {error}"));
    let mut evaluator = Evaluator::new(&manifest.model);
    let evaluation = evaluator.evaluate(&parameters, &x, &answers).map_err(failed)?;
    Ok(Evaluated { accuracy: evaluation.accuracy, loss: evaluation.loss, samples: held_out.len() as u64 })
}
