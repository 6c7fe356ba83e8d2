//! What a stalled tab reports: what it waits for, the cause if known, and what to do.

use lichen_bridge::{Phase, Problem};
use lichen_record::RoundNumber;
use lichen_round::{Activity, Stage as RoundStage};

use super::Session;
use crate::Platform;

use crate::watchdog::{Sight, Stage, Watchdog};

/// In which something should move wherever an answer is waited for, in milliseconds.
const ANSWER_MS: u64 = 5_000;

/// Bytes a second that are more than a connection moves only to show that it stands.
const MOVING: u64 = 2_048;

/// Longest silence of a relay that is connected, in milliseconds: while its log is read it speaks every ten seconds.
const SILENCE_MS: f64 = 12_000.0;

/// What keeps one session's watch.
#[derive(Debug, Default)]
pub(crate) struct Vigil {
    watchdog: Watchdog,
    /// Bytes moved, as reported last.
    bytes: u64,
    /// Reports by which more bytes had moved than a connection needs to stand.
    moved: u64,
    /// When the relay was heard last.
    heard: f64,
}

impl Vigil {
    /// A frame came from the relay or a peer.
    pub(crate) fn heard(&mut self, now: f64) {
        self.heard = now;
    }

    /// So many bytes have moved in all.
    pub(crate) fn moved(&mut self, bytes: u64) {
        if bytes.saturating_sub(self.bytes) >= MOVING {
            self.moved = self.moved.wrapping_add(1);
        }
        self.bytes = bytes;
    }
}

impl<P: Platform> Session<P> {
    /// Looks whether anything moves.
    pub(crate) fn look(&mut self) {
        let now = self.context.platform.clock();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds of a clock"
        )]
        let milliseconds = now as u64;
        let sight = self.sight(&self.plain_phase());
        self.vigil.watchdog.look(milliseconds, sight);
    }

    /// What to say in place of this phase where nothing gets on in it.
    pub(crate) fn stall(&self, phase: &Phase) -> Option<Problem> {
        if let (Phase::Training { round, .. }, Some(diverged)) = (phase, self.diverged)
            && diverged.round.0 == *round
        {
            return Some(diverging(diverged.round));
        }
        let sight = self.sight(phase)?;
        if let Some(problem) = self.unwitnessed().filter(|_waiting| sight.stage != Stage::Training) {
            return Some(problem);
        }
        let store = self.context.obstacles.store();
        // Without a place for it, what is fetched or computed is lost again at once.
        let is_blocked = store.is_some() && matches!(sight.stage, Stage::Fetching | Stage::Settling);
        if !is_blocked && !self.vigil.watchdog.has_stalled(&sight) {
            return None;
        }
        let is_silent = self.context.platform.clock() - self.vigil.heard > SILENCE_MS;
        let cause = match (sight.stage, store, self.context.obstacles.refusal()) {
            (Stage::Training, ..) => Cause::Unknown,
            (_, Some(reason), _) if is_blocked => Cause::Store(reason),
            (Stage::Connecting, ..) => Cause::Silent,
            _ if is_silent => Cause::Silent,
            (Stage::Reading | Stage::Joining | Stage::Sending | Stage::Fetching, _, Some(reason)) => {
                Cause::Refused(reason)
            }
            (Stage::Closing, ..) if self.lacking() > 0 => Cause::Lacking(self.lacking()),
            (Stage::Opening, ..) if self.absent() > 0 => Cause::Absent(self.absent()),
            _ => Cause::Unknown,
        };
        Some(problem(sight.stage, cause))
    }

    /// What is waited for, and how far it is.
    fn sight(&self, phase: &Phase) -> Option<Sight> {
        let state = self.participant.state();
        let (rules, activity) = (state.rules(), self.participant.activity());
        let (number, count) = state.round().map_or((0, 0), |round| match round.stage() {
            RoundStage::Open => (round.number().0, round.contributions().len()),
            RoundStage::Closed { .. } | RoundStage::Settled { .. } => {
                (round.number().0, round.attestations().count())
            }
        });
        let (count, moved) = (count as u64, self.vigil.moved);
        let progress = &self.context.progress;
        let (stage, allowed_ms, interval_ms, mark) = match phase {
            Phase::Connecting => (Stage::Connecting, 0, ANSWER_MS, [0; 3]),
            Phase::CatchingUp { .. } if matches!(activity, Activity::Fetching { .. }) => {
                (Stage::Fetching, 0, ANSWER_MS, [number, moved, 0])
            }
            Phase::CatchingUp { done, .. } => (Stage::Reading, 0, ANSWER_MS, [*done, moved, 0]),
            Phase::WaitingForRound if activity == Activity::Joining => {
                (Stage::Joining, 0, ANSWER_MS, [number, 0, 0])
            }
            Phase::WaitingForRound => (Stage::Opening, rules.interval_ms, ANSWER_MS, [number, 0, 0]),
            Phase::Training { .. } => {
                (Stage::Training, 0, progress.step_ms().max(ANSWER_MS), [progress.taken(), 0, 0])
            }
            Phase::Sending => (Stage::Sending, 0, ANSWER_MS, [number, moved, 0]),
            // With everybody's contribution there and too few, no time will close the round.
            Phase::WaitingForClose if self.lacking() > 0 && self.is_cohort_done() => {
                (Stage::Closing, 0, ANSWER_MS, [number, count, 0])
            }
            Phase::WaitingForClose | Phase::WaitingForTurn { .. } => {
                let extensions = state.round().map_or(0, |round| u64::from(round.extensions()));
                (Stage::Closing, rules.deadline_ms, ANSWER_MS, [number, count, extensions])
            }
            Phase::Aggregating => (Stage::Settling, rules.deadline_ms, ANSWER_MS, [number, count, moved]),
            _ => return None,
        };
        Some(Sight { stage, mark, allowed_ms, interval_ms })
    }

    /// Contributions that the round lacks to close.
    fn lacking(&self) -> u32 {
        let given = self.participant.state().round().map_or(0, |round| round.contributions().len());
        let minimum = self.context.setup.rules.minimum;
        minimum.saturating_sub(u32::try_from(given).unwrap_or(u32::MAX))
    }

    /// People who are missing before the next round opens, where it opens only with as many as it needs.
    fn absent(&self) -> u32 {
        let rules = &self.context.setup.rules;
        let here = u32::try_from(self.participant.state().here_count()).unwrap_or(u32::MAX);
        rules.extensions.map_or(0, |_skipped| rules.minimum.saturating_sub(here))
    }

    /// Whether all whom the round waited for have contributed.
    fn is_cohort_done(&self) -> bool {
        self.participant.state().round().is_none_or(|round| round.awaited().next().is_none())
    }
}

/// Why nothing moves.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    /// The relay says nothing.
    Silent,
    /// The device keeps nothing.
    Store(String),
    /// The relay refuses.
    Refused(String),
    /// The round lacks so many contributions.
    Lacking(u32),
    /// The next round needs so many more people.
    Absent(u32),
    /// Nobody said why.
    Unknown,
}

const PATIENCE: &str = "This tab continues as soon as that is over. If it lasts, reload the page or tell the \
    people who run this site.";

fn problem(stage: Stage, cause: Cause) -> Problem {
    let message = match (stage, cause) {
        (_, Cause::Silent) => "The relay has stopped answering.".into(),
        (_, Cause::Store(reason)) => return unstored(&reason),
        (_, Cause::Refused(reason)) => format!("The relay does not accept what this tab sends: {reason}."),
        (_, Cause::Lacking(number)) => {
            let contributions = if number == 1 { "contribution" } else { "contributions" };
            return Problem {
                message: format!("The round lacks {number} more {contributions}, and nobody else is here."),
                remedy: "It continues as soon as others take part: leave this page open, or invite somebody."
                    .into(),
            };
        }
        (_, Cause::Absent(number)) => {
            let people = if number == 1 { "person" } else { "people" };
            return Problem {
                message: format!("The next round starts when {number} more {people} take part."),
                remedy: "Nothing is trained until then. Leave this page open, or invite somebody.".into(),
            };
        }
        (Stage::Training, Cause::Unknown) => {
            return Problem {
                message: "No training step has finished for a long time.".into(),
                remedy: "Other programs may keep this device busy. If this continues, reload the page."
                    .into(),
            };
        }
        (Stage::Connecting | Stage::Reading, Cause::Unknown) => "The record has stopped arriving.".into(),
        (Stage::Fetching, Cause::Unknown) => "The model or the training data does not arrive.".into(),
        (Stage::Joining, Cause::Unknown) => "The relay has not yet recorded that this tab joined.".into(),
        (Stage::Sending, Cause::Unknown) => "What this tab has learned does not reach the relay.".into(),
        (Stage::Closing, Cause::Unknown) => "The round should have closed by now.".into(),
        (Stage::Settling, Cause::Unknown) => "The round’s result should be settled by now.".into(),
        (Stage::Opening, Cause::Unknown) => "The next round should have opened by now.".into(),
    };
    Problem { message, remedy: PATIENCE.into() }
}

/// The device has no place for what this page needs.
fn unstored(reason: &str) -> Problem {
    if reason.contains("Quota") {
        return Problem {
            message: "This browser has no room left for this page's data.".into(),
            remedy: "Free some space on this device; this tab tries again automatically.".into(),
        };
    }
    Problem {
        message: format!("This browser has stopped storing this page's data ({reason})."),
        remedy:
            "Allow this site to store data; this tab tries again automatically. If this continues, reload the page."
                .into(),
    }
}

/// A training diverged, and is not tried again in this round.
fn diverging(round: RoundNumber) -> Problem {
    Problem {
        message: format!("Training diverged in round {}: the numbers grew beyond all bounds.", round.0),
        remedy:
            "Nothing is wrong with this device. This tab waits and tries again in the next round; the people \
            who run this campaign may have to lower its learning rate."
                .into(),
    }
}

/// Training diverged too often.
pub(crate) fn stopped_diverging() -> Problem {
    Problem {
        message: "Training diverged in each of the last rounds, so this tab has stopped.".into(),
        remedy: "Nothing is wrong with this device. Tell the people who run this campaign that its learning rate may be \
            too high."
            .into(),
    }
}

/// What a pause interrupted is of no use any more.
pub(crate) fn moved_on(round: RoundNumber) -> Problem {
    Problem {
        message: format!("Round {} ended during the pause.", round.0),
        remedy: "The unfinished work for it is discarded; this tab starts again with the current model."
            .into(),
    }
}

/// A round ended without a result.
pub(crate) fn skipped(round: RoundNumber) -> Problem {
    Problem {
        message: format!("Round {} was skipped: too little came together in the time that it had.", round.0),
        remedy: "The next round starts from the same model. You need not do anything.".into(),
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    #[test]
    fn every_stall_has_a_sentence_and_a_remedy() {
        let causes = [
            Cause::Silent,
            Cause::Store("the store failed".into()),
            Cause::Refused("too many requests".into()),
            Cause::Lacking(2),
            Cause::Absent(2),
            Cause::Unknown,
        ];
        for stage in Stage::ALL {
            for cause in &causes {
                let Problem { message, remedy } = problem(stage, cause.clone());
                for text in [message, remedy] {
                    assert!(text.ends_with('.') && !text.contains("  "), "{stage:?} {cause:?}: {text}");
                }
            }
        }
    }

    #[test]
    fn a_full_device_is_told_from_one_that_keeps_nothing() {
        let full = unstored("the store failed: failed to put a value: QuotaExceededError");
        assert!(full.remedy.contains("Free some space"));
        assert!(unstored("the store failed: no").message.contains("stopped storing"));
    }

    #[test]
    fn keeping_a_connection_alive_moves_nothing() {
        let mut vigil = Vigil::default();
        vigil.moved(MOVING - 1);
        vigil.moved(MOVING + 300);
        assert_eq!(vigil.moved, 0);
        vigil.moved(3 * MOVING);
        assert_eq!(vigil.moved, 1);
    }
}
