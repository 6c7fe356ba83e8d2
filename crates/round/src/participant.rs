//! The tab's side of the round protocol: joins, trains, contributes, attests.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, EngineVersion, Metrics, RoundNumber};

use crate::attempt::Attempt;
use crate::repetition::Work as AuditWork;
use crate::{CampaignState, Outcome, Stage};

mod message;
mod pursue;
mod take_in;

pub use message::{Activity, ParticipantAction, ParticipantEvent, Ticket};

/// A tab's part in a campaign: folds the log, and says what to do next.
///
/// The driver carries out every action and answers it with one event, as the events say, except where the
/// connection is lost first. What the person wants and what the log says decide alone: after a reload or a
/// reconnection, nothing is done twice that the log has already.
#[derive(Clone, Debug)]
pub struct Participant {
    account: AccountId,
    state: CampaignState,
    intent: Intent,
    link: Link,
    membership: Option<Submission>,
    checkpoint: Option<Checkpoint>,
    contribution: Option<Contribution>,
    attestation: Option<AttestationWork>,
    audit: Option<AuditWork>,
    audit_submission: Submission,
    aggregated: Option<Cid>,
    evaluated: Option<Cid>,
    tickets: u64,
}

/// What the person wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    Out,
    In,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    Reading,
    Live,
    Distrusted,
}

/// An entry on its way to the log.
#[derive(Clone, Copy, Debug)]
struct Submission {
    ticket: Ticket,
    attempt: Attempt,
}

/// The checkpoint that the next training starts from.
#[derive(Clone, Copy, Debug)]
struct Checkpoint {
    cid: Cid,
    fetch: Attempt,
    is_held: bool,
}

/// Work on the own contribution to the open round, or to the next one.
#[derive(Clone, Copy, Debug)]
struct Contribution {
    round: RoundNumber,
    /// The checkpoint that is trained from: the round may open with another one than it was to begin with.
    base: Cid,
    /// The step size that is trained with: the organiser may change it before the round opens.
    learning_rate: f64,
    step: ContributionStep,
}

#[derive(Clone, Copy, Debug)]
enum ContributionStep {
    Train(Attempt),
    Publish { trained: Trained, attempt: Attempt },
    Submit { trained: Trained, update: Cid, submission: Submission },
}

/// What is said of a training.
#[derive(Clone, Copy, Debug)]
struct Trained {
    metrics: Metrics,
    engine: EngineVersion,
    trace: Option<Cid>,
}

/// Work on the own attestation of the closed round.
#[derive(Clone, Debug)]
struct AttestationWork {
    round: RoundNumber,
    /// Contributions excluded when the work began: with more of them, it begins anew.
    excluded: u32,
    step: AttestationStep,
    /// Updates that nobody gave, each on its way to the log.
    missing: BTreeMap<Cid, Submission>,
}

#[derive(Clone, Copy, Debug)]
enum AttestationStep {
    Aggregate(Attempt),
    Submit { outcome: Outcome, difference: Option<Cid>, submission: Submission },
}

impl Submission {
    const fn new() -> Self {
        Self { ticket: Ticket(0), attempt: Attempt::new() }
    }

    fn is_answered_by(&self, ticket: Ticket) -> bool {
        self.attempt.is_running() && self.ticket == ticket
    }
}

impl Participant {
    /// A tab that acts for this account and takes no part yet.
    #[must_use]
    pub const fn new(account: AccountId, state: CampaignState) -> Self {
        Self {
            account,
            state,
            intent: Intent::Out,
            link: Link::Down,
            membership: None,
            checkpoint: None,
            contribution: None,
            attestation: None,
            audit: None,
            audit_submission: Submission::new(),
            aggregated: None,
            evaluated: None,
            tickets: 0,
        }
    }

    /// The campaign's state as far as the log is known here.
    #[must_use]
    pub const fn state(&self) -> &CampaignState {
        &self.state
    }

    /// The account that the tab acts for.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// Goes on with what a snapshot in the log says instead of with what was folded here. The log is read on from there before
    /// anything is done.
    pub fn begin(&mut self, state: CampaignState) {
        self.state = state;
    }

    /// Exchanges the state for another one of the same campaign. It is for programs that run many participants in one log: they
    /// fold each prefix once, and have each participant look at the state that it has read up to, with any event that brings no
    /// record. A tab has no use for it, and what follows from a state that its log does not give is worth nothing.
    pub const fn exchange(&mut self, state: &mut CampaignState) {
        core::mem::swap(&mut self.state, state);
    }

    /// Takes in what happened, at this time of the tab's clock in milliseconds (only differences matter), and says
    /// what to do, in order.
    pub fn handle(&mut self, now: u64, event: ParticipantEvent) -> Vec<ParticipantAction> {
        let mut actions = Vec::new();
        if self.link == Link::Distrusted {
            return actions;
        }
        self.take_in(now, event, &mut actions);
        self.drop_stale_work(&mut actions);
        if self.link == Link::Live {
            self.pursue_membership(now, &mut actions);
            self.pursue_contribution(now, &mut actions);
            self.pursue_attestation(now, &mut actions);
            self.pursue_audit(now, &mut actions);
            self.pursue_evaluation(now, &mut actions);
        }
        actions
    }

    /// What the tab is at.
    #[must_use]
    pub fn activity(&self) -> Activity {
        match (self.link, self.intent) {
            (Link::Distrusted, _) => return Activity::Distrusting,
            (_, Intent::Out) => return Activity::Idle,
            (_, Intent::Paused) => return Activity::Paused,
            (_, Intent::In) => {}
        }
        if let Some(Contribution { round, step, .. }) = self.contribution {
            return match step {
                ContributionStep::Train(attempt) if attempt.is_running() => Activity::Training { round },
                ContributionStep::Train(_) => Activity::Fetching { round },
                _ if self.state.open_round().is_none() => Activity::WaitingForRound,
                ContributionStep::Publish { .. } | ContributionStep::Submit { .. } => {
                    Activity::Contributing { round }
                }
            };
        }
        if self.link != Link::Live {
            return Activity::CatchingUp;
        }
        if self.state.is_finished() {
            return Activity::Finished;
        }
        if self.state.is_on_hold() {
            return Activity::OnHold;
        }
        if !self.state.is_present(&self.account) {
            return Activity::Joining;
        }
        let Some(round) = self.state.round() else { return Activity::WaitingForRound };
        match round.stage() {
            Stage::Open if !round.has_turn(&self.account) => Activity::WaitingForTurn {
                round: round.number(),
                drawn: round.drawn().unwrap_or(0),
                members: self.state.here_count(),
            },
            Stage::Open => Activity::WaitingForOthers { round: round.number() },
            Stage::Closed { .. } if !round.is_drawn(&self.account) => {
                Activity::WaitingForOthers { round: round.number() }
            }
            Stage::Closed { .. } => Activity::Aggregating { round: round.number() },
            Stage::Settled { .. } => Activity::WaitingForRound,
        }
    }
}
