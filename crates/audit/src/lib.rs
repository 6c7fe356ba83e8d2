//! Checks a campaign from its first record to its last checkpoint, believing nobody.
//!
//! [`audit()`] reads everything from a [`Source`] and computes again what can be computed: the first checkpoint from the manifest,
//! the chain, every signature, the state of the campaign entry by entry, every round's result from its updates. `lichen verify`
//! gives it a relay or a folder. What is found wrong is a [`Fault`] with its place.
#![deny(missing_docs)]

mod blobs;
mod ending;
mod evaluation;
mod fault;
mod following;
pub mod plain;
mod repeating;
mod report;
mod rounds;
mod source;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
mod tree;
mod words;

use lichen_campaign::Manifest;
use lichen_record::{CampaignId, Cid, MAX_BLOB, MAX_MANIFEST, RoundNumber};

pub use ending::Ending;
pub use fault::Fault;
pub use repeating::Repeat;
pub use report::{Best, Progress, Report};
pub use source::{BlobRole, Source, SourceError};
pub use tree::{Tree, TreeReport};
pub use words::in_words;

use blobs::Blobs;
use following::follow_log;
use rounds::recompute;

/// Audits a campaign.
///
/// # Errors
/// The first [`Fault`] found, with its place.
pub async fn audit(
    source: &impl Source,
    campaign: CampaignId,
    which: Repeat,
    mut tree: Option<&mut Tree>,
    progress: &mut impl FnMut(Progress),
) -> Result<Report, Fault> {
    let mut blobs = Blobs::new(source);
    let manifest = blobs.fetch(campaign.0, BlobRole::Manifest, MAX_MANIFEST).await?;
    let manifest = Manifest::from_bytes(&manifest).map_err(Fault::Manifest)?;
    let initial = evaluation::initial_checkpoint(&manifest)?;
    let log =
        follow_log(source, campaign, &manifest, Cid::of_raw(&initial), tree.as_deref_mut(), progress).await?;
    let seen_by = |witnesses| tree.as_ref().map(|tree| tree.seen_by(witnesses));
    let witnessed = manifest.log.witnesses.as_ref().and_then(seen_by).transpose()?;
    let data = blobs.fetch(manifest.data.cid, BlobRole::Data, MAX_BLOB).await?;
    let recomputed = recompute(&mut blobs, &manifest, &data, initial, &log, progress).await?;
    let checked = log.decisions.check(&mut blobs, &manifest, &data, which, progress).await?;

    progress(Progress::Evaluating);
    let evaluated = evaluation::evaluate(&manifest, &recomputed.last.checkpoint, &data)?;
    let best = recomputed.course.best;
    if !evaluated.loss.is_finite() {
        let round = log.rounds.last().map_or(RoundNumber(0), |round| round.number);
        return Err(Fault::Broken { round, loss: evaluated.loss, best: best.map(|best| best.round) });
    }
    Ok(Report {
        campaign,
        title: manifest.campaign.title,
        coordinator: log.coordinator,
        records: log.records,
        tree: None,
        witnesses_wanted: manifest.log.witnesses.as_ref().map_or(0, |witnesses| witnesses.quorum),
        witnessed,
        snapshots: log.snapshots,
        signatures: log.records + 1,
        contributors: log.contributors,
        contributions: log.rounds.iter().map(|round| round.inputs.len() as u64).sum(),
        contributions_reproducible: log.rounds.iter().map(|round| round.reproducible).sum(),
        updates_left_out: recomputed.left_out,
        rounds: log.rounds.len() as u64,
        rounds_set_aside: log.set_aside,
        rounds_skipped: log.skipped,
        rounds_not_recomputed: recomputed.not_recomputed,
        contradictions: log.contradictions,
        trainings_audited: log.decisions.len(),
        trainings_repeated: checked.repeated,
        disputes_settled: checked.settled,
        disputes_steps: checked.steps,
        expelled: log.decisions.expelled,
        differences_wrong: recomputed.differences_wrong,
        blobs: blobs.count,
        blob_bytes: blobs.bytes,
        initial: log.initial,
        checkpoint: recomputed.last.outcome.result,
        accuracy: evaluated.accuracy,
        loss: evaluated.loss,
        held_out: evaluated.samples,
        goal_reached: recomputed.ending.filter(|_ending| log.is_at_goal),
        best: best.filter(|_best| recomputed.course.is_far_below),
    })
}
