//! What tabs do when their participants ask for it: real trainings and results, on a network that may fail.

use std::rc::Rc;

use lichen_learn::Update;
use lichen_record::{Cid, Entry, RoundNumber, verify};
use lichen_round::{Input, Outcome, ParticipantAction, ParticipantEvent, Repetition, Ticket};

use super::{Event, World};
use crate::hostile::{Bent, bend};
use crate::learning::Learning;
use crate::mesh::Job;
use crate::settings::Fault;
use crate::tab::Pending;

/// Updates that a tab fetches at a time.
const FETCHES_AT_A_TIME: u64 = 4;

impl World {
    pub(super) fn act(&mut self, peer: usize, action: ParticipantAction) {
        match action {
            ParticipantAction::Submit { ticket, entry } => self.submit(peer, ticket, &entry),
            ParticipantAction::Fetch { cid, .. } => self.fetch(peer, cid),
            ParticipantAction::Train { round, base, shard, steps, seed, .. } => {
                self.train(peer, round, base, &shard, steps, seed);
            }
            ParticipantAction::StopTraining { .. } => {
                if let Some(tab) = &mut self.peers[peer].tab {
                    tab.training += 1;
                }
            }
            ParticipantAction::Publish { round, .. } => self.publish(peer, round),
            ParticipantAction::Aggregate { round, base, state, inputs, excluded } => {
                let base = Outcome { result: base, state };
                match self.settings.is_mesh {
                    true => {
                        let connection = self.peers[peer].connection;
                        let missing = Vec::new();
                        self.pull_updates(peer, Job { round, base, inputs, excluded, missing, connection });
                    }
                    false => self.aggregate(peer, round, base, &inputs, excluded),
                }
            }
            ParticipantAction::Repeat(repetition) => self.repeat(peer, &repetition),
            ParticipantAction::StopRepeating => {
                if let Some(tab) = &mut self.peers[peer].tab {
                    tab.repetition += 1;
                }
            }
            ParticipantAction::Distrust(refusal) => self.distrust(peer, &refusal.to_string()),
            ParticipantAction::Evaluate { .. } | ParticipantAction::Report(_) => {}
        }
    }

    pub(super) fn answer(&mut self, peer: usize, after: u64, event: ParticipantEvent) {
        let connection = self.peers[peer].connection;
        self.schedule(self.now + after, Event::Answer { peer, connection, event: Box::new(event) });
    }

    pub(super) fn answered(&mut self, peer: usize, connection: u64, event: ParticipantEvent) {
        if self.peers[peer].connection == connection {
            self.tell(peer, event);
        }
    }

    /// From the device, or else from the relay; in a mesh, from peers first.
    fn fetch(&mut self, peer: usize, cid: Cid) {
        if self.peers[peer].has(&cid) && self.blobs.get(&cid).is_some() {
            let event = ParticipantEvent::Fetched { cid };
            return self.answer(peer, 3, event);
        }
        if self.settings.is_mesh {
            return self.pull_checkpoint(peer, cid);
        }
        let there_and_back = self.delay() + self.delay();
        let traffic = &mut self.peers[peer].traffic;
        traffic.messages += 2;
        let is_got = self.relay.pinned.contains(&cid) && !self.is_lost(100);
        if is_got {
            self.peers[peer].traffic.blobs_down += self.blobs.length(&cid) as u64;
            self.peers[peer].keep(self.now, cid);
        }
        let event =
            if is_got { ParticipantEvent::Fetched { cid } } else { ParticipantEvent::FetchFailed { cid } };
        self.answer(peer, there_and_back, event);
    }

    fn train(&mut self, peer: usize, round: RoundNumber, base: Cid, shard: &[u32], steps: u32, seed: u64) {
        self.tally.trainings += 1;
        let is_there = self.peers[peer].has(&base);
        let bytes = self.blobs.get(&base).filter(|_bytes| is_there);
        let trained = bytes.and_then(|bytes| self.learning.train(&bytes, shard, steps, seed));
        let takes = self.peers[peer].training_ms + self.chance.below(200);
        let person = &mut self.peers[peer];
        let Some(tab) = &mut person.tab else { return };
        tab.training += 1;
        let (life, work) = (person.life, tab.training);
        let event = match trained {
            Some(trained) => {
                tab.trained = Some((round, trained.update));
                let (metrics, engine) = (trained.metrics, Learning::engine());
                ParticipantEvent::Trained { round, metrics, engine, trace: None }
            }
            None => ParticipantEvent::TrainFailed { round },
        };
        self.schedule(self.now + takes, Event::Trained { peer, life, work, event: Box::new(event) });
    }

    pub(super) fn trained(&mut self, peer: usize, life: u64, work: u64, event: ParticipantEvent) {
        let is_wanted = self.peers[peer].tab.as_ref().is_some_and(|tab| tab.training == work);
        if self.peers[peer].life == life && is_wanted {
            self.tell(peer, event);
        }
    }

    fn repeat(&mut self, peer: usize, repetition: &Repetition) {
        let Repetition { round, contributor, .. } = *repetition;
        let found = self.learning.repeat(&self.blobs, repetition);
        let is_false = self.peers[peer].bent == Some(Bent::FalseAuditor);
        let found = found.map(|found| if is_false { Cid::of_raw(&found.to_bytes()) } else { found });
        let event = match found {
            Some(found) => ParticipantEvent::Repeated { round, contributor, found, evidence: None },
            None => ParticipantEvent::RepeatFailed { round, contributor },
        };
        let takes = self.peers[peer].training_ms + self.chance.below(200);
        let person = &mut self.peers[peer];
        let Some(tab) = &mut person.tab else { return };
        tab.repetition += 1;
        let (life, work) = (person.life, tab.repetition);
        self.schedule(self.now + takes, Event::Repeated { peer, life, work, event: Box::new(event) });
    }

    pub(super) fn repeated(&mut self, peer: usize, life: u64, work: u64, event: ParticipantEvent) {
        let is_wanted = self.peers[peer].tab.as_ref().is_some_and(|tab| tab.repetition == work);
        if self.peers[peer].life == life && is_wanted {
            self.tell(peer, event);
        }
    }

    /// Packs the update and hands it over.
    fn publish(&mut self, peer: usize, round: RoundNumber) {
        let trained = self.peers[peer].tab.as_ref().and_then(|tab| tab.trained.as_ref());
        let trained = trained.filter(|(of, _values)| *of == round).map(|(_round, values)| values.clone());
        let Some(values) = trained else {
            return self.answer(peer, 1, ParticipantEvent::StoreFailed { round });
        };
        let update = self.packed(peer, &values);
        let length = self.blobs.length(&update) as u64;
        self.peers[peer].keep(self.now, update);
        if self.settings.is_mesh {
            self.offer(peer, update);
            return self.answer(peer, 2, ParticipantEvent::Stored { round, update });
        }
        let there_and_back = self.delay() + self.delay();
        self.peers[peer].traffic.messages += 2;
        self.peers[peer].traffic.blobs_up += length;
        let event = match self.is_lost(100) {
            true => ParticipantEvent::StoreFailed { round },
            false => {
                self.relay.pinned.insert(update);
                ParticipantEvent::Stored { round, update }
            }
        };
        self.answer(peer, there_and_back, event);
    }

    /// What the tab learnt as a blob, or what a hostile one makes of it.
    fn packed(&mut self, peer: usize, learnt: &[f32]) -> Cid {
        let Some(bent) = self.peers[peer].bent else { return self.encoded(learnt) };
        let others = self.updates_seen(peer);
        if bent == Bent::Copier
            && let Some(other) = others.first()
        {
            return *other;
        }
        let decode = |cid: &Cid| {
            let bytes = self.blobs.get(cid)?;
            let decoded = self.campaign.codec.decode(&bytes, self.campaign.parameters).ok()?;
            Some(decoded.values().to_vec())
        };
        let others: Vec<_> = others.iter().filter_map(decode).collect();
        self.encoded(&bend(bent, learnt, &others))
    }

    /// Updates that others contributed to the open round.
    fn updates_seen(&self, peer: usize) -> Vec<Cid> {
        let account = self.peers[peer].account;
        let Some(tab) = &self.peers[peer].tab else { return Vec::new() };
        tab.with_state(|state| {
            let contributions = state.open_round().map_or(&[][..], |round| round.contributions());
            let others = contributions.iter().filter(|accepted| accepted.account != account);
            others.map(|accepted| accepted.update).take(8).collect()
        })
    }

    fn encoded(&mut self, values: &[f32]) -> Cid {
        match Update::new(values.to_vec()) {
            Ok(update) => {
                let bytes = self.campaign.codec.encode_within(&update, self.campaign.max_norm);
                self.blobs.put(&bytes.map(|packed| packed.bytes).unwrap_or_default())
            }
            Err(_not_finite) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                self.blobs.put(&bytes)
            }
        }
    }

    fn aggregate(&mut self, peer: usize, round: RoundNumber, base: Outcome, inputs: &[Input], excluded: u32) {
        let wanted: Vec<Cid> =
            inputs.iter().map(|input| input.update).filter(|update| !self.peers[peer].has(update)).collect();
        let waits = 1 + wanted.len() as u64 / FETCHES_AT_A_TIME;
        let takes = (0..waits.min(20)).map(|_wait| self.delay() + self.delay()).sum::<u64>() + 5;
        let bytes: u64 = wanted.iter().map(|update| self.blobs.length(update) as u64).sum();
        let traffic = &mut self.peers[peer].traffic;
        traffic.messages += 2 * wanted.len() as u64;
        traffic.blobs_down += bytes;
        let outcome = match self.is_lost(100) {
            true => None,
            false => self.learning.settle(&mut self.blobs, base, inputs),
        };
        self.aggregated(peer, takes, round, excluded, outcome);
    }

    /// Tells the tab what a round comes to, or what its hostile person wants it to.
    pub(super) fn aggregated(
        &mut self,
        peer: usize,
        takes: u64,
        round: RoundNumber,
        excluded: u32,
        outcome: Option<Outcome>,
    ) {
        let is_false = matches!(self.peers[peer].bent, Some(Bent::FalseAttester));
        let Some(mut outcome) = outcome else {
            let event = ParticipantEvent::AggregateFailed { round, excluded, missing: Vec::new() };
            return self.answer(peer, takes, event);
        };
        if is_false {
            outcome = self.lie(peer, outcome);
        }
        for cid in [Some(outcome.result), outcome.state].into_iter().flatten() {
            self.peers[peer].keep(self.now, cid);
            if self.settings.is_mesh {
                self.offer(peer, cid);
            }
        }
        let event = ParticipantEvent::Aggregated { round, excluded, outcome, difference: None };
        self.answer(peer, takes, event);
    }

    /// A checkpoint that nobody computed.
    fn lie(&mut self, peer: usize, outcome: Outcome) -> Outcome {
        let lie = self.blobs.put(&[&outcome.result.to_bytes()[..], &(peer as u64).to_be_bytes()].concat());
        let state = outcome.state.map(|state| self.blobs.put(&state.to_bytes()));
        Outcome { result: lie, state: state.or(outcome.state) }
    }

    fn submit(&mut self, peer: usize, ticket: Ticket, entry: &Entry) {
        self.send_entry(peer, Some(ticket), entry);
        if self.peers[peer].bent == Some(Bent::Equivocator)
            && let Entry::Attestation { campaign, round, base, result, excluded, state, .. } = *entry
        {
            let Outcome { result, state } = self.lie(peer, Outcome { result, state });
            self.peers[peer].keep(self.now, result);
            let other =
                Entry::Attestation { campaign, round, base, result, excluded, state, difference: None };
            self.send_entry(peer, None, &other);
        }
    }

    fn send_entry(&mut self, peer: usize, ticket: Option<Ticket>, entry: &Entry) {
        let person = &mut self.peers[peer];
        // Equal entries have equal envelopes, so that one that is sent again is known at the relay.
        let Ok(entry) = verify::<Entry>(&person.key.sign(entry).unwrap()) else { return };
        let connection = person.connection;
        person.traffic.messages += 1;
        person.traffic.entries_up += entry.envelope_bytes().len() as u64;
        if person.folds
            && let Some(tab) = &mut person.tab
        {
            tab.pending.insert(entry.id(), Pending::default());
        }
        let is_blocked = person.up_from > self.now;
        let entry = Rc::new(entry);
        if self.is_stormy(Fault::Network) && self.weather.chance(30) {
            let (at, entry) = (self.now + self.delay(), Rc::clone(&entry));
            self.schedule(at, Event::Submitted { peer, connection, ticket: None, entry });
        }
        if !is_blocked && !self.is_lost(30) {
            let at = self.now + self.delay();
            self.schedule(at, Event::Submitted { peer, connection, ticket, entry });
        }
    }
}
