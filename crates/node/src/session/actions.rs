//! Carries out what the round protocol asks of this tab.

use std::rc::Rc;

use lichen_bridge::{Contribution, ContributionState, Event};
use lichen_record::{AccountId, Cid, Evidence, RoundNumber};
use lichen_round::{Activity, Change, Outcome, ParticipantAction, ParticipantEvent, Round};

use super::link::false_log;
use super::stall::{moved_on, skipped, stopped_diverging};
use super::{Diverged, Session};
use crate::Platform;
use crate::context::{Failure, TrainingTicket};
use crate::jobs;
use crate::settling::{self, Combined};
use crate::training::{Assignment, Trained};

/// Rounds in a row whose training may diverge before this tab stops.
const MOST_DIVERGED: u32 = 3;

/// Carries out the round machine's actions and reports their outcomes.
impl<P: Platform> Session<P> {
    pub(crate) fn carry_out(&mut self, action: ParticipantAction) {
        let context = Rc::clone(&self.context);
        match action {
            ParticipantAction::Fetch { cid, difference } => {
                self.link_work.push(Box::pin(jobs::fetch(context, cid, difference)));
            }
            ParticipantAction::Train { round, base, shard, steps, seed, learning_rate } => {
                self.train(Assignment { round, base, shard, steps, seed, learning_rate });
            }
            ParticipantAction::StopTraining { .. } => {
                self.context.next_training();
            }
            ParticipantAction::Publish { round, .. } => self.publish(round),
            ParticipantAction::Submit { ticket, entry } => {
                self.link_work.push(Box::pin(jobs::sign_entry(context, ticket, entry)));
            }
            ParticipantAction::Aggregate { round, base, state, inputs, excluded } => {
                self.link_work.push(Box::pin(jobs::aggregate(
                    context,
                    Rc::clone(&self.settling),
                    round,
                    Outcome { result: base, state },
                    inputs,
                    excluded,
                )));
            }
            ParticipantAction::Repeat(repetition) => {
                let (work, handle) = jobs::repeat_training(context, repetition);
                self.repetition = Some(handle);
                self.work.push(work);
            }
            ParticipantAction::StopRepeating => {
                if let Some(handle) = self.repetition.take() {
                    handle.abort();
                }
            }
            ParticipantAction::Evaluate { round, cid } => {
                self.work.push(Box::pin(jobs::evaluate(context, Rc::clone(&self.settling), round, cid)));
            }
            ParticipantAction::Report(change) => self.report(&change),
            ParticipantAction::Distrust(refusal) => self.fail(false_log(&refusal.to_string())),
        }
    }

    pub(crate) fn fetched(&mut self, cid: Cid, is_here: bool) {
        if is_here {
            self.unpinned.push(cid);
            self.tell(ParticipantEvent::Fetched { cid });
        } else {
            self.tell(ParticipantEvent::FetchFailed { cid });
        }
    }

    /// Trains, unless the same training is done already, or was found to diverge.
    fn train(&mut self, assignment: Assignment) {
        let Assignment { round, base, steps, learning_rate, .. } = assignment;
        let this = (round, base, learning_rate);
        if let Some(paused_at) = self.paused_at.take()
            && paused_at != (round, base)
        {
            (self.context.out)(Event::Remark(moved_on(paused_at.0)));
        }
        let is_done = |done: &&Rc<Trained>| (done.round, done.base_cid, done.learning_rate) == this;
        if let Some(trained) = self.trained.as_ref().filter(is_done) {
            let told = trained.told();
            return self.tell(told);
        }
        if self
            .diverged
            .is_some_and(|Diverged { round, base, learning_rate, .. }| (round, base, learning_rate) == this)
        {
            // The same steps from the same numbers: they would diverge again.
            return;
        }
        self.context.progress.begin(round.0, steps);
        let ticket = self.context.next_training();
        self.training = Some((round, base));
        self.work.push(Box::pin(jobs::train(
            Rc::clone(&self.context),
            Rc::clone(&self.engine),
            ticket,
            assignment,
        )));
    }

    /// What is being trained, or was last: the round, and its base.
    pub(crate) fn trained_for(&self) -> Option<(RoundNumber, Cid)> {
        self.training
    }

    /// Whether the round machine waits for a training.
    pub(crate) fn is_training(&self) -> bool {
        matches!(self.participant.activity(), Activity::Training { .. })
    }

    pub(crate) fn training_ended(
        &mut self,
        ticket: TrainingTicket,
        round: RoundNumber,
        base: Cid,
        result: Result<Trained, Failure>,
    ) {
        let is_wanted = self.context.is_wanted(ticket);
        match result {
            Ok(trained) => {
                let told = trained.told();
                self.diverged = None;
                // Done while the person paused, it is there when they resume.
                self.trained = Some(Rc::new(trained));
                if is_wanted {
                    self.tell(told);
                }
            }
            Err(_stopped) if !is_wanted => {}
            Err(Failure::Retry) => self.tell(ParticipantEvent::TrainFailed { round }),
            Err(Failure::Diverged) => self.training_diverged(round, base),
            Err(Failure::Fatal(problem)) => self.fail(problem),
        }
    }

    /// Rests until the round is over, since the same training would diverge again; after some rounds in a row, stops.
    fn training_diverged(&mut self, round: RoundNumber, base: Cid) {
        let times = self.diverged.map_or(1, |before| before.times.saturating_add(1));
        let learning_rate = self.participant.state().learning_rate(round);
        self.diverged = Some(Diverged { round, base, learning_rate, times });
        if times >= MOST_DIVERGED {
            self.fail(stopped_diverging());
        }
    }

    fn publish(&mut self, round: RoundNumber) {
        let context = Rc::clone(&self.context);
        match &self.trained {
            Some(trained) if trained.round == round => {
                self.link_work.push(Box::pin(jobs::publish(context, Rc::clone(trained), self.accepted)));
            }
            _ => self.tell(ParticipantEvent::StoreFailed { round }),
        }
    }

    pub(crate) fn published(&mut self, round: RoundNumber, update: Option<Cid>) {
        match update {
            Some(update) => {
                self.unpinned.push(update);
                self.tell(ParticipantEvent::Stored { round, update });
            }
            None => self.tell(ParticipantEvent::StoreFailed { round }),
        }
    }

    pub(crate) fn aggregated(
        &mut self,
        round: RoundNumber,
        excluded: u32,
        combined: Result<Combined, Vec<Cid>>,
    ) {
        match combined {
            Ok(Combined { outcome, difference }) => {
                self.unpinned.push(outcome.result);
                self.unpinned.extend(outcome.state);
                self.tell(ParticipantEvent::Aggregated { round, excluded, outcome, difference });
            }
            Err(missing) => self.tell(ParticipantEvent::AggregateFailed { round, excluded, missing }),
        }
    }

    pub(crate) fn repeated(
        &mut self,
        round: RoundNumber,
        contributor: AccountId,
        found: Option<(Cid, Option<Evidence>)>,
    ) {
        self.repetition = None;
        match found {
            Some((found, evidence)) => {
                self.tell(ParticipantEvent::Repeated { round, contributor, found, evidence });
            }
            None => self.tell(ParticipantEvent::RepeatFailed { round, contributor }),
        }
    }

    /// Shows a contribution's new state and keeps it on the device.
    pub(crate) fn contribution_changed(
        &mut self,
        round: RoundNumber,
        update: Cid,
        state: ContributionState,
        receipt: Option<Vec<u8>>,
    ) {
        let samples = self.context.setup.rules.samples;
        let contribution = Contribution { round: round.0, update, samples, state };
        (self.context.out)(Event::Contribution(contribution.clone()));
        if let Some((name, bytes)) = self.contributions.set(contribution, receipt) {
            self.work.push(Box::pin(jobs::save(Rc::clone(&self.context), name, bytes)));
        }
    }

    fn report(&mut self, change: &Change) {
        match change {
            Change::Joined { .. } | Change::Left { .. } | Change::Missed { .. } | Change::Departed { .. } => {
                self.view.members_changed()
            }
            Change::Settled { result, .. } => {
                // Who missed a round and is back has contributed to this one.
                self.view.members_changed();
                self.context.count_settled();
                let state = self.participant.state().outer_state();
                self.forget_all_but(Outcome { result: *result, state });
            }
            Change::Excluded { account, .. } if *account == self.participant.account() => {
                self.accepted = None;
            }
            // What is read in the record from before is no news.
            Change::WentBack { round, to, .. } if self.is_live => {
                (self.context.out)(Event::WentBack { round: round.0, to: to.0 });
            }
            Change::SetAside { round } if self.is_live => {
                (self.context.out)(settling::set_aside(&self.context, &self.settling, *round));
            }
            Change::Opened { .. } => self.follow_deadline(),
            Change::Skipped { round } if self.is_live => (self.context.out)(Event::Remark(skipped(*round))),
            Change::Published { .. }
            | Change::WentBack { .. }
            | Change::Contributed { .. }
            | Change::Closed { .. }
            | Change::Extended { .. }
            | Change::Unavailable { .. }
            | Change::Excluded { .. }
            | Change::Attested { .. }
            | Change::SetAside { .. }
            | Change::Skipped { .. }
            | Change::AuditDrawn { .. }
            | Change::Audited { .. }
            | Change::Confirmed { .. }
            | Change::AuditLapsed { .. }
            | Change::Faulted(_)
            | Change::Decided(_)
            | Change::SettingsChanged { .. }
            | Change::GoalReached { .. }
            | Change::Finished { .. } => {}
        }
    }

    /// How long others are waited for follows from the rounds' deadline, which the organiser may change.
    pub(crate) fn follow_deadline(&self) {
        self.context.mesh.follow_deadline(self.participant.state().rules().deadline_ms);
    }

    /// Removes what only the settled round needed; what it came to is what the next one starts from. If that is not here, it may
    /// be made from its base, which stays for a round more. So does what a training started from that this account has to repeat.
    fn forget_all_but(&mut self, outcome: Outcome) {
        self.trained = None;
        let Outcome { result, state } = outcome;
        let campaign = self.participant.state();
        let round = campaign.round();
        let base = round.map(Round::base).filter(|_base| !self.unpinned.contains(&result));
        let duty = campaign.audit_duty(&self.participant.account());
        let audited = duty.map(|(_round, _whose, audit)| audit.base);
        let is_needed = |cid: &Cid| [Some(result), state, base, audited].contains(&Some(*cid));
        let (pinned, mut useless): (Vec<_>, Vec<_>) = self.unpinned.drain(..).partition(is_needed);
        self.unpinned = pinned;
        let difference = round.and_then(Round::difference).map(|difference| difference.packed);
        let (offered, before) = self.context.mesh.settled(result, [state, difference]);
        useless.extend(offered);
        // It may be here from an earlier visit.
        let base = self.participant.state().round().and_then(Round::outer_state);
        useless.extend(base.filter(|base| !is_needed(base)));
        self.work.push(Box::pin(jobs::remove(Rc::clone(&self.context), useless, before)));
    }
}
