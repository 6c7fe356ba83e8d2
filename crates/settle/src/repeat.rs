//! Repeats somebody's training, to see whether it gives the update that was contributed.

use lichen_campaign::Manifest;
use lichen_engine::{EngineError, EngineKind, version};
use lichen_learn::{Codec, Dataset, difference, max_norm};
use lichen_model::{ModelError, Parameters};
use lichen_record::{Cid, EngineVersion};

use crate::training::Training;

/// What somebody trained on, and how.
pub struct Course<'a> {
    /// The checkpoint that it began with.
    pub base: &'a [u8],
    /// The samples of its shard and no others, in order.
    pub shard: &'a Dataset,
    /// Optimiser steps taken.
    pub steps: u32,
    /// Seed for everything random in it.
    pub seed: u64,
}

/// Why a training could not be repeated. That says nothing of whoever did it first.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RepeatError {
    /// The manifest's model cannot be built.
    #[error("the campaign's model: {0}")]
    Model(ModelError),
    /// The base is no checkpoint, or the engine failed.
    #[error("the training cannot be repeated: {0}")]
    Engine(EngineError),
    /// The base is no checkpoint.
    #[error("the base is no checkpoint: {0}")]
    Base(ModelError),
    /// Its numbers grew beyond all bounds, and no update comes of it.
    #[error("the training diverges")]
    Diverged,
}

/// Whether this program gets the same bits as that engine.
#[must_use]
pub fn repeats(engine: EngineVersion) -> bool {
    engine.is_reproducible() && engine.version == version(EngineKind::Cpu)
}

/// The id of the update that comes of a training, on the CPU and with nothing left over from earlier rounds. `turn` is
/// called now and then meanwhile.
///
/// # Errors
/// [`RepeatError`] if nothing comes of it here.
pub async fn repeat(
    manifest: &Manifest,
    course: &Course<'_>,
    turn: impl AsyncFn(),
) -> Result<Cid, RepeatError> {
    let base = Parameters::from_safetensors(course.base).map_err(RepeatError::Base)?;
    let trained = Training::of(manifest).run(&base, course.shard, (course.steps, course.seed), turn).await;
    let trained = trained.map_err(RepeatError::Engine)?;
    let change = difference(&base, &trained).map_err(|_not_finite| RepeatError::Diverged)?;
    let max_norm = max_norm(manifest).map_err(RepeatError::Model)?;
    let rule = &manifest.update;
    let update = match rule.feedback {
        None => change.clipped(max_norm).encode(),
        Some(_nothing) => {
            Codec::new(rule.encoding).encode_within(&change, max_norm).map(|packed| packed.bytes)
        }
    };
    update.map(|bytes| Cid::of_raw(&bytes)).map_err(|_never| RepeatError::Diverged)
}
