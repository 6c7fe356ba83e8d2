//! Computes every round's result again.

use lichen_campaign::{Manifest, Transport};
use lichen_learn::{Aggregation, Quality};
use lichen_record::{MAX_BLOB, RoundNumber};
use lichen_round::Outcome;

use crate::blobs::Blobs;
use crate::ending::{self, Ending};
use crate::evaluation::{Reached, Recomputer};
use crate::following::{Log, SettledRound};
use crate::{Best, BlobRole, Fault, Progress, Source, SourceError};

/// What the last round came to, as computed here.
pub(super) struct Recomputed {
    pub(super) last: Reached,
    pub(super) left_out: u64,
    pub(super) not_recomputed: u64,
    pub(super) differences_wrong: u64,
    pub(super) course: Course,
    /// The last end that the coordinator declared.
    pub(super) ending: Option<Ending>,
}

/// How good the checkpoints were.
#[derive(Default)]
pub(super) struct Course {
    pub(super) best: Option<Best>,
    /// Whether the last one is far below the best.
    pub(super) is_far_below: bool,
}

impl Course {
    async fn add(
        &mut self,
        recomputer: &mut Recomputer,
        round: RoundNumber,
        at: &Reached,
    ) -> Result<(), Fault> {
        let Some(quality) = recomputer.quality(round, &at.outcome.result, &at.checkpoint).await? else {
            return Ok(());
        };
        let Quality { loss, accuracy, samples } = quality;
        let is_better =
            |best: Best| accuracy > best.accuracy || (accuracy == best.accuracy && loss < best.loss);
        if loss.is_finite() && self.best.is_none_or(is_better) {
            self.best = Some(Best { round, accuracy, loss });
        }
        self.is_far_below = self.best.is_some_and(|Best { accuracy, loss, .. }| {
            recomputer.is_far_below(&quality, &Quality { loss, accuracy, samples })
        });
        Ok(())
    }
}

pub(super) async fn recompute<S: Source>(
    blobs: &mut Blobs<'_, S>,
    manifest: &Manifest,
    data: &[u8],
    initial: Vec<u8>,
    log: &Log,
    progress: &mut impl FnMut(Progress),
) -> Result<Recomputed, Fault> {
    let mut at = Reached { outcome: log.initial.into(), checkpoint: initial, state: None };
    blobs.fetch(log.initial, BlobRole::Checkpoint(RoundNumber(0)), MAX_BLOB).await?;
    let mut recomputer = Recomputer::new(manifest, data)?;
    let mut course = Course::default();
    course.add(&mut recomputer, RoundNumber(0), &at).await?;
    let (mut left_out, mut not_recomputed, mut differences_wrong) = (0, 0, 0);
    let mut ending = None;
    let total = log.rounds.len() as u64;
    blobs.fetch_ahead(expected_length(&at.checkpoint));
    let mut coming = (1..).zip(&log.rounds);
    for (done, round) in (1..).zip(&log.rounds) {
        while blobs.may_expect()
            && let Some((number, round)) = coming.next()
        {
            expect(blobs, number, round);
        }
        blobs.reach(2 * done);
        if round.base != at.outcome {
            // The log lets the coordinator go back only to what settled, and so was computed here before.
            at = fetch_outcome(blobs, round.number, round.base).await?;
        }
        let end = log.ends.iter().rev().find(|(end, _goal)| *end == round.number);
        let base = end.map(|(_end, goal)| (at.checkpoint.clone(), *goal));
        let mut aggregation = recomputer.begin(round, &at)?;
        if let Some(out) = gather(blobs, manifest, round, &recomputer, &mut aggregation).await? {
            let (computed, difference) = recomputer.settle(round, &at, aggregation).await?;
            left_out += out;
            differences_wrong += u64::from(round.difference.is_some() && round.difference != difference);
            if computed != round.outcome {
                let (computed, settled) = (Box::new(computed), Box::new(round.outcome));
                return Err(Fault::Checkpoint { round: round.number, computed, settled });
            }
        } else {
            // Only the contributors saw the updates; what they attested is taken from them.
            not_recomputed += 1;
        }
        blobs.reach(2 * done + 1);
        // Of the same bytes as were computed, and others can have them.
        at = fetch_outcome(blobs, round.number, round.outcome).await?;
        course.add(&mut recomputer, round.number, &at).await?;
        if let Some((base, goal)) = base {
            let checkpoints = [&base[..], &at.checkpoint];
            ending = Some(ending::check(manifest, data, (round.number, goal), checkpoints).await?);
        }
        progress(Progress::Rounds(done, total));
    }
    Ok(Recomputed { last: at, left_out, not_recomputed, differences_wrong, course, ending })
}

/// What a round came to, from whoever has it.
async fn fetch_outcome<S: Source>(
    blobs: &mut Blobs<'_, S>,
    round: RoundNumber,
    outcome: Outcome,
) -> Result<Reached, Fault> {
    let checkpoint = blobs.fetch(outcome.result, BlobRole::Checkpoint(round), MAX_BLOB).await?;
    let state = match outcome.state {
        Some(state) => Some(blobs.fetch(state, BlobRole::OuterState(round), MAX_BLOB).await?),
        None => None,
    };
    Ok(Reached { outcome, checkpoint, state })
}

/// Says what computing a round again takes, in this order. Each round has two places in the order of the work: its updates and
/// its outcome.
fn expect<S: Source>(blobs: &mut Blobs<'_, S>, number: u64, round: &SettledRound) {
    blobs.expect(2 * number, round.inputs.iter().map(|input| input.update));
    let outcome = [Some(round.outcome.result), round.outcome.state];
    blobs.expect(2 * number + 1, outcome.into_iter().flatten());
}

/// About the most that an update or a checkpoint takes, given what the first checkpoint does.
const fn expected_length(checkpoint: &[u8]) -> usize {
    2 * checkpoint.len() + 4096
}

/// Adds a round's updates up, one after the other, and says how many are left out; none where updates go from tab to tab and one is
/// not kept.
async fn gather<S: Source>(
    blobs: &mut Blobs<'_, S>,
    manifest: &Manifest,
    round: &SettledRound,
    recomputer: &Recomputer,
    aggregation: &mut Aggregation,
) -> Result<Option<u64>, Fault> {
    let mut left_out = 0;
    for input in &round.inputs {
        match blobs.fetch(input.update, BlobRole::Update(round.number), MAX_BLOB).await {
            Ok(bytes) => left_out += u64::from(!recomputer.add(aggregation, input, &bytes)),
            Err(Fault::Blob { error: SourceError::NotFound, .. })
                if manifest.rounds.transport == Transport::Peers =>
            {
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(Some(left_out))
}
