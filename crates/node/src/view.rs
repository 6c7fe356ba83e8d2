//! What a session shows: turns the campaign's state into events for the page.

use lichen_bridge::{Audited, Event, Phase};
use lichen_record::AccountId;
use lichen_round::{Activity, CampaignState, Stage};

use crate::hub::Outbox;
use crate::progress::Progress;

/// Most members named to the page.
const MAX_NAMED: usize = 100;

/// What the page was last shown, so that it is told only what changes.
pub(crate) struct View {
    out: Outbox,
    phase: Option<Phase>,
    round: Option<Event>,
    audited: Option<Audited>,
    are_members_stale: bool,
    /// The last round that settings changed with, as far as was told.
    changed: u64,
}

impl View {
    pub(crate) fn new(out: Outbox) -> Self {
        Self { out, phase: None, round: None, audited: None, are_members_stale: true, changed: 0 }
    }

    /// Notes that somebody joined, left, or is not waited for any longer.
    pub(crate) fn members_changed(&mut self) {
        self.are_members_stale = true;
    }

    /// Shows what differs from what was shown last.
    pub(crate) fn show(&mut self, phase: Phase, state: &CampaignState, account: &AccountId) {
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
        let audited = audited(state, account);
        if let Some(audited) = audited.filter(|_new| audited != self.audited) {
            (self.out)(Event::Audited(audited));
            self.audited = Some(audited);
        }
        for applied in state.applied().iter().filter(|applied| applied.round.0 > self.changed) {
            let (round, time, settings) = (applied.round.0, applied.time, applied.settings);
            (self.out)(Event::SettingsChanged { round, time, settings });
        }
        self.changed = state.applied().last().map_or(0, |applied| applied.round.0);
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

/// The connection to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Being made.
    Connecting,
    /// Made, and the relay knows the account or is being told.
    Up,
    /// Lost.
    Down {
        /// Milliseconds until the next attempt.
        retry_in: Option<u32>,
    },
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
        (Activity::OnHold, Link::Up) => Phase::OnHold,
        (Activity::Contributing { .. }, Link::Up) => Phase::Sending,
        (Activity::WaitingForTurn { round, drawn, members }, Link::Up) => {
            Phase::WaitingForTurn { round: round.0, drawn: count(drawn), members: count(members) }
        }
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

fn audited(state: &CampaignState, account: &AccountId) -> Option<Audited> {
    let earn = state.rules().audit?.earn;
    let member = state.member(account)?;
    Some(Audited { confirmed: member.audited(), earn, expelled: member.is_expelled() })
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
