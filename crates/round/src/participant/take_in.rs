//! How each event changes a participant.

use alloc::vec::Vec;

use lichen_campaign::Settlement;
use lichen_record::{Cid, Entry, RoundNumber, Verified};

use super::{
    AttestationStep, AttestationWork, Contribution, ContributionStep, Intent, Link, Participant,
    ParticipantAction, ParticipantEvent, Submission, Ticket, Trained,
};
use crate::Outcome;
use crate::attempt::Attempt;
use crate::repetition::Work as AuditWork;

/// How long a submitted entry may go without an answer before it is submitted again, in milliseconds.
const SUBMIT_TIMEOUT_MS: u64 = 10_000;

/// Taking in what happened.
impl Participant {
    pub(super) fn take_in(
        &mut self,
        now: u64,
        event: ParticipantEvent,
        actions: &mut Vec<ParticipantAction>,
    ) {
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
            ParticipantEvent::Trained { round, metrics, engine, trace } => {
                self.take_in_trained(round, Trained { metrics, engine, trace });
            }
            ParticipantEvent::TrainFailed { round } => self.take_in_train_failed(now, round),
            ParticipantEvent::Stored { round, update } => self.take_in_stored(round, update),
            ParticipantEvent::StoreFailed { round } => {
                if let Some(ContributionStep::Publish { attempt, .. }) = self.contribution_to(round) {
                    attempt.fail(now);
                }
            }
            ParticipantEvent::Aggregated { round, excluded, outcome, difference } => {
                self.take_in_aggregated(round, excluded, outcome, difference);
            }
            ParticipantEvent::AggregateFailed { round, excluded, missing } => {
                self.take_in_aggregate_failed(now, round, excluded, &missing);
            }
            ParticipantEvent::Repeated { round, contributor, found, evidence } => {
                let found = Some((found, evidence));
                AuditWork::repeated(&mut self.audit, now, (round, contributor), found);
                self.audit_submission = Submission::new();
            }
            ParticipantEvent::RepeatFailed { round, contributor } => {
                AuditWork::repeated(&mut self.audit, now, (round, contributor), None);
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

    fn take_in_trained(&mut self, round: RoundNumber, trained: Trained) {
        if let Some(step) = self.contribution_to(round)
            && matches!(step, ContributionStep::Train(attempt) if attempt.is_running())
        {
            *step = ContributionStep::Publish { trained, attempt: Attempt::new() };
        }
    }

    fn take_in_train_failed(&mut self, now: u64, round: RoundNumber) {
        if let Some(ContributionStep::Train(attempt)) = self.contribution_to(round)
            && attempt.is_running()
        {
            attempt.fail(now);
            // The device may have lost the checkpoint: it is asked for again before the next training.
            self.checkpoint = None;
            self.aggregated = None;
        }
    }

    fn take_in_stored(&mut self, round: RoundNumber, update: Cid) {
        if let Some(step) = self.contribution_to(round)
            && let ContributionStep::Publish { trained, .. } = *step
        {
            *step = ContributionStep::Submit { trained, update, submission: Submission::new() };
        }
    }

    fn take_in_aggregated(
        &mut self,
        round: RoundNumber,
        excluded: u32,
        outcome: Outcome,
        difference: Option<Cid>,
    ) {
        if let Some(work) = self.attestation_of(round, excluded)
            && matches!(work.step, AttestationStep::Aggregate(_))
        {
            work.step = AttestationStep::Submit { outcome, difference, submission: Submission::new() };
            work.missing.clear();
        }
        self.aggregated = Some(outcome.result);
    }

    fn take_in_aggregate_failed(&mut self, now: u64, round: RoundNumber, excluded: u32, missing: &[Cid]) {
        let can_report = self.state.rules().settlement == Settlement::Contributors;
        if let Some(work) = self.attestation_of(round, excluded)
            && let AttestationStep::Aggregate(attempt) = &mut work.step
        {
            attempt.fail(now);
            for update in missing.iter().filter(|_update| can_report) {
                work.missing.entry(*update).or_insert(Submission::new());
            }
        }
    }

    fn take_in_refused(&mut self, now: u64, ticket: Ticket) {
        if let Some(submission) = &mut self.membership
            && submission.is_answered_by(ticket)
        {
            submission.attempt.fail(now);
        }
        if let Some(Contribution { step, .. }) = &mut self.contribution
            && let ContributionStep::Submit { trained, mut submission, .. } = *step
            && submission.is_answered_by(ticket)
        {
            // The relay may have lost the update since it took it: hand it over again first.
            submission.attempt.fail(now);
            *step = ContributionStep::Publish { trained, attempt: submission.attempt };
        }
        if self.audit_submission.is_answered_by(ticket) {
            self.audit_submission.attempt.fail(now);
            AuditWork::refused(&mut self.audit);
        }
        for submission in self.attestation.iter_mut().flat_map(AttestationWork::submissions) {
            if submission.is_answered_by(ticket) {
                submission.attempt.fail(now);
            }
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
        if let Some(AttestationWork { step: AttestationStep::Aggregate(attempt), .. }) = &mut self.attestation
        {
            attempt.interrupt();
        }
        let attestations = self.attestation.iter_mut().flat_map(AttestationWork::submissions);
        for submission in attestations.chain([&mut self.audit_submission]) {
            submission.attempt.interrupt();
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
        let attestations = self.attestation.iter_mut().flat_map(AttestationWork::submissions);
        for submission in attestations.chain([&mut self.audit_submission]) {
            submission.attempt.expire(now, SUBMIT_TIMEOUT_MS);
        }
    }

    fn contribution_to(&mut self, round: RoundNumber) -> Option<&mut ContributionStep> {
        self.contribution
            .as_mut()
            .filter(|contribution| contribution.round == round)
            .map(|contribution| &mut contribution.step)
    }

    fn attestation_of(&mut self, round: RoundNumber, excluded: u32) -> Option<&mut AttestationWork> {
        self.attestation.as_mut().filter(|work| work.round == round && work.excluded == excluded)
    }
}

impl AttestationWork {
    /// Entries on their way to the log.
    fn submissions(&mut self) -> impl Iterator<Item = &mut Submission> {
        let own = match &mut self.step {
            AttestationStep::Submit { submission, .. } => Some(submission),
            AttestationStep::Aggregate(_) => None,
        };
        own.into_iter().chain(self.missing.values_mut())
    }
}
