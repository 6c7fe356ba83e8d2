//! What the page knows, and how each event changes it: plain data in, effects out, no browser.

mod asking;
mod check;
mod compare;
mod effort;
mod filing;
mod liveness;
mod reduce;
mod sentence;
#[cfg(test)]
mod tests;
mod trial;

pub(crate) use check::Check;
pub(crate) use effort::Effort;
pub(crate) use liveness::WATCH_MS;
pub(crate) use reduce::Effect;
pub(crate) use sentence::{Lamp, Progress, Sentence};
pub(crate) use trial::{Trial, TrialStage, is_right};

use crate::now::{Changed, Now};
use crate::site::{Campaign, Site};
use lichen_bridge::{Audited, CommandId, Contribution, Engine, EnginePreference, Phase, Problem, Reported};
use lichen_net::Peer;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Contributions kept; older ones only count.
const MAX_KEPT: usize = 200;

/// Contributions listed.
const MAX_LISTED: usize = 50;

/// Peers without a direct path that are remembered; that many say enough about a network.
const MAX_UNREACHED: usize = 64;

/// Results kept for the chart; the oldest go first.
const MAX_HISTORY: usize = 4_000;

/// Everything the page shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ViewState {
    /// The campaign's words.
    pub(crate) words: Words,
    /// Where the campaign's relay is, and what helps peer connections.
    pub(crate) site: Rc<Site>,
    /// Which engine the visitor wants.
    pub(crate) preference: EnginePreference,
    /// What the visitor has asked for.
    pub(crate) run: Run,
    /// What the worker says it is doing; none before it has said anything.
    pub(crate) phase: Option<Phase>,
    /// The connection to the relay, as the swarm reports it.
    pub(crate) link: Link,
    /// What keeps the campaign from going on, as the relay says.
    pub(crate) stall: Option<lichen_net::hub::Cause>,
    /// Seconds by which the log's time is ahead of the relay's clock.
    pub(crate) clock_ahead: u64,
    /// Whether the visitor wants no connection to other tabs.
    pub(crate) relay_only: bool,
    /// How many threads of the processor may train.
    pub(crate) threads: Threads,
    /// Whether the swarm was told to meet other tabs, or to keep from them.
    pub(crate) meets: bool,
    /// Other tabs connected to this one.
    pub(crate) peers: Rc<Vec<Peer>>,
    /// Other tabs to which no direct connection could be made, and to which none stands.
    pub(crate) unreached: BTreeSet<Vec<u8>>,
    /// The round under way; none before the first.
    pub(crate) round: Option<Round>,
    /// Settled checkpoints measured on held-out data, oldest first.
    pub(crate) history: Rc<Vec<Evaluation>>,
    /// What contributors reported of the rounds before this visit, oldest first.
    pub(crate) reported: Rc<Vec<Reported>>,
    /// The best accuracy measured during this visit.
    pub(crate) best: Option<f64>,
    /// This tab's latest training loss, and the round that it was trained in.
    pub(crate) own_loss: Option<f64>,
    pub(crate) own_loss_round: u64,
    /// This account's contributions by round.
    pub(crate) contributions: BTreeMap<u64, Contribution>,
    /// The latest of them, latest first, as the list shows them.
    pub(crate) listed: Rc<Vec<Contribution>>,
    /// Contributions that the record holds, listed or not.
    pub(crate) recorded: u64,
    /// How they were checked by others, where they are.
    pub(crate) audited: Option<Audited>,
    /// Settings that the organiser changed, as this tab has read in the record, the latest last.
    pub(crate) changes: Rc<Vec<Changed>>,
    /// Entries of the record that its witnesses have seen, where the campaign names witnesses.
    pub(crate) witnessed: Option<u64>,
    /// What shows that the relay has shown two histories, as text to keep.
    pub(crate) evidence: Option<String>,
    /// The engine in use, how fast it is and why it was chosen.
    pub(crate) engine: Option<Engine>,
    /// Accounts that have joined and not left, as far as the worker lists them.
    pub(crate) members: Vec<String>,
    /// How many there are, this one included.
    pub(crate) member_count: u64,
    /// Whether the worker has told, and would tell if it changed.
    pub(crate) are_members_known: bool,
    /// This browser's account, `did:key:…`.
    pub(crate) account: Option<Account>,
    /// Bytes moved since joining.
    pub(crate) traffic: Traffic,
    /// Bytes of updates and checkpoints got from other tabs directly, and through the relay.
    pub(crate) bytes_direct: u64,
    pub(crate) bytes_relayed: u64,
    /// When Join was clicked, on the page's clock in milliseconds.
    pub(crate) joined_at: Option<f64>,
    /// Milliseconds from the click to the first finished training step.
    pub(crate) first_step_ms: Option<f64>,
    /// A remark about something that did not work, until it is put away.
    pub(crate) notice: Option<Problem>,
    /// Where the campaign is, as the relay said last; none where it did not.
    pub(crate) now: Option<Rc<Now>>,
    /// What is shown of the model.
    pub(crate) trial: Trial,
    /// The check of the whole record.
    pub(crate) check: Check,
    /// Time at work since joining.
    pub(crate) effort: Effort,
    /// Whether the campaign is over, as this tab has seen for itself.
    pub(crate) has_ended: bool,
    /// Whether it is over because the goal is reached.
    pub(crate) has_ended_at_goal: bool,
    /// When the round under way was first heard of, on the page's clock.
    round_began: Option<f64>,
    /// Whether [`ViewState::now`] was read since it was asked for last.
    is_now_fresh: bool,
    /// Whether a worker runs that only shows the model.
    is_looking: bool,
    worker: WorkerStage,
    /// When the worker was heard last, and when that was looked at last, on the page's clock.
    heard_at: f64,
    watched_at: f64,
    asked: BTreeMap<CommandId, Asked>,
    last_id: u32,
}

/// How many threads of the processor train.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Threads {
    /// As many as the visitor wants.
    pub(crate) wanted: u32,
    /// As many as this browser and its processor offer; 1 where the page may not share memory between threads.
    pub(crate) most: u32,
}

impl Default for Threads {
    fn default() -> Self {
        Self { wanted: 1, most: 1 }
    }
}

impl Threads {
    /// What is wanted, as far as it is offered.
    pub(crate) fn new(wanted: u32, most: u32) -> Self {
        Self { wanted: wanted.clamp(1, most.max(1)), most: most.max(1) }
    }
}

/// The campaign's words on their way to the card.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Words {
    /// Being read.
    #[default]
    Reading,
    /// Not to be had.
    Missing(Problem),
    /// As the relay states them, before joining.
    Stated(Rc<Campaign>),
    /// As the worker found them in the manifest that the campaign's id names.
    Verified(Rc<Campaign>),
}

/// What the visitor has asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Run {
    /// Nothing yet.
    #[default]
    Idle,
    /// To take part.
    Joined,
    /// To rest; the connection stays.
    Paused,
    /// To stop; goodbyes may still be on their way.
    Leaving,
    /// To stop; everything is closed.
    Left,
    /// The session ended by itself.
    Failed(Problem),
}

/// The connection to the relay.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Link {
    /// Not wanted.
    #[default]
    Closed,
    /// Being made.
    Connecting,
    /// Made.
    Open {
        /// The relay's address.
        address: String,
        /// Last measured round trip, in milliseconds.
        round_trip: Option<u32>,
    },
    /// Lost.
    Lost {
        /// Why, in words.
        reason: String,
        /// When the next attempt begins, on the page's clock; none when there will be none.
        retry_at: Option<f64>,
    },
}

/// Where a round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Round {
    /// Its number, from 1.
    pub(crate) number: u64,
    /// Members expected to contribute.
    pub(crate) cohort: u32,
    /// Contributions accepted so far.
    pub(crate) contributions: u32,
    /// Whether its result is settled.
    pub(crate) settled: bool,
}

/// A settled checkpoint measured on held-out data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Evaluation {
    /// The round that it settled, 0 for the campaign's first checkpoint.
    pub(crate) round: u64,
    /// Its content id.
    pub(crate) checkpoint: String,
    /// Mean loss.
    pub(crate) loss: f64,
    /// Share of samples labelled right, 0 to 1.
    pub(crate) accuracy: f64,
    /// Samples measured on.
    pub(crate) samples: u32,
}

/// Who this browser is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Account {
    /// `did:key:…`.
    pub(crate) did: String,
    /// Whether the key was made just now.
    pub(crate) new: bool,
}

/// Bytes moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    /// Bytes received.
    pub(crate) received: u64,
    /// Bytes sent.
    pub(crate) sent: u64,
}

/// How far the worker has come; what is posted to it before it listens is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum WorkerStage {
    /// Not there, or not listening yet, or still reading the campaign.
    #[default]
    Loading,
    /// Has read the campaign and does nothing.
    Prepared,
    /// Was told to take part.
    TakingPart,
}

/// A command that awaits its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Start,
    Join,
    Pause,
    Resume,
    Leave,
    RelayOnly,
    Look,
    Read,
}

impl ViewState {
    /// A page on which nothing has happened.
    pub(crate) fn new(preference: EnginePreference) -> Self {
        Self { preference, ..Self::default() }
    }

    /// The campaign, as far as it is known.
    pub(crate) fn campaign(&self) -> Option<&Rc<Campaign>> {
        match &self.words {
            Words::Stated(campaign) | Words::Verified(campaign) => Some(campaign),
            Words::Reading | Words::Missing(_) => None,
        }
    }

    /// Other tabs connected directly.
    pub(crate) fn direct(&self) -> usize {
        self.peers.iter().filter(|peer| peer.path == lichen_net::Path::Direct).count()
    }

    /// Whether this network seems to forbid direct connections: some were tried and none stands.
    pub(crate) fn is_walled_in(&self) -> bool {
        !self.unreached.is_empty() && self.direct() == 0
    }

    /// Accuracy of the last settled checkpoint.
    pub(crate) fn accuracy(&self) -> Option<f64> {
        self.history.last().map(|last| last.accuracy)
    }

    /// The accuracy to be reached, where the campaign names one.
    pub(crate) fn target(&self) -> Option<f64> {
        let stated = self.campaign()?.card.target_accuracy;
        let changed = self.changes().iter().rev().find_map(|changed| changed.settings.target_accuracy);
        changed.or(stated).filter(|target| (0.0..1.0).contains(target))
    }

    /// Settings that the organiser changed, the latest last.
    pub(crate) fn changes(&self) -> &[Changed] {
        match self.changes.is_empty() {
            true => self.present().map_or(&[], |now| &now.changes),
            false => &self.changes,
        }
    }

    /// The last settled checkpoint's id.
    pub(crate) fn checkpoint(&self) -> Option<&str> {
        self.history.last().map(|last| last.checkpoint.as_str())
    }

    /// The round that the last settled checkpoint came out of, 0 before the first.
    pub(crate) fn settled_round(&self) -> u64 {
        self.history.last().map_or(0, |last| last.round)
    }

    /// Whether nothing will be trained any more, as far as is known.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended || self.present().is_some_and(|now| now.finished)
    }

    /// Whether that is because the goal is reached.
    pub(crate) fn ended_at_goal(&self) -> bool {
        self.has_ended_at_goal || self.present().is_some_and(|now| now.goal_reached)
    }

    /// Whether the relay has said where the campaign is, or has not been able to.
    pub(crate) fn is_now_told(&self) -> bool {
        self.is_now_fresh
    }

    /// Where the campaign is, as the relay said last.
    pub(crate) fn present(&self) -> Option<&Now> {
        let campaign = self.campaign()?;
        self.now.as_deref().filter(|now| now.campaign == campaign.id)
    }

    /// Whether the aim is reached.
    pub(crate) fn has_reached_goal(&self) -> bool {
        self.accuracy().zip(self.target()).is_some_and(|(accuracy, target)| accuracy >= target)
    }

    /// When the next round may begin, on the page's clock; none where that is not known.
    pub(crate) fn next_round_at(&self) -> Option<f64> {
        let interval = self.campaign()?.cost?.interval_ms;
        Some(self.round_began? + interval as f64)
    }

    /// Members besides this account.
    pub(crate) fn others(&self) -> u64 {
        let own = self.account.as_ref().map(|account| &account.did);
        let counted = own.is_some_and(|own| self.members.contains(own));
        self.member_count.saturating_sub(u64::from(counted))
    }
}
