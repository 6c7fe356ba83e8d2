//! What a participant hears and what it asks for.

use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, EngineVersion, Entry, Evidence, Metrics, RoundNumber, Verified};

use crate::{Change, Difference, Input, Outcome, Refusal, Repetition};

/// What happened to a tab that takes part in a campaign.
#[derive(Clone, Debug, PartialEq)]
pub enum ParticipantEvent {
    /// The log's next record arrived and stands in the chain.
    Record {
        /// The record's log time, in milliseconds.
        time: u64,
        /// Its entry.
        entry: Verified<Entry>,
    },
    /// The connection to the relay stands; the log's records follow.
    Connected,
    /// The log is read up to its present end; records come as they are appended from here on.
    CaughtUp,
    /// The connection to the relay is lost, and with it every unanswered request.
    Disconnected,
    /// The person wants to take part.
    Join,
    /// The person wants a pause.
    Pause,
    /// The person's pause is over.
    Resume,
    /// The person wants to take part no longer.
    Leave,
    /// Answer to [`ParticipantAction::Fetch`]: the blob is here, checked against its id.
    Fetched {
        /// The blob.
        cid: Cid,
    },
    /// Answer to [`ParticipantAction::Fetch`]: nobody gave the blob.
    FetchFailed {
        /// The blob.
        cid: Cid,
    },
    /// Answer to [`ParticipantAction::Train`]: all steps are done. The driver keeps the trained parameters.
    Trained {
        /// The round trained for.
        round: RoundNumber,
        /// Loss, accuracy and time of the training.
        metrics: Metrics,
        /// Which engine trained.
        engine: EngineVersion,
        /// The states that it went through (raw), where contributions name them.
        trace: Option<Cid>,
    },
    /// Answer to [`ParticipantAction::Train`]: it could not be done, or ended in numbers that are not finite.
    TrainFailed {
        /// The round trained for.
        round: RoundNumber,
    },
    /// Answer to [`ParticipantAction::Publish`]: the update is kept where aggregators find it.
    Stored {
        /// The round of the update.
        round: RoundNumber,
        /// The update's bytes (raw).
        update: Cid,
    },
    /// Answer to [`ParticipantAction::Publish`]: it could not be handed over.
    StoreFailed {
        /// The round of the update.
        round: RoundNumber,
    },
    /// Answer to [`ParticipantAction::Aggregate`]: the checkpoint is computed and kept here.
    Aggregated {
        /// The round.
        round: RoundNumber,
        /// As in the action.
        excluded: u32,
        /// The checkpoint, and what the outer optimiser carries over with it.
        outcome: Outcome,
        /// Its packed difference from the base, where the campaign's results are told so.
        difference: Option<Cid>,
    },
    /// Answer to [`ParticipantAction::Aggregate`]: an update or the base could not be got.
    AggregateFailed {
        /// The round.
        round: RoundNumber,
        /// As in the action.
        excluded: u32,
        /// Updates that, for a while, nobody gave: neither any peer nor the relay. It matters only where
        /// contributors settle.
        missing: Vec<Cid>,
    },
    /// Answer to [`ParticipantAction::Repeat`]: what came of the training.
    Repeated {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
        /// The contributed update, if it gives all that the contribution names. Otherwise the update that it gives, or its
        /// trace where only that differs. Where somebody accuses the contributor: the contributed update, or what the accuser
        /// found, whichever is right.
        found: Cid,
        /// Where it parted from what the contribution names, if that is known and others find the state before it.
        evidence: Option<Evidence>,
    },
    /// Answer to [`ParticipantAction::Repeat`]: it could not be repeated here and now.
    RepeatFailed {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
    },
    /// Answer to [`ParticipantAction::Submit`]: the entry is in the log, by a receipt that was checked.
    Appended {
        /// The submission.
        ticket: Ticket,
    },
    /// Answer to [`ParticipantAction::Submit`]: it was refused or got lost, whatever the reason. Whether the entry
    /// is in the log shows in the log, and it is submitted again only while it is missing there.
    Refused {
        /// The submission.
        ticket: Ticket,
    },
    /// Nothing happened but time. Send one about every second while the person takes part.
    Tick,
}

/// What a tab that takes part has to do.
#[derive(Clone, Debug, PartialEq)]
pub enum ParticipantAction {
    /// Get a checkpoint, from the own store if it is there, and keep it.
    Fetch {
        /// The checkpoint.
        cid: Cid,
        /// What to get instead, if the base is at hand: it takes less. The whole checkpoint must be got where that gives another.
        difference: Option<Difference>,
    },
    /// Train from a checkpoint that is at hand.
    Train {
        /// The round to train for.
        round: RoundNumber,
        /// The checkpoint to start from.
        base: Cid,
        /// Indices of the samples to train on, in order.
        shard: Vec<u32>,
        /// Optimiser steps to take.
        steps: u32,
        /// Seed for everything random in the training.
        seed: u64,
        /// The optimiser's step size before its schedule.
        learning_rate: f64,
    },
    /// Stop training at once and forget what came of it: there will be no answer to `Train`.
    StopTraining {
        /// The round trained for.
        round: RoundNumber,
    },
    /// Turn what the training of this round gave into an update and hand it to where aggregators find it.
    Publish {
        /// The round trained for.
        round: RoundNumber,
        /// The checkpoint that the training started from.
        base: Cid,
    },
    /// Sign an entry and have it appended to the log.
    Submit {
        /// Names the submission in its answer.
        ticket: Ticket,
        /// What to sign.
        entry: Entry,
    },
    /// Compute a round's result, getting the base and the updates where they are.
    Aggregate {
        /// The round.
        round: RoundNumber,
        /// The checkpoint that the round started from.
        base: Cid,
        /// What the outer optimiser carries over with it.
        state: Option<Cid>,
        /// What is aggregated, in this order.
        inputs: Vec<Input>,
        /// Contributions excluded so far. When that changes, the action comes anew, and this one's answer is worth
        /// nothing.
        excluded: u32,
    },
    /// Repeat somebody's training, getting the checkpoint that it starts from where it is, and pack what came of it as an
    /// update, so that its id can be compared.
    Repeat(Repetition),
    /// Stop repeating the training at once: there will be no answer to `Repeat`.
    StopRepeating,
    /// Measure a checkpoint that is at hand on the held-out samples. Needs no answer.
    Evaluate {
        /// The round that ended with the checkpoint; 0 for the initial one.
        round: RoundNumber,
        /// The checkpoint.
        cid: Cid,
    },
    /// Show what an entry of the log changed. Needs no answer.
    Report(Change),
    /// The log holds an entry that may not stand there: believe nobody who serves it. Nothing else follows.
    Distrust(Refusal),
}

/// Names one submission of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What a tab is at, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// The person has not asked it to take part, or left.
    Idle,
    /// The person wants a pause.
    Paused,
    /// It has no connection to the relay, or reads the log.
    CatchingUp,
    /// It has asked to take part.
    Joining,
    /// It takes part, and waits for a round to open.
    WaitingForRound,
    /// It takes part, and the organiser paused the campaign.
    OnHold,
    /// It gets the checkpoint to start from.
    Fetching {
        /// The round.
        round: RoundNumber,
    },
    /// It trains.
    Training {
        /// The round.
        round: RoundNumber,
    },
    /// It hands over its update.
    Contributing {
        /// The round.
        round: RoundNumber,
    },
    /// Others were drawn to contribute to the open round.
    WaitingForTurn {
        /// The round.
        round: RoundNumber,
        /// How many were drawn.
        drawn: usize,
        /// How many members are there.
        members: usize,
    },
    /// It has contributed, and waits for others: for their contributions, or for the result of those that were drawn.
    WaitingForOthers {
        /// The round.
        round: RoundNumber,
    },
    /// It computes and attests the round's result.
    Aggregating {
        /// The round.
        round: RoundNumber,
    },
    /// The campaign is over.
    Finished,
    /// The log is a false one.
    Distrusting,
}
