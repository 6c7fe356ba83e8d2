//! Settles what two accounts say of one training by computing the piece of it about which they disagree.

use lichen_campaign::Manifest;
use lichen_model::Parameters;
use lichen_record::{Cid, Evidence};

use crate::repeat::update;
use crate::training::Training;
use crate::{Claim, Course, RepeatError, Repeated, Trace, repeat};

/// A contribution, and what somebody says against it who repeated the training.
#[derive(Clone, Copy, Debug)]
pub struct Dispute<'a> {
    /// What the contribution names.
    pub claim: &'a Claim,
    /// Where the training parts from that.
    pub evidence: &'a Evidence,
    /// The blob of the claimed trace.
    pub trace: &'a [u8],
    /// The blob of the state that the piece begins with, unless that is the base.
    pub before: Option<&'a [u8]>,
}

/// What an auditor says against a contribution.
#[derive(Clone, Copy, Debug)]
pub struct Accused<'a> {
    /// What it says that the training gives.
    pub found: Cid,
    /// Where it parts from what the contribution names.
    pub evidence: &'a Evidence,
    /// The blob of the state that the piece begins with, if it is at hand.
    pub before: Option<&'a [u8]>,
}

/// Who is right about a piece of a training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The contributor: the piece gives what it says, or it never said that the piece begins with this state.
    Stands,
    /// The auditor: the piece gives what that says, and not what the contributor says.
    Refuted,
    /// Nobody, or the evidence cannot be read: the whole training has to be repeated.
    Unsettled,
}

/// What an account has to say that is asked about a training: where another accuses the contributor, whoever of the two is right
/// about the piece that is accused, and otherwise what comes of repeating the training. `trace` is the blob that the claim names,
/// if it is at hand; `turn` is called now and then meanwhile.
///
/// # Errors
/// [`RepeatError`] if nothing comes of it here.
pub async fn examine(
    manifest: &Manifest,
    course: &Course<'_>,
    claim: &Claim,
    trace: Option<&[u8]>,
    accused: Option<Accused<'_>>,
    turn: impl AsyncFn(),
) -> Result<Repeated, RepeatError> {
    let Some(Accused { found, evidence, before }) = accused else {
        return repeat(manifest, course, claim, trace, turn).await;
    };
    if let Some(trace) = trace {
        let dispute = Dispute { claim, evidence, trace, before };
        match rule(manifest, course, &dispute, &turn).await?.0 {
            Ruling::Stands => return Ok(Repeated { found: claim.update, parting: None }),
            Ruling::Refuted => return Ok(Repeated { found, parting: None }),
            Ruling::Unsettled => {}
        }
    }
    repeat(manifest, course, claim, None, turn).await.map(|whole| Repeated { parting: None, ..whole })
}

/// Rules in a dispute, and says how many steps that took. `turn` is called now and then meanwhile.
///
/// # Errors
/// [`RepeatError`] if the piece cannot be computed here.
pub async fn rule(
    manifest: &Manifest,
    course: &Course<'_>,
    dispute: &Dispute<'_>,
    turn: impl AsyncFn(),
) -> Result<(Ruling, u32), RepeatError> {
    let unsettled = Ok((Ruling::Unsettled, 0));
    let Some(audit) = manifest.audit else { return unsettled };
    let (states, stride) = (audit.states(course.steps), audit.stride(course.steps));
    let Evidence { piece, before, after } = dispute.evidence;
    let Ok(trace) = Trace::decode(dispute.trace, states) else { return unsettled };
    if *piece > states {
        return unsettled;
    }
    let agreed = piece.checked_sub(1);
    if let (Some(place), Some(before)) = (agreed, before)
        && !trace.has(place, before)
    {
        return Ok((Ruling::Stands, 0));
    }
    let base = Parameters::from_safetensors(course.base).map_err(RepeatError::Base)?;
    let mut walk =
        Training::of(manifest).at_rate(course.learning_rate).begin(&base, course.shard, course.seed).await?;
    if agreed.is_some() {
        let Some(state) = dispute.before else { return unsettled };
        let taken = piece.saturating_mul(stride).min(course.steps);
        if walk.skip(&base, course.seed, taken, state).await.is_err() {
            return unsettled;
        }
    }
    let from = walk.done;
    let (computed, is_claimed) = if *piece == states {
        let computed = update(manifest, &base, &walk).await?;
        (computed, computed == dispute.claim.update)
    } else {
        walk.piece(course.steps, stride, &turn).await?;
        let computed = Cid::of_raw(&walk.state().await?);
        (computed, trace.has(*piece, &computed))
    };
    let ruling = match is_claimed {
        true => Ruling::Stands,
        false if computed == *after => Ruling::Refuted,
        false => Ruling::Unsettled,
    };
    Ok((ruling, walk.done - from))
}
