//! The coordinator's work: what it asks for is done as a real relay does it.

use std::collections::VecDeque;
use std::rc::Rc;

use lichen_log::{Authority, Replica};
use lichen_record::{Entry, verify};
use lichen_round::{CampaignState, Coordinator, CoordinatorAction, CoordinatorEvent, Outcome, Repetition};

use super::{Event, World};
use crate::invariants::{Rule, equal_states};
use crate::relay::{Ask, Batch};
use crate::settings::Sabotage;

/// How long after its start a relay gives members the time to come back, in milliseconds.
const RETURN_PATIENCE_MS: u64 = 15_000;

impl World {
    /// Carries out the coordinator's actions, and those that follow from them.
    pub(super) fn perform(&mut self, actions: Vec<CoordinatorAction>, batch: &mut Batch) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                CoordinatorAction::Append(entry) => {
                    let Ok(entry) = verify::<Entry>(&self.relay.key.sign(&entry).unwrap()) else { continue };
                    let is_end =
                        matches!(entry.get(), Entry::RoundClosed { .. } | Entry::RoundOverdue { .. });
                    let is_dropped = is_end && self.settings.sabotage == Some(Sabotage::NeverEnds);
                    let ordered = if is_dropped { None } else { self.order(&entry, batch) };
                    match ordered {
                        Some((_index, more)) => actions.extend(more),
                        None => {
                            let (time, event) = (self.relay.time(self.now), CoordinatorEvent::AppendFailed);
                            actions.extend(self.relay.coordinator.handle(time, event));
                        }
                    }
                }
                CoordinatorAction::WakeAt(time) => {
                    let at = self.relay.world_time(self.now, time).max(self.now + 1);
                    let (life, event) = (self.relay.life, Box::new(CoordinatorEvent::Tick));
                    self.schedule(at, Event::Coordinated { life, event });
                }
                CoordinatorAction::Report(change) => self.changed(&change),
                CoordinatorAction::Distrust(refusal) => {
                    self.fail(Rule::NoPanic, format!("the relay distrusts its own log: {refusal}"));
                }
                CoordinatorAction::Aggregate { .. }
                | CoordinatorAction::Repeat(_)
                | CoordinatorAction::Measure { .. } => batch.work.push(action),
            }
        }
    }

    pub(super) fn coordinated(&mut self, life: u64, event: CoordinatorEvent) {
        if self.relay.life == life && self.relay.is_up {
            self.ask(Ask::Event(Box::new(event)));
        }
    }

    /// Begins what takes a while; its answer comes back as any other request.
    pub(super) fn start_work(&mut self, action: CoordinatorAction) {
        let takes = 5 + self.chance.below(60);
        let is_failing = self.is_failing();
        let event = match action {
            CoordinatorAction::Aggregate { round, base, state, inputs } => {
                let base = Outcome { result: base, state };
                let outcome = self.learning.settle(&mut self.blobs, base, &inputs).filter(|_| !is_failing);
                let outcome = match self.settings.sabotage {
                    Some(Sabotage::FalseCoordinator) => {
                        outcome.map(|it| Outcome { result: self.campaign.id.0, ..it })
                    }
                    _ => outcome,
                };
                match outcome {
                    Some(outcome) => {
                        self.relay.pinned.extend([outcome.result].into_iter().chain(outcome.state));
                        CoordinatorEvent::Aggregated { round, outcome, difference: None }
                    }
                    None => CoordinatorEvent::AggregateFailed { round },
                }
            }
            CoordinatorAction::Repeat(repetition) => {
                let Repetition { round, contributor, .. } = repetition;
                let found = self.learning.repeat(&self.blobs, &repetition).filter(|_| !is_failing);
                CoordinatorEvent::Repeated { round, contributor, found: found.map(|found| (found, None)) }
            }
            CoordinatorAction::Measure { checkpoint, target, .. } => {
                CoordinatorEvent::Measured { checkpoint, target, reaches_goal: false }
            }
            CoordinatorAction::Append(_)
            | CoordinatorAction::WakeAt(_)
            | CoordinatorAction::Report(_)
            | CoordinatorAction::Distrust(_) => return,
        };
        let life = self.relay.life;
        self.schedule(self.now + takes, Event::Coordinated { life, event: Box::new(event) });
    }

    /// Reads what is on the disk, checks and folds all of it, and acts from its end.
    pub(super) fn start_relay(&mut self) {
        let account = self.relay.account();
        let mut replica = Replica::new(self.campaign.id, Authority::Account(account), self.campaign.initial);
        let mut state = CampaignState::new(self.campaign.id, self.campaign.rules);
        for item in self.relay.branch.range(0, self.relay.written) {
            let is_taken = replica.take_checked(&item.record, Ok(item.entry.clone()));
            if let Err(error) = is_taken {
                return self.fail(Rule::EqualStates, format!("a relay cannot read its own log: {error}"));
            }
            if let Err(refusal) = state.apply(item.record.time, &item.entry) {
                return self.fail(Rule::EqualStates, format!("a relay refuses its own log: {refusal}"));
            }
        }
        let check = self.ledger.check_settled(&state);
        self.expect(check);
        if let Some(shown) = &self.relay.shown
            && shown.length() == self.relay.written
            && Rc::ptr_eq(&shown.branch, &self.relay.branch)
        {
            let check = equal_states(&state, &shown.state.borrow(), "a relay that starts");
            self.expect(check);
        }
        let branch = Rc::clone(&self.relay.branch);
        let check = self.ledger.check_acknowledged(|index| branch.get(index).map(|item| item.entry.id()));
        self.expect(check);
        self.relay.ahead = state.time().saturating_sub(self.relay.steady(self.now));
        self.relay.chain = replica.into_chain();
        self.relay.coordinator = Coordinator::new(account, state, self.campaign.initial);
        self.relay.is_up = true;
        self.ask(Ask::Event(Box::new(CoordinatorEvent::CaughtUp)));
        let life = self.relay.life;
        self.schedule(self.now + RETURN_PATIENCE_MS, Event::RollCall { life });
    }

    /// Who was here before the start and has not come back is gone.
    pub(super) fn call_roll(&mut self, life: u64) {
        if self.relay.life != life || !self.relay.is_up {
            return;
        }
        let is_gone = |account: &lichen_record::AccountId| !self.relay.here.contains_key(account);
        let gone: Vec<_> = self.relay.state().active().filter(is_gone).collect();
        for account in gone {
            self.ask(Ask::Presence { account, is_here: false });
        }
    }
}
