//! What can be computed again: checkpoints from updates, accuracy from a checkpoint.

use lichen_campaign::Manifest;
use lichen_engine::{EngineChoice, EngineError, Trainer};
use lichen_learn::{Dataset, Update, aggregate_checkpoint};
use lichen_model::{Parameters, initial_parameters};
use lichen_record::{Cid, RoundNumber};

use super::Fault;

/// The bytes of the checkpoint that a campaign begins with.
pub(super) fn initial_checkpoint(manifest: &Manifest) -> Result<Vec<u8>, Fault> {
    let parameters = initial_parameters(&manifest.model, manifest.rounds.seed)
        .map_err(|error| Fault::Campaign(format!("model: {error}")))?;
    Ok(parameters.to_safetensors())
}

/// A round's result.
pub(super) struct Aggregated {
    pub(super) checkpoint: Cid,
    pub(super) bytes: Vec<u8>,
    /// Updates that do not decode.
    pub(super) left_out: u64,
}

/// Computes a round's result from its base and the accepted updates.
pub(super) fn aggregate(
    round: RoundNumber,
    base: &[u8],
    updates: &[(u32, Vec<u8>)],
) -> Result<Aggregated, Fault> {
    let fault = |problem: String| Fault::Round { round, problem };
    let elements = Parameters::from_safetensors(base).map_err(|error| fault(error.to_string()))?.elements();
    let left_out =
        updates.iter().filter(|(_samples, bytes)| Update::decode(bytes, elements).is_err()).count();
    let (checkpoint, bytes) =
        aggregate_checkpoint(base, updates).map_err(|error| fault(error.to_string()))?;
    Ok(Aggregated { checkpoint, bytes, left_out: left_out as u64 })
}

/// What a checkpoint is worth on the held-out samples.
pub(super) struct Evaluated {
    pub(super) accuracy: f64,
    pub(super) loss: f64,
    pub(super) samples: u64,
}

/// Evaluates a checkpoint on the campaign's held-out samples, on the CPU.
pub(super) fn evaluate(manifest: &Manifest, checkpoint: &[u8], data: &[u8]) -> Result<Evaluated, Fault> {
    let data = Dataset::decode(data, manifest).map_err(|error| Fault::Campaign(format!("data: {error}")))?;
    let parameters =
        Parameters::from_safetensors(checkpoint).map_err(|error| Fault::Campaign(error.to_string()))?;
    let held_out = manifest.data.split.held_out();
    let (x, answers) = data.gather(&held_out);
    let failed = |error: EngineError| Fault::Campaign(format!("evaluation: {error}"));
    let evaluation = futures::executor::block_on(async {
        let mut trainer =
            Trainer::new(EngineChoice::Cpu, &manifest.model, &manifest.train).await.map_err(failed)?;
        trainer.load(&parameters, 0).await.map_err(failed)?;
        trainer.evaluate(&manifest.model, &x, &answers).await.map_err(failed)
    })?;
    Ok(Evaluated { accuracy: evaluation.accuracy, loss: evaluation.loss, samples: held_out.len() as u64 })
}
