//! What a session shows: turns the campaign's state into events for the page.

use std::cell::Cell;

use lichen_bridge::{Event, Phase};
use lichen_record::{CampaignId, Cid, decode};
use lichen_round::{Activity, CampaignState, Stage};
use serde::{Deserialize, Serialize};

use crate::Platform;
use crate::hub::Outbox;
use crate::session::Link;

/// Most members named to the page.
const MAX_NAMED: usize = 100;

/// Longest stored evaluation, in bytes.
const MAX_STORED: usize = 1024;

/// How long the first step may take, in milliseconds: shaders may have to be compiled for it.
const FIRST_STEP_MS: f64 = 20_000.0;

/// What the page was last shown, so that it is told only what changes.
pub(crate) struct View {
    out: Outbox,
    phase: Option<Phase>,
    round: Option<Event>,
    are_members_stale: bool,
}

impl View {
    pub(crate) fn new(out: Outbox) -> Self {
        Self { out, phase: None, round: None, are_members_stale: true }
    }

    /// Notes that somebody joined, left, or is not waited for any longer.
    pub(crate) fn members_changed(&mut self) {
        self.are_members_stale = true;
    }

    /// Shows what differs from what was shown last.
    pub(crate) fn show(&mut self, phase: Phase, state: &CampaignState) {
        if self.phase.as_ref().is_none_or(|shown| !is_same(shown, &phase)) {
            (self.out)(Event::Status(phase.clone()));
            self.phase = Some(phase);
        }
        let round = round(state);
        if round.is_some() && round != self.round {
            if let Some(round) = &round {
                (self.out)(round.clone());
            }
            self.round = round;
        }
        if std::mem::take(&mut self.are_members_stale) && state.length() > 0 {
            (self.out)(members(state));
        }
    }
}

/// Whether a phase needs no new telling. Training tells its own progress.
fn is_same(shown: &Phase, phase: &Phase) -> bool {
    match (shown, phase) {
        (Phase::Training { round, .. }, Phase::Training { round: now, .. }) => round == now,
        _ => shown == phase,
    }
}

/// How far the training has come, told by the training itself.
pub(crate) struct Progress {
    at: Cell<(u64, u32, u32)>,
    /// Steps taken in this session, those of trainings that came to nothing among them.
    taken: Cell<u64>,
    step_ms: Cell<f64>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { at: Cell::new((0, 0, 0)), taken: Cell::new(0), step_ms: Cell::new(FIRST_STEP_MS) }
    }

    /// A training begins, or goes on where it was stopped.
    pub(crate) fn begin(&self, round: u64, steps: u32) {
        let (known, step, _) = self.at.get();
        self.at.set((round, if known == round { step } else { 0 }, steps));
    }

    pub(crate) fn advance(&self, step: u32) {
        let (round, _, steps) = self.at.get();
        self.at.set((round, step, steps));
    }

    /// So many steps took so many milliseconds.
    pub(crate) fn took(&self, steps: u32, ms: f64) {
        self.taken.set(self.taken.get().wrapping_add(steps.into()));
        self.step_ms.set(ms / f64::from(steps.max(1)));
    }

    /// Steps taken in this session.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// How long the last step took, in milliseconds; before the first, how long that may take.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of one step")]
    pub(crate) fn step_ms(&self) -> u64 {
        self.step_ms.get() as u64
    }

    pub(crate) fn phase(&self) -> Phase {
        let (round, step, steps) = self.at.get();
        Phase::Training { round, step, steps }
    }
}

/// What to call the round machine's activity; `read` is how many records of the log are read, of how many.
pub(crate) fn phase(activity: Activity, link: Link, read: (u64, u64), progress: &Progress) -> Phase {
    match (activity, link) {
        (Activity::Idle | Activity::Distrusting, _) => Phase::Idle,
        (Activity::Paused, _) => Phase::Paused,
        (Activity::Training { .. }, _) => progress.phase(),
        (Activity::Finished, _) => Phase::Finished,
        (_, Link::Down { retry_in }) => Phase::Offline { retry_in },
        (_, Link::Connecting) => Phase::Connecting,
        (Activity::CatchingUp | Activity::Fetching { .. }, Link::Up) => {
            Phase::CatchingUp { done: read.0, total: read.1 }
        }
        (Activity::Joining | Activity::WaitingForRound, Link::Up) => Phase::WaitingForRound,
        (Activity::Contributing { .. }, Link::Up) => Phase::Sending,
        (Activity::WaitingForOthers { .. }, Link::Up) => Phase::WaitingForClose,
        (Activity::Aggregating { .. }, Link::Up) => Phase::Aggregating,
    }
}

fn round(state: &CampaignState) -> Option<Event> {
    let round = state.round()?;
    Some(Event::Round {
        number: round.number().0,
        base: round.base(),
        cohort: count(round.cohort()),
        contributions: count(round.contributions().len()),
        closed: round.stage() != Stage::Open,
        settled: matches!(round.stage(), Stage::Settled { .. }),
    })
}

/// Those whom rounds wait for, and newcomers: whoever closed a tab without leaving is not among them once that is noticed.
fn members(state: &CampaignState) -> Event {
    Event::Members {
        accounts: state.active().take(MAX_NAMED).map(|account| account.to_string()).collect(),
        count: count(state.active_count()),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Where the last evaluation of a campaign's checkpoint is kept.
pub(crate) fn evaluation_name(campaign: CampaignId) -> String {
    format!("evaluation/{campaign}")
}

/// A settled checkpoint measured on held-out data, as it is kept.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evaluated {
    pub(crate) round: Option<u64>,
    pub(crate) checkpoint: Cid,
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
    pub(crate) samples: u32,
}

impl From<Evaluated> for Event {
    fn from(evaluated: Evaluated) -> Self {
        let Evaluated { round, checkpoint, loss, accuracy, samples } = evaluated;
        Self::Evaluated { round, checkpoint, loss, accuracy, samples }
    }
}

/// The last evaluation that this device has kept.
pub(crate) async fn saved_evaluation<P: Platform>(platform: &P, campaign: CampaignId) -> Option<Evaluated> {
    let (_name, bytes) = platform.load(&evaluation_name(campaign)).await.ok()?.pop()?;
    decode(&bytes, MAX_STORED).ok()
}
