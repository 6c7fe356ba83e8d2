//! What a participant does next, given the log and what the person wants.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use lichen_campaign::{Settlement, training_seed};
use lichen_record::{Cid, Entry, RoundNumber};

use super::{
    AttestationStep, AttestationWork, Checkpoint, Contribution, ContributionStep, Intent, Participant,
    ParticipantAction, Submission, Ticket, Trained,
};
use crate::attempt::Attempt;
use crate::repetition::{Due as AuditDue, Work as AuditWork};
use crate::round::MAX_REPORTS;
use crate::{Member, Outcome, Presence, Round, Stage};

/// Deciding what to do.
impl Participant {
    /// Ends work that the log or the person has made pointless.
    pub(super) fn drop_stale_work(&mut self, actions: &mut Vec<ParticipantAction>) {
        if let Some(Contribution { round, base, learning_rate, step }) = self.contribution
            && !(self.is_to_train_for(round, base) && self.state.learning_rate(round) == learning_rate)
        {
            self.contribution = None;
            if matches!(step, ContributionStep::Train(attempt) if attempt.is_running()) {
                actions.push(ParticipantAction::StopTraining { round });
            }
        }
        if self.attestation.as_ref().is_some_and(|work| self.is_stale(work)) {
            self.attestation = None;
        }
        let is_owed = |work: &AuditWork| self.intent == Intent::In && work.is_due(&self.state, &self.account);
        if !self.audit.as_ref().is_some_and(is_owed) {
            if AuditWork::is_running(self.audit.as_ref()) {
                actions.push(ParticipantAction::StopRepeating);
            }
            self.audit = None;
        }
    }

    fn is_stale(&self, work: &AttestationWork) -> bool {
        let Some(round) = self.state.round().filter(|current| current.number() == work.round) else {
            return true;
        };
        let is_done =
            round.has_attested(&self.account) || self.intent != Intent::In || self.state.is_retired();
        // Contributors settle for good: a word after that adds nothing, and the checkpoint is fetched.
        let is_late = self.contributors_settle()
            && matches!(round.stage(), Stage::Settled { .. })
            && matches!(work.step, AttestationStep::Aggregate(_));
        is_done || is_late || work.excluded != round.excluded() || !self.has_voice_in(round)
    }

    /// Whether the account's attestation may stand: where contributors settle, only that of one who counts, and where a
    /// committee is drawn, only a member's.
    fn has_voice_in(&self, round: &Round) -> bool {
        let is_barred = self.member().is_some_and(|member| member.is_barred(round.number()));
        !is_barred
            && round.is_drawn(&self.account)
            && (!self.contributors_settle() || round.counts(&self.account))
    }

    fn contributors_settle(&self) -> bool {
        self.state.rules().settlement == Settlement::Contributors
    }

    fn member(&self) -> Option<&Member> {
        self.state.member(&self.account)
    }

    /// Whether the round lacks the own contribution, begins with this checkpoint, and is open or the next to open.
    fn is_to_train_for(&self, round: RoundNumber, base: Cid) -> bool {
        self.intent == Intent::In
            && self.trainable() == Some((round, base))
            && !self.member().is_some_and(|member| member.is_shut_out(round))
            && self.state.open_round().map_or(self.state.all_have_turns(), |open| {
                open.has_turn(&self.account) && !open.has_contributed(&self.account)
            })
    }

    /// The round that is open, or the next one as soon as the last is settled, and its base.
    ///
    /// Round, base and shard of the next round are known before it opens: who comes between two rounds need not wait.
    fn trainable(&self) -> Option<(RoundNumber, Cid)> {
        if self.state.is_retired() || self.state.is_on_hold() {
            return None;
        }
        match self.state.round().map(|round| (round, round.stage())) {
            Some((round, Stage::Open)) => Some((round.number(), round.base())),
            Some((_, Stage::Closed { .. })) => None,
            Some((_, Stage::Settled { .. })) | None if self.state.is_finished() => None,
            Some((_, Stage::Settled { .. })) | None => {
                Some((RoundNumber(self.state.settled()).next(), self.state.checkpoint()?))
            }
        }
    }

    /// Brings what the log says about the own membership in line with what the person wants.
    pub(super) fn pursue_membership(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
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
        self.state.coordinator().filter(|_somebody| !self.state.is_retired())?;
        let member = self.member();
        let sequence = member.map_or(Some(1), |member| member.sequence().checked_add(1))?;
        let presence = member.map_or(Presence::Absent, |member| member.presence());
        match (self.intent, presence) {
            (Intent::In, Presence::Expected | Presence::Newcomer)
            | (Intent::Out | Intent::Paused, Presence::Absent) => None,
            (Intent::In, _) if self.state.is_finished() => None,
            // Contributing late brings the expectation back without a further entry.
            (Intent::In, Presence::Missed | Presence::Returned)
                if self.state.open_round().is_some_and(|open| open.has_turn(&self.account)) =>
            {
                None
            }
            // Where a round needs to know who is there, it is said.
            (Intent::In, Presence::Missed) if self.state.rules().extensions.is_some() => {
                let is_shut_out = member.is_some_and(|member| member.is_shut_out(self.state.current_round()));
                (!is_shut_out).then_some(Entry::Joined { campaign, sequence })
            }
            // A further entry would change nothing; contributing does.
            (Intent::In, Presence::Missed | Presence::Returned)
                if !member.is_some_and(|member| member.has_chance(self.state.current_round())) =>
            {
                None
            }
            (Intent::In, Presence::Absent | Presence::Missed | Presence::Returned) => {
                Some(Entry::Joined { campaign, sequence })
            }
            (Intent::Out | Intent::Paused, _) => Some(Entry::Left { campaign, sequence }),
        }
    }

    pub(super) fn pursue_contribution(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        let Some((number, base)) = self.trainable() else { return };
        if !self.is_to_train_for(number, base) {
            return;
        }
        let is_open = self.state.open_round().is_some();
        let learning_rate = self.state.learning_rate(number);
        let contribution = self.contribution.unwrap_or(Contribution {
            round: number,
            base,
            learning_rate,
            step: ContributionStep::Train(Attempt::new()),
        });
        let step = match contribution.step {
            ContributionStep::Train(mut attempt) => {
                self.train(now, &mut attempt, number, base, actions);
                ContributionStep::Train(attempt)
            }
            ContributionStep::Publish { trained, mut attempt } => {
                if is_open && attempt.start(now) {
                    actions.push(ParticipantAction::Publish { round: number, base });
                }
                ContributionStep::Publish { trained, attempt }
            }
            ContributionStep::Submit { trained, update, mut submission } => {
                // Training may run ahead of the log's saying that the account joined; the contribution may not.
                if self.state.is_present(&self.account) {
                    let entry = self.contribution_entry(number, base, update, trained);
                    self.submit(now, &mut submission, entry, actions);
                }
                ContributionStep::Submit { trained, update, submission }
            }
        };
        self.contribution = Some(Contribution { round: number, base, learning_rate, step });
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
            learning_rate: self.state.learning_rate(round),
        });
    }

    fn contribution_entry(&self, round: RoundNumber, base: Cid, update: Cid, trained: Trained) -> Entry {
        Entry::Contribution {
            campaign: self.state.campaign(),
            round,
            base,
            update,
            samples: self.state.rules().samples,
            metrics: trained.metrics,
            engine: Some(trained.engine),
            trace: trained.trace,
        }
    }

    pub(super) fn pursue_attestation(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        let is_over = self.state.is_retired();
        if is_over || self.intent != Intent::In || !self.state.is_present(&self.account) {
            return;
        }
        let Some(round) = self.state.round() else { return };
        let (campaign, number, base) = (self.state.campaign(), round.number(), round.base());
        let excluded = round.excluded();
        let mut work = match self.attestation.take() {
            Some(work) => work,
            None if self.is_to_attest(round) => AttestationWork {
                round: number,
                excluded,
                step: AttestationStep::Aggregate(Attempt::new()),
                missing: BTreeMap::new(),
            },
            None => return,
        };
        // More reports than one account may have would be refused.
        let reportable = MAX_REPORTS.saturating_sub(round.reports.by(&self.account));
        work.missing.retain(|update, _submission| !round.has_reported(&self.account, update));
        match &mut work.step {
            AttestationStep::Aggregate(attempt) => {
                if attempt.start(now) {
                    let (inputs, state) = (round.inputs(), round.outer_state());
                    actions.push(ParticipantAction::Aggregate {
                        round: number,
                        base,
                        state,
                        inputs,
                        excluded,
                    });
                }
            }
            AttestationStep::Submit { outcome: Outcome { result, state }, difference, submission } => {
                let (result, state, difference) = (*result, *state, *difference);
                let entry =
                    Entry::Attestation { campaign, round: number, base, result, excluded, state, difference };
                self.submit(now, submission, entry, actions);
            }
        }
        for (update, submission) in work.missing.iter_mut().take(reportable) {
            let entry = Entry::Unavailable { campaign, round: number, update: *update };
            self.submit(now, submission, entry, actions);
        }
        self.attestation = Some(work);
    }

    /// A round that settled before the work began needs no further attestation.
    fn is_to_attest(&self, round: &Round) -> bool {
        matches!(round.stage(), Stage::Closed { .. })
            && !round.has_attested(&self.account)
            && self.has_voice_in(round)
    }

    /// Repeats the trainings that this account was drawn for, one after the other.
    pub(super) fn pursue_audit(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
        if self.intent != Intent::In {
            return;
        }
        match AuditWork::due(&mut self.audit, now, &self.state, &self.account) {
            AuditDue::Repeat(repetition) => actions.push(ParticipantAction::Repeat(repetition)),
            AuditDue::Say(entry) => {
                let mut submission = self.audit_submission;
                self.submit(now, &mut submission, entry, actions);
                self.audit_submission = submission;
            }
            AuditDue::Wait(_time) => {}
        }
    }

    pub(super) fn pursue_evaluation(&mut self, now: u64, actions: &mut Vec<ParticipantAction>) {
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
            let difference = self.state.difference().filter(|_of| self.state.checkpoint() == Some(cid));
            actions.push(ParticipantAction::Fetch { cid, difference });
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
