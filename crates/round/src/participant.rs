use alloc::vec::Vec;

use lichen_campaign::training_seed;
use lichen_record::{AccountId, Cid, Entry, Metrics, RoundNumber, Verified};

use crate::attempt::Attempt;
use crate::{CampaignState, Change, Presence, Refusal, Round, Stage};

/// How long a submitted entry may go without an answer before it is submitted again, in milliseconds.
const SUBMIT_TIMEOUT_MS: u64 = 10_000;

/// What happened to a tab that takes part in a campaign.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
        /// What the training looked like.
        metrics: Metrics,
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
        /// The checkpoint.
        result: Cid,
    },
    /// Answer to [`ParticipantAction::Aggregate`]: an update or the base could not be got.
    AggregateFailed {
        /// The round.
        round: RoundNumber,
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
#[non_exhaustive]
pub enum ParticipantAction {
    /// Get a blob, from the own store if it is there, and keep it.
    Fetch {
        /// The blob.
        cid: Cid,
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
        /// The accepted updates with their weights, in the order of aggregation.
        accepted: Vec<(u32, Cid)>,
    },
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
    /// It has contributed, and waits for others.
    WaitingForOthers {
        /// The round.
        round: RoundNumber,
    },
    /// It computes and attests the round's result.
    Aggregating {
        /// The round.
        round: RoundNumber,
    },
    /// The campaign has had all its rounds.
    Finished,
    /// The log is a false one.
    Distrusting,
}

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

/// Work on the own contribution to the open round.
#[derive(Clone, Copy, Debug)]
struct Contribution {
    round: RoundNumber,
    step: ContributionStep,
}

#[derive(Clone, Copy, Debug)]
enum ContributionStep {
    Train(Attempt),
    Publish { metrics: Metrics, attempt: Attempt },
    Submit { metrics: Metrics, update: Cid, submission: Submission },
}

/// Work on the own attestation of the closed round.
#[derive(Clone, Copy, Debug)]
struct AttestationWork {
    round: RoundNumber,
    step: AttestationStep,
}

#[derive(Clone, Copy, Debug)]
enum AttestationStep {
    Aggregate(Attempt),
    Submit { result: Cid, submission: Submission },
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
        if let Some(Contribution { round, step }) = self.contribution {
            return match step {
                ContributionStep::Train(attempt) if attempt.is_running() => Activity::Training { round },
                ContributionStep::Train(_) => Activity::Fetching { round },
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
        if !self.state.is_present(&self.account) {
            return Activity::Joining;
        }
        match self.state.round() {
            Some(round) if round.stage() == Stage::Open => {
                Activity::WaitingForOthers { round: round.number() }
            }
            Some(round) if matches!(round.stage(), Stage::Closed { .. }) => {
                Activity::Aggregating { round: round.number() }
            }
            _ => Activity::WaitingForRound,
        }
    }
}

/// Taking in what happened.
impl Participant {
    fn take_in(&mut self, now: u64, event: ParticipantEvent, actions: &mut Vec<ParticipantAction>) {
        match event {
            ParticipantEvent::Record { time, entry } => self.take_in_record(time, &entry, actions),
            ParticipantEvent::Connected => {
                self.interrupt();
                self.link = Link::Reading;
            }
            ParticipantEvent::CaughtUp => self.link = Link::Live,
            ParticipantEvent::Disconnected => {
                self.interrupt();
                self.link = Link::Down;
            }
            ParticipantEvent::Join => self.intent = Intent::In,
            ParticipantEvent::Resume if self.intent == Intent::Paused => self.intent = Intent::In,
            ParticipantEvent::Pause if self.intent == Intent::In => self.intent = Intent::Paused,
            ParticipantEvent::Resume | ParticipantEvent::Pause => {}
            ParticipantEvent::Leave => self.intent = Intent::Out,
            ParticipantEvent::Fetched { cid } => {
                if let Some(checkpoint) = self.checkpoint.as_mut().filter(|checkpoint| checkpoint.cid == cid)
                {
                    checkpoint.is_held = true;
                }
            }
            ParticipantEvent::FetchFailed { cid } => {
                if let Some(checkpoint) = self.checkpoint.as_mut().filter(|checkpoint| checkpoint.cid == cid)
                {
                    checkpoint.fetch.fail(now);
                }
            }
            ParticipantEvent::Trained { round, metrics } => self.take_in_trained(round, metrics),
            ParticipantEvent::TrainFailed { round } => {
                if let Some(ContributionStep::Train(attempt)) = self.contribution_to(round)
                    && attempt.is_running()
                {
                    attempt.fail(now);
                }
            }
            ParticipantEvent::Stored { round, update } => self.take_in_stored(round, update),
            ParticipantEvent::StoreFailed { round } => {
                if let Some(ContributionStep::Publish { attempt, .. }) = self.contribution_to(round) {
                    attempt.fail(now);
                }
            }
            ParticipantEvent::Aggregated { round, result } => self.take_in_aggregated(round, result),
            ParticipantEvent::AggregateFailed { round } => {
                if let Some(AttestationStep::Aggregate(attempt)) = self.attestation_of(round) {
                    attempt.fail(now);
                }
            }
            // The log itself tells; until then the submission counts as under way.
            ParticipantEvent::Appended { .. } => {}
            ParticipantEvent::Refused { ticket } => self.take_in_refused(now, ticket),
            ParticipantEvent::Tick => self.expire_submissions(now),
        }
    }

    fn take_in_record(&mut self, time: u64, entry: &Verified<Entry>, actions: &mut Vec<ParticipantAction>) {
        match self.state.apply(time, entry) {
            Ok(changes) => actions.extend(changes.into_iter().map(ParticipantAction::Report)),
            Err(refusal) => {
                self.intent = Intent::Out;
                self.drop_stale_work(actions);
                self.link = Link::Distrusted;
                actions.push(ParticipantAction::Distrust(refusal));
            }
        }
    }

    fn take_in_trained(&mut self, round: RoundNumber, metrics: Metrics) {
        if let Some(step) = self.contribution_to(round)
            && matches!(step, ContributionStep::Train(attempt) if attempt.is_running())
        {
            *step = ContributionStep::Publish { metrics, attempt: Attempt::new() };
        }
    }

    fn take_in_stored(&mut self, round: RoundNumber, update: Cid) {
        if let Some(step) = self.contribution_to(round)
            && let ContributionStep::Publish { metrics, .. } = *step
        {
            *step = ContributionStep::Submit { metrics, update, submission: Submission::new() };
        }
    }

    fn take_in_aggregated(&mut self, round: RoundNumber, result: Cid) {
        if let Some(step) = self.attestation_of(round)
            && matches!(step, AttestationStep::Aggregate(_))
        {
            *step = AttestationStep::Submit { result, submission: Submission::new() };
        }
        self.aggregated = Some(result);
    }

    fn take_in_refused(&mut self, now: u64, ticket: Ticket) {
        if let Some(submission) = &mut self.membership
            && submission.is_answered_by(ticket)
        {
            submission.attempt.fail(now);
        }
        if let Some(Contribution { step, .. }) = &mut self.contribution
            && let ContributionStep::Submit { metrics, mut submission, .. } = *step
            && submission.is_answered_by(ticket)
        {
            // The relay may have lost the update since it took it: hand it over again first.
            submission.attempt.fail(now);
            *step = ContributionStep::Publish { metrics, attempt: submission.attempt };
        }
        if let Some(AttestationWork { step: AttestationStep::Submit { submission, .. }, .. }) =
            &mut self.attestation
            && submission.is_answered_by(ticket)
        {
            submission.attempt.fail(now);
        }
    }

    /// Every request to the relay is void: it is made again once the log is known.
    fn interrupt(&mut self) {
        self.membership = None;
        if let Some(checkpoint) = &mut self.checkpoint {
            checkpoint.fetch.interrupt();
        }
        match self.contribution.as_mut().map(|contribution| &mut contribution.step) {
            Some(ContributionStep::Publish { attempt, .. }) => attempt.interrupt(),
            Some(ContributionStep::Submit { submission, .. }) => submission.attempt.interrupt(),
            Some(ContributionStep::Train(_)) | None => {}
        }
        match self.attestation.as_mut().map(|attestation| &mut attestation.step) {
            Some(AttestationStep::Aggregate(attempt)) => attempt.interrupt(),
            Some(AttestationStep::Submit { submission, .. }) => submission.attempt.interrupt(),
            None => {}
        }
    }

    fn expire_submissions(&mut self, now: u64) {
        if let Some(submission) = &mut self.membership {
            submission.attempt.expire(now, SUBMIT_TIMEOUT_MS);
        }
        if let Some(Contribution { step: ContributionStep::Submit { submission, .. }, .. }) =
            &mut self.contribution
        {
            submission.attempt.expire(now, SUBMIT_TIMEOUT_MS);
        }
        if let Some(AttestationWork { step: AttestationStep::Submit { submission, .. }, .. }) =
            &mut self.attestation
        {
            submission.attempt.expire(now, SUBMIT_TIMEOUT_MS);
        }
    }

    fn contribution_to(&mut self, round: RoundNumber) -> Option<&mut ContributionStep> {
        self.contribution
            .as_mut()
            .filter(|contribution| contribution.round == round)
            .map(|contribution| &mut contribution.step)
    }

    fn attestation_of(&mut self, round: RoundNumber) -> Option<&mut AttestationStep> {
        self.attestation
            .as_mut()
            .filter(|attestation| attestation.round == round)
            .map(|attestation| &mut attestation.step)
    }
}

/// Deciding what to do.
impl Participant {
    /// Ends work that the log or the person has made pointless.
    fn drop_stale_work(&mut self, actions: &mut Vec<ParticipantAction>) {
        if let Some(Contribution { round, step }) = self.contribution
            && !self.may_contribute_to(round)
        {
            self.contribution = None;
            if matches!(step, ContributionStep::Train(attempt) if attempt.is_running()) {
                actions.push(ParticipantAction::StopTraining { round });
            }
        }
        if let Some(AttestationWork { round, .. }) = self.attestation {
            let current = self.state.round().filter(|current| current.number() == round);
            let is_done = current.is_none_or(|current| current.has_attested(&self.account));
            if is_done || self.intent != Intent::In {
                self.attestation = None;
            }
        }
    }

    /// Whether the round is open and lacks the own contribution.
    fn may_contribute_to(&self, round: RoundNumber) -> bool {
        self.intent == Intent::In
            && self
                .state
                .open_round()
                .is_some_and(|open| open.number() == round && !open.has_contributed(&self.account))
    }

    /// Brings what the log says about the own membership in line with what the person wants.
    fn pursue_membership(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        let Some(entry) = self.membership_due() else {
            self.membership = None;
            return;
        };
        let mut submission = self.membership.unwrap_or(Submission::new());
        self.submit(now, &mut submission, entry, actions);
        self.membership = Some(submission);
    }

    fn membership_due(&self) -> Option<Entry> {
        let campaign = self.state.campaign();
        self.state.coordinator()?;
        let member = self.state.member(&self.account);
        let sequence = member.map_or(Some(1), |member| member.sequence().checked_add(1))?;
        let presence = member.map_or(Presence::Absent, |member| member.presence());
        match (self.intent, presence) {
            (Intent::In, Presence::Expected) | (Intent::Out | Intent::Paused, Presence::Absent) => None,
            (Intent::In, _) if self.state.is_finished() => None,
            // Contributing late brings the expectation back without a further entry.
            (Intent::In, Presence::Missed) if self.state.open_round().is_some() => None,
            (Intent::In, Presence::Absent | Presence::Missed) => Some(Entry::Joined { campaign, sequence }),
            (Intent::Out | Intent::Paused, _) => Some(Entry::Left { campaign, sequence }),
        }
    }

    fn pursue_contribution(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        let Some((number, base)) = self.state.open_round().map(|round| (round.number(), round.base())) else {
            return;
        };
        if !self.may_contribute_to(number) {
            return;
        }
        let contribution = self
            .contribution
            .unwrap_or(Contribution { round: number, step: ContributionStep::Train(Attempt::new()) });
        let step = match contribution.step {
            ContributionStep::Train(mut attempt) => {
                self.train(now, &mut attempt, number, base, actions);
                ContributionStep::Train(attempt)
            }
            ContributionStep::Publish { metrics, mut attempt } => {
                if attempt.start(now) {
                    actions.push(ParticipantAction::Publish { round: number, base });
                }
                ContributionStep::Publish { metrics, attempt }
            }
            ContributionStep::Submit { metrics, update, mut submission } => {
                // Training may run ahead of the log's saying that the account joined; the contribution may not.
                if self.state.is_present(&self.account) {
                    let entry = self.contribution_entry(number, base, update, metrics);
                    self.submit(now, &mut submission, entry, actions);
                }
                ContributionStep::Submit { metrics, update, submission }
            }
        };
        self.contribution = Some(Contribution { round: number, step });
    }

    fn train(
        &mut self,
        now: u64,
        attempt: &mut Attempt,
        round: RoundNumber,
        base: Cid,
        actions: &mut Vec<ParticipantAction>,
    ) {
        if attempt.is_running() || !self.hold(now, base, actions) || !attempt.start(now) {
            return;
        }
        let rules = self.state.rules();
        actions.push(ParticipantAction::Train {
            round,
            base,
            shard: rules.split.shard(rules.seed, round, &self.account),
            steps: rules.steps,
            seed: training_seed(rules.seed, round, &self.account),
        });
    }

    fn contribution_entry(&self, round: RoundNumber, base: Cid, update: Cid, metrics: Metrics) -> Entry {
        Entry::Contribution {
            campaign: self.state.campaign(),
            round,
            base,
            update,
            samples: self.state.rules().split.shard_len(),
            metrics,
        }
    }

    fn pursue_attestation(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        if self.intent != Intent::In || !self.state.is_present(&self.account) {
            return;
        }
        let Some(round) = self.state.round() else { return };
        let (number, base) = (round.number(), round.base());
        let attestation = match self.attestation {
            Some(attestation) => attestation,
            None if self.is_to_attest(round) => {
                AttestationWork { round: number, step: AttestationStep::Aggregate(Attempt::new()) }
            }
            None => return,
        };
        let step = match attestation.step {
            AttestationStep::Aggregate(mut attempt) => {
                if attempt.start(now) {
                    let accepted = round.accepted();
                    actions.push(ParticipantAction::Aggregate { round: number, base, accepted });
                }
                AttestationStep::Aggregate(attempt)
            }
            AttestationStep::Submit { result, mut submission } => {
                let campaign = self.state.campaign();
                let entry = Entry::Checkpointed { campaign, round: number, base, result };
                self.submit(now, &mut submission, entry, actions);
                AttestationStep::Submit { result, submission }
            }
        };
        self.attestation = Some(AttestationWork { round: number, step });
    }

    /// A round that settled before the work began needs no further attestation.
    fn is_to_attest(&self, round: &Round) -> bool {
        matches!(round.stage(), Stage::Closed { .. }) && !round.has_attested(&self.account)
    }

    fn pursue_evaluation(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        let Some(cid) = self.state.checkpoint() else { return };
        if self.intent != Intent::In || self.evaluated == Some(cid) || !self.hold(now, cid, actions) {
            return;
        }
        self.evaluated = Some(cid);
        let round = RoundNumber(self.state.settled());
        actions.push(ParticipantAction::Evaluate { round, cid });
    }

    /// Whether the checkpoint is at hand; has it fetched if not.
    fn hold(&mut self, now: u64, cid: Cid, actions: &mut Vec<ParticipantAction>) -> bool {
        let checkpoint = match &mut self.checkpoint {
            Some(checkpoint) if checkpoint.cid == cid => checkpoint,
            other => {
                // A checkpoint computed here need not be fetched.
                let is_held = self.aggregated == Some(cid);
                other.insert(Checkpoint { cid, fetch: Attempt::new(), is_held })
            }
        };
        if !checkpoint.is_held && checkpoint.fetch.start(now) {
            actions.push(ParticipantAction::Fetch { cid });
        }
        checkpoint.is_held
    }

    fn submit(
        &mut self,
        now: u64,
        submission: &mut Submission,
        entry: Entry,
        actions: &mut Vec<ParticipantAction>,
    ) {
        if submission.attempt.start(now) {
            self.tickets += 1;
            submission.ticket = Ticket(self.tickets);
            actions.push(ParticipantAction::Submit { ticket: submission.ticket, entry });
        }
    }
}
