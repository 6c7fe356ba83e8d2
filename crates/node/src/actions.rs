use std::rc::Rc;

use lichen_bridge::{Contribution, ContributionState, Event};
use lichen_record::{Cid, RoundNumber};
use lichen_round::{Change, ParticipantAction, ParticipantEvent};

use crate::Platform;
use crate::jobs::{self, Failure, TrainingTicket};
use crate::session::{Session, false_log};
use crate::training::Trained;

/// What the round machine asks for, and what becomes of it.
impl<P: Platform> Session<P> {
    pub(crate) fn carry_out(&mut self, action: ParticipantAction) {
        let shared = Rc::clone(&self.shared);
        match action {
            ParticipantAction::Fetch { cid } => self.link_work.push(Box::pin(jobs::fetch(shared, cid))),
            ParticipantAction::Train { round, base, shard, steps, seed } => {
                self.shared.progress.begin(round.0, steps);
                let ticket = self.shared.next_training();
                self.work.push(Box::pin(jobs::train(shared, ticket, round, base, shard, steps, seed)));
            }
            ParticipantAction::StopTraining { .. } => {
                self.shared.next_training();
            }
            ParticipantAction::Publish { round, .. } => self.publish(round),
            ParticipantAction::Submit { ticket, entry } => {
                self.link_work.push(Box::pin(jobs::sign_entry(shared, ticket, entry)));
            }
            ParticipantAction::Aggregate { round, base, accepted, excluded } => {
                self.link_work.push(Box::pin(jobs::aggregate(shared, round, base, accepted, excluded)));
            }
            ParticipantAction::Evaluate { round, cid } => {
                self.work.push(Box::pin(jobs::evaluate(shared, round, cid)));
            }
            ParticipantAction::Report(change) => self.report(&change),
            ParticipantAction::Distrust(refusal) => self.fail(false_log(&refusal.to_string())),
            // The enum may grow; what this driver does not know, it cannot do.
            _ => {}
        }
    }

    pub(crate) fn fetched(&mut self, cid: Cid, is_here: bool) {
        if is_here {
            self.loose.push(cid);
            self.tell(ParticipantEvent::Fetched { cid });
        } else {
            self.tell(ParticipantEvent::FetchFailed { cid });
        }
    }

    pub(crate) fn training_ended(
        &mut self,
        ticket: TrainingTicket,
        round: RoundNumber,
        result: Result<Trained, Failure>,
    ) {
        if !self.shared.is_wanted(ticket) {
            return;
        }
        match result {
            Ok(trained) => {
                let metrics = trained.metrics;
                self.trained = Some(Rc::new(trained));
                self.tell(ParticipantEvent::Trained { round, metrics });
            }
            Err(Failure::Retry) => self.tell(ParticipantEvent::TrainFailed { round }),
            Err(Failure::Fatal(problem)) => self.fail(problem),
        }
    }

    fn publish(&mut self, round: RoundNumber) {
        let shared = Rc::clone(&self.shared);
        match &self.trained {
            Some(trained) if trained.round == round => {
                self.link_work.push(Box::pin(jobs::publish(shared, Rc::clone(trained))));
            }
            _ => self.tell(ParticipantEvent::StoreFailed { round }),
        }
    }

    pub(crate) fn published(&mut self, round: RoundNumber, update: Option<Cid>) {
        match update {
            Some(update) => {
                self.loose.push(update);
                self.tell(ParticipantEvent::Stored { round, update });
            }
            None => self.tell(ParticipantEvent::StoreFailed { round }),
        }
    }

    pub(crate) fn aggregated(&mut self, round: RoundNumber, excluded: u32, result: Result<Cid, Vec<Cid>>) {
        match result {
            Ok(result) => {
                self.loose.push(result);
                self.tell(ParticipantEvent::Aggregated { round, excluded, result });
            }
            Err(missing) => self.tell(ParticipantEvent::AggregateFailed { round, excluded, missing }),
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
        let samples = self.shared.setup.rules.samples;
        let contribution = Contribution { round: round.0, update, samples, state };
        (self.shared.out)(Event::Contribution(contribution.clone()));
        if let Some((name, bytes)) = self.contributions.set(contribution, receipt) {
            self.work.push(Box::pin(jobs::save(Rc::clone(&self.shared), name, bytes)));
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
                self.shared.count_settled();
                self.forget_all_but(*result);
            }
            _ => {}
        }
    }

    /// Removes what only the settled round needed; its result is what the next one starts from.
    fn forget_all_but(&mut self, result: Cid) {
        self.trained = None;
        let (kept, mut useless): (Vec<_>, Vec<_>) = self.loose.drain(..).partition(|cid| *cid == result);
        self.loose = kept;
        let (offered, before) = self.shared.mesh.settled(result);
        useless.extend(offered);
        self.work.push(Box::pin(jobs::remove(Rc::clone(&self.shared), useless, before)));
    }
}
