//! Repeats somebody's training, to see whether it gives what the contribution names.

use lichen_campaign::Manifest;
use lichen_engine::{EngineError, EngineKind, version};
use lichen_learn::{Codec, Dataset, difference, max_norm};
use lichen_model::{ModelError, Parameters};
use lichen_record::{Cid, EngineVersion};

use crate::Trace;
use crate::training::{Training, Walk};

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
    /// The optimiser's step size before its schedule.
    pub learning_rate: f64,
}

/// What a contribution names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The update.
    pub update: Cid,
    /// The trace, if it names one.
    pub trace: Option<Cid>,
}

/// What came of repeating a training.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// The claimed update, if the training gives all that is claimed. Otherwise the update that it gives, or its trace where only
    /// that differs.
    pub found: Cid,
    /// Where it parted from the claimed trace, as far as that is known.
    pub parting: Option<Parting>,
}

/// The first piece of a training that does not give what is claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parting {
    /// Pieces before it.
    pub piece: u32,
    /// The state that it begins with; none for the first piece.
    pub before: Option<Vec<u8>>,
    /// What it gives: a state, or behind the last one the update.
    pub after: Cid,
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

impl From<EngineError> for RepeatError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

/// Whether this program gets the same bits as that engine.
#[must_use]
pub fn repeats(engine: EngineVersion) -> bool {
    engine.is_reproducible() && engine.version == version(EngineKind::Cpu)
}

/// Repeats a training on the CPU, with nothing left over from earlier rounds. `trace` is the blob that the claim names, if it is
/// at hand; `turn` is called now and then meanwhile.
///
/// # Errors
/// [`RepeatError`] if nothing comes of it here.
pub async fn repeat(
    manifest: &Manifest,
    course: &Course<'_>,
    claim: &Claim,
    trace: Option<&[u8]>,
    turn: impl AsyncFn(),
) -> Result<Repeated, RepeatError> {
    let base = Parameters::from_safetensors(course.base).map_err(RepeatError::Base)?;
    let mut walk =
        Training::of(manifest).at_rate(course.learning_rate).begin(&base, course.shard, course.seed).await?;
    let mut own = Trace::default();
    let mut parting = None;
    let mut last = None;
    if let (Some(_named), Some(audit)) = (claim.trace, manifest.audit) {
        let trace = trace.and_then(|bytes| Trace::decode(bytes, audit.states(course.steps)).ok());
        for piece in 0..audit.states(course.steps) {
            walk.piece(course.steps, audit.stride(course.steps), &turn).await?;
            let state = walk.state().await?;
            let after = Cid::of_raw(&state);
            own.push(&after);
            if parting.is_none() && trace.as_ref().is_some_and(|trace| !trace.has(piece, &after)) {
                parting = Some(Parting { piece, before: last.take(), after });
            }
            last = Some(state);
        }
    } else {
        walk.steps(course.steps, &turn).await?;
    }
    let update = update(manifest, &base, &walk).await?;
    let is_traced = claim.trace.is_none_or(|trace| trace == own.id());
    if update == claim.update {
        let found = if is_traced { update } else { own.id() };
        return Ok(Repeated { found, parting });
    }
    if claim.trace.is_some() && is_traced {
        let piece = manifest.audit.map_or(0, |audit| audit.states(course.steps));
        parting = Some(Parting { piece, before: last, after: update });
    }
    Ok(Repeated { found: update, parting })
}

impl Walk<'_> {
    /// Takes the steps to the next state that a contribution names.
    pub(crate) async fn piece(
        &mut self,
        steps: u32,
        stride: u32,
        turn: &impl AsyncFn(),
    ) -> Result<(), EngineError> {
        let left = steps.saturating_sub(self.done);
        self.steps(stride.min(left), turn).await
    }
}

/// The id of the update that comes of a training's last state.
pub(crate) async fn update(
    manifest: &Manifest,
    base: &Parameters,
    walk: &Walk<'_>,
) -> Result<Cid, RepeatError> {
    let trained = walk.parameters().await?;
    let change = difference(base, &trained).map_err(|_not_finite| RepeatError::Diverged)?;
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
