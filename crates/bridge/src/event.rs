//! What the worker tells the page.

use lichen_campaign::Card;
use lichen_record::{CampaignId, Cid, EngineKind, Settings};
use serde::{Deserialize, Serialize};

use crate::CommandId;

/// What the worker tells the page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Event {
    /// The worker listens; always the first event.
    Ready {
        /// The worker's [`VERSION`](crate::VERSION).
        version: u32,
    },
    /// The answer to one command; exactly one for each id.
    Answered {
        /// The command answered.
        id: CommandId,
        /// How it went.
        outcome: Outcome,
    },
    /// Who this device is.
    Identity {
        /// The account, as `did:key:…`; text, so that the page need not carry the curve's arithmetic.
        account: String,
        /// Whether the key was here already.
        origin: IdentityOrigin,
    },
    /// What the campaign is about, from its verified manifest.
    Campaign(Campaign),
    /// What the worker is doing; sent whenever it changes, and for progress.
    Status(Phase),
    /// Which engine runs and how fast; sent once chosen, and again when it changes or is measured anew.
    Engine(Engine),
    /// Where the current round stands; sent whenever the log changes it.
    Round {
        /// The round's number, from 1.
        number: u64,
        /// The checkpoint it builds on.
        base: Cid,
        /// Members expected to contribute.
        cohort: u32,
        /// Contributions accepted so far.
        contributions: u32,
        /// Whether it has closed.
        closed: bool,
        /// Whether its result is settled.
        settled: bool,
    },
    /// Training losses of this device, oldest first; each point is sent once.
    Loss {
        /// The round trained in.
        round: u64,
        /// At least one point.
        points: Vec<LossPoint>,
    },
    /// A settled checkpoint measured on held-out data.
    Evaluated {
        /// The round that the checkpoint settled; none for the campaign's first checkpoint.
        round: Option<u64>,
        /// The checkpoint.
        checkpoint: Cid,
        /// Mean loss.
        loss: f64,
        /// Share of held-out samples labelled right, 0 to 1.
        accuracy: f64,
        /// Held-out samples measured on.
        samples: u32,
    },
    /// What contributors reported of rounds that settled before this tab came, oldest first; told once, where there are any.
    Reported(Vec<Reported>),
    /// What a checkpoint says of some held-out samples, the same ones each time; where the manifest says how to show them.
    Guesses(Guesses),
    /// What the model that is shown says of a drawing.
    Read {
        /// The command that asked.
        id: CommandId,
        /// The probability of each class.
        probabilities: Vec<f32>,
    },
    /// The organiser went back: a round began with an earlier checkpoint than the last one.
    WentBack {
        /// The round that began so.
        round: u64,
        /// The round that settled with that checkpoint; 0 for the campaign's first.
        to: u64,
    },
    /// A round changed nothing, since the model would have been far worse with its updates: everybody goes on from the
    /// checkpoint before it.
    SetAside {
        /// The round.
        round: u64,
        /// Accuracy that the model would have had, 0 to 1; none where this tab has not measured it.
        would_be: Option<f64>,
        /// Accuracy that it has.
        stays: Option<f64>,
    },
    /// One of this account's contributions, new or changed; the round names it.
    Contribution(Contribution),
    /// How this account's contributions were checked by others; told when it changes, where the campaign has them checked.
    Audited(Audited),
    /// The organiser changed settings: they hold from this round on. Told once for each of the last changes, in their order.
    SettingsChanged {
        /// The round.
        round: u64,
        /// When it was opened, in milliseconds of Unix time.
        time: u64,
        /// What changed.
        settings: Settings,
    },
    /// Who takes part at the moment.
    Members {
        /// Accounts that have joined and not left, as `did:key:…`, at most 100 of them.
        accounts: Vec<String>,
        /// How many there are.
        count: u32,
    },
    /// Bytes of updates and checkpoints got since joining, by the way they took; told when they change, at most once a
    /// second.
    Transfers {
        /// From peers, directly.
        direct: u64,
        /// Through the relay.
        relayed: u64,
        /// Peers dropped because what they sent was wrong.
        banned: u32,
    },
    /// How the relay says that it is doing; told when it changes, and at its default once the connection is lost.
    Relay {
        /// Seconds by which the log's time is ahead of the relay's clock.
        clock_ahead: u64,
        /// What keeps the campaign from going on, if anything does.
        stall: Option<lichen_net::hub::Cause>,
    },
    /// How much of the record this campaign's witnesses have seen, as this tab has it; told when it changes, where the campaign
    /// names witnesses.
    Witnessed {
        /// Records from the first on.
        records: u64,
    },
    /// How far the check of a campaign's whole record is: from the worker that does only that.
    Checking(Checking),
    /// What that check came to; its last event.
    Checked(Checked),
    /// The relay has shown two histories: both signed heads, as text to keep.
    Evidence(String),
    /// Something for the swarm to carry out.
    Net(lichen_net::Command),
    /// Something was dealt with that the person should know of; nothing stops for it.
    Remark(Problem),
    /// The worker goes on; about once a second from joining on, so that a worker that hangs shows.
    Alive,
}

/// How a command went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Outcome {
    /// It is carried out, or under way and reported by [`Event::Status`].
    Done,
    /// It is not carried out, and nothing has changed.
    Refused(Problem),
}

/// What went wrong and what the person in front of the page can do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// What happened, one plain sentence.
    pub message: String,
    /// What to do, one plain sentence.
    pub remedy: String,
}

/// Where the account key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityOrigin {
    /// It was stored on this device.
    Restored,
    /// It has just been made and stored.
    Created,
}

/// What a visitor reads before saying yes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The manifest's content id.
    pub id: CampaignId,
    /// What it says of itself.
    pub card: Card,
}

/// How an account's contributions were checked, and what that means for their weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audited {
    /// Its trainings that others repeated, with the same result.
    pub confirmed: u32,
    /// How many of them make its contributions count in full.
    pub earn: u32,
    /// Whether one gave something else, so that nothing of it is accepted any more.
    pub expelled: bool,
}

/// What contributors reported of one round: of each number the middle one. Each measured on what it had trained on
/// itself, and nobody has checked it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reported {
    /// The round.
    pub round: u64,
    /// Mean loss at the end of the training.
    pub loss: f64,
    /// Share of samples labelled right, 0 to 1.
    pub accuracy: f64,
}

/// How far a check is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checking {
    /// What is being checked, in words.
    pub what: String,
    /// How much of it is done; of 0 in all there is no telling.
    pub done: u32,
    /// How much there is.
    pub total: u32,
}

/// What a check came to, in words for the person, written by whoever checked: the page only shows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checked {
    /// Whether nothing is wrong.
    pub right: bool,
    /// A sentence that says it all.
    pub verdict: String,
    /// What else there is to say, one sentence or more each.
    pub details: Vec<String>,
}

/// What a checkpoint says of some held-out samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guesses {
    /// The round that the checkpoint settled; none for the campaign's first checkpoint.
    pub round: Option<u64>,
    /// The checkpoint.
    pub checkpoint: Cid,
    /// Held-out samples that it gets right, of all that were looked at; none where that was measured anyway
    /// ([`Event::Evaluated`]).
    pub right: Option<(u32, u32)>,
    /// The samples, at most 24.
    pub samples: Vec<Guess>,
}

/// What a model says of one sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guess {
    /// The sample's place in the data.
    pub index: u32,
    /// The class that it is of.
    pub label: u32,
    /// The class that the model takes it for.
    pub guess: u32,
    /// How probable the model finds that, 0 to 1.
    pub probability: f32,
    /// The ink of each cell, row by row: 0 none, 255 full.
    pub cells: Vec<u8>,
}

/// What the worker is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Phase {
    /// Nothing: before Join and after Leave.
    Idle,
    /// Another tab of this device takes part in this campaign; this one takes over when that one closes.
    WaitingForOtherTab,
    /// The relay is being reached.
    Connecting,
    /// The log, the data or the model is being fetched and checked.
    CatchingUp {
        /// How much is done, in records of the log.
        done: u64,
        /// Of how much.
        total: u64,
    },
    /// Ready; no round wants this tab at the moment.
    WaitingForRound,
    /// Others were drawn by lot to train in the open round.
    WaitingForTurn {
        /// The round.
        round: u64,
        /// How many were drawn.
        drawn: u32,
        /// How many take part.
        members: u32,
    },
    /// Training.
    Training {
        /// The round trained in.
        round: u64,
        /// Local steps done.
        step: u32,
        /// Local steps in the round.
        steps: u32,
    },
    /// The update is on its way to the relay.
    Sending,
    /// The update is in the log; others still train.
    WaitingForClose,
    /// The round's updates are fetched and combined.
    Aggregating,
    /// Paused by the visitor.
    Paused,
    /// The organiser paused the campaign; training goes on by itself when they resume it.
    OnHold,
    /// The relay cannot be reached.
    Offline {
        /// Milliseconds until the next attempt; none where no attempt is planned.
        retry_in: Option<u32>,
    },
    /// The campaign is over: its last round is settled.
    Finished,
    /// The campaign is over, as its organiser retired it.
    Retired,
    /// The campaign is over, as its goal is reached.
    GoalReached,
    /// The worker cannot go on by itself.
    Failed(Problem),
    /// Nothing has moved for much longer than it should take; the worker goes on by itself once that is over.
    Stalled(Problem),
}

/// Which engine runs and how fast.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    /// The engine that trains.
    pub kind: EngineKind,
    /// Milliseconds per step on the CPU; none where not measured.
    pub cpu_ms: Option<f64>,
    /// Milliseconds per step on the GPU; none where not measured or not there.
    pub gpu_ms: Option<f64>,
    /// Threads that share the CPU's work; 1 unless more were asked for and could be had.
    pub threads: u32,
    /// Training samples per second in the last round trained; none before.
    pub samples_per_second: Option<f64>,
    /// Why this engine, one plain sentence.
    pub why: String,
}

/// The training loss after one local step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossPoint {
    /// The step, from 1.
    pub step: u32,
    /// The batch's mean loss.
    pub loss: f64,
}

/// What this account gave in one round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contribution {
    /// The round.
    pub round: u64,
    /// The update's content id.
    pub update: Cid,
    /// Training samples in the shard.
    pub samples: u32,
    /// Where it is on its way into the record.
    pub state: ContributionState,
}

/// Where a contribution is on its way into the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ContributionState {
    /// Handed to the relay; no answer yet.
    Sent,
    /// The relay's signed receipt is here and agrees with this tab's own copy of the log.
    Recorded {
        /// The entry's place in the log.
        index: u64,
    },
    /// The relay's receipt contradicts this tab's copy of the log: the relay is at fault.
    Disputed {
        /// What does not agree.
        reason: String,
    },
    /// Not accepted.
    Refused {
        /// Why.
        reason: String,
    },
}
