//! The relay's door and its order: what comes in, what is refused, and what is written.

use std::rc::Rc;
use std::time::Duration;

use lichen_bucket::Rate;
use lichen_log::Record;
use lichen_record::{Cid, Entry, Verified, encode};
use lichen_round::{Change, CoordinatorAction, CoordinatorEvent, ParticipantEvent, Stage, Ticket};

use super::{Event, World};
use crate::invariants::{Rule, nothing_twice, round_ends, snapshot_is_the_fold};
use crate::prefix::Item;
use crate::relay::{Ask, BATCH, Batch, Receipt};
use crate::settings::{Fault, Sabotage};

/// Entries that an account may append, as a relay's default is.
const ENTRIES: Rate = Rate::new(240, Duration::from_secs(60));

impl World {
    pub(super) fn hello(&mut self, peer: usize, connection: u64) {
        if !self.relay.is_up || self.peers[peer].connection != connection {
            return;
        }
        let account = self.peers[peer].account;
        if self.relay.sessions.insert(peer, connection).is_none() {
            *self.relay.here.entry(account).or_default() += 1;
            self.ask(Ask::Presence { account, is_here: true });
        }
        let at = self.now + self.delay();
        self.schedule(at, Event::Welcome { peer, connection });
    }

    pub(super) fn gone(&mut self, peer: usize, connection: u64) {
        if self.relay.sessions.get(&peer) != Some(&connection) {
            return;
        }
        self.relay.sessions.remove(&peer);
        self.relay.following.remove(&peer);
        let account = self.peers[peer].account;
        let left = self.relay.here.get_mut(&account).map_or(0, |count| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == 0 {
            self.relay.here.remove(&account);
            self.ask(Ask::Presence { account, is_here: false });
        }
    }

    /// An entry comes in over a connection.
    pub(super) fn receive(
        &mut self,
        peer: usize,
        connection: u64,
        ticket: Option<Ticket>,
        entry: Rc<Verified<Entry>>,
    ) {
        if !self.relay.is_up || self.relay.sessions.get(&peer) != Some(&connection) {
            return;
        }
        self.tally.received += 1;
        let is_joining = matches!(entry.get(), Entry::Joined { .. });
        if is_joining && self.settings.sabotage == Some(Sabotage::NobodyJoins) {
            return self.refuse(peer, connection, ticket);
        }
        if !self.allows(&entry) || entry.account() != self.peers[peer].account {
            return self.refuse(peer, connection, ticket);
        }
        if self.is_missing_its_checkpoint(&entry) {
            // The tab is told, and puts it.
            let at = self.now + 2 * self.delay();
            return self.schedule(at, Event::Put { peer, connection, ticket, entry });
        }
        if !self.is_update_sound(&entry) {
            return self.refuse(peer, connection, ticket);
        }
        self.ask(Ask::Append { peer, connection, ticket, entry });
    }

    fn allows(&mut self, entry: &Verified<Entry>) -> bool {
        let now = Duration::from_millis(self.now);
        self.relay.allowances.entry(entry.account()).or_default().take(ENTRIES, 1, now)
    }

    /// Somebody without a tab appends an entry; nobody hears of an answer.
    pub(super) fn receive_from_stranger(&mut self, entry: Verified<Entry>) {
        if !self.relay.is_up || !self.allows(&entry) {
            return;
        }
        self.tally.received += 1;
        if !self.is_missing_its_checkpoint(&entry) && self.is_update_sound(&entry) {
            self.ask(Ask::Append { peer: usize::MAX, connection: 0, ticket: None, entry: Rc::new(entry) });
        }
    }

    /// Where the coordinator settles, it looks at an update before it takes the contribution.
    fn is_update_sound(&mut self, entry: &Verified<Entry>) -> bool {
        let Entry::Contribution { update, .. } = entry.get() else { return true };
        if self.settings.is_mesh {
            return true;
        }
        if self.relay.coordinator.admit(self.relay.time(self.now), entry).is_err()
            || !self.relay.pinned.contains(update)
        {
            return false;
        }
        if let Some(known) = self.relay.checked.get(update) {
            return *known;
        }
        let Some(bytes) = self.blobs.get(update) else { return false };
        let (parameters, bound) = (self.campaign.parameters, self.campaign.max_norm);
        let is_sound = self.campaign.codec.decode_within(&bytes, parameters, bound).is_ok();
        self.relay.checked.insert(*update, is_sound);
        is_sound
    }

    /// In a mesh the relay takes no attestation of a checkpoint or state that it does not hold.
    fn is_missing_its_checkpoint(&self, entry: &Verified<Entry>) -> bool {
        let Entry::Attestation { result, state, .. } = entry.get() else { return false };
        let is_missing = |cid: &Cid| !self.relay.pinned.contains(cid);
        self.settings.is_mesh
            && self.relay.coordinator.admit(self.relay.time(self.now), entry).is_ok()
            && [*result].iter().chain(state).any(is_missing)
    }

    pub(super) fn put(
        &mut self,
        peer: usize,
        connection: u64,
        ticket: Option<Ticket>,
        entry: Rc<Verified<Entry>>,
    ) {
        let Entry::Attestation { result, state, .. } = entry.get() else { return };
        if self.peers[peer].connection != connection {
            return;
        }
        for cid in [*result].iter().chain(state) {
            if self.peers[peer].has(cid) && !self.relay.pinned.contains(cid) {
                self.peers[peer].traffic.blobs_up += self.blobs.length(cid) as u64;
                self.peers[peer].traffic.messages += 2;
                self.relay.pinned.insert(*cid);
            }
        }
        if self.is_missing_its_checkpoint(&entry) {
            return self.refuse(peer, connection, ticket);
        }
        self.receive(peer, connection, ticket, entry);
    }

    fn refuse(&mut self, peer: usize, connection: u64, ticket: Option<Ticket>) {
        self.tally.refused += 1;
        let Some(ticket) = ticket else { return };
        let at = self.now + self.delay();
        let event = Box::new(ParticipantEvent::Refused { ticket });
        self.schedule(at, Event::Answer { peer, connection, event });
    }

    /// Waits for the relay's attention.
    pub(super) fn ask(&mut self, ask: Ask) {
        if self.relay.is_up {
            self.relay.inbox.push_back(ask);
            self.turn_soon();
        }
    }

    fn turn_soon(&mut self) {
        if !self.relay.is_turn_due && self.relay.batch.is_none() {
            self.relay.is_turn_due = true;
            let life = self.relay.life;
            self.schedule(self.now + 1, Event::Turn { life });
        }
    }

    /// Orders what waits. Nothing of it is told before it is written.
    pub(super) fn turn(&mut self, life: u64) {
        if self.relay.life != life || !self.relay.is_up || self.relay.batch.is_some() {
            return;
        }
        self.relay.is_turn_due = false;
        let count = self.relay.inbox.len().min(BATCH);
        let asks: Vec<Ask> = self.relay.inbox.drain(..count).collect();
        let mut batch = Batch::default();
        for ask in asks {
            match ask {
                Ask::Append { peer, connection, ticket, entry } => match self.order(&entry, &mut batch) {
                    Some((index, actions)) => {
                        batch.receipts.push(Receipt { peer, connection, ticket, index });
                        self.perform(actions, &mut batch);
                    }
                    None if peer < self.peers.len() => self.refuse(peer, connection, ticket),
                    None => self.tally.refused += 1,
                },
                Ask::Event(event) => self.coordinate(*event, &mut batch),
                Ask::Presence { account, is_here } => {
                    let event = match is_here {
                        true => CoordinatorEvent::PeerBack { account },
                        false => CoordinatorEvent::PeerGone { account },
                    };
                    self.coordinate(event, &mut batch);
                }
            }
        }
        let takes = if batch.has_records { 2 + self.chance.below(10) } else { 0 };
        self.relay.batch = Some(batch);
        match takes {
            0 => self.written(life),
            _ => self.schedule(self.now + takes, Event::Written { life }),
        }
    }

    pub(super) fn coordinate(&mut self, event: CoordinatorEvent, batch: &mut Batch) {
        let time = self.relay.time(self.now);
        let actions = self.relay.coordinator.handle(time, event);
        self.perform(actions, batch);
    }

    /// Gives an entry its place, if it may have one.
    pub(super) fn order(
        &mut self,
        entry: &Verified<Entry>,
        batch: &mut Batch,
    ) -> Option<(usize, Vec<CoordinatorAction>)> {
        let now = self.relay.time(self.now);
        let time = self.relay.coordinator.admit(now, entry).ok()?;
        let (record, _receipt) = self.relay.chain.append(time, entry).ok()?;
        let index = self.relay.branch.len();
        self.relay.branch.push(Rc::new(item(record, entry.clone())));
        batch.has_records = true;
        if self.settings.trace {
            let who = self.by_account.get(&entry.account()).map_or(-1, |peer| *peer as i64);
            eprintln!("{:>7} record {index} by {who}: {:?}", self.now - super::BEGINNING_MS, entry.get());
        }
        self.tally.entries += 1;
        let before = self.relay.state().round().map(|round| (round.number(), round.stage()));
        let event = CoordinatorEvent::Record { time, entry: entry.clone() };
        let actions = self.relay.coordinator.handle(now, event);
        self.look_at_round(before);
        Some((index, actions))
    }

    /// What a round's change of stage has to keep to.
    fn look_at_round(&mut self, before: Option<(lichen_record::RoundNumber, Stage)>) {
        let state = self.relay.coordinator.state();
        let Some(round) = state.round() else { return };
        if before == Some((round.number(), round.stage())) {
            return;
        }
        let mut checks = vec![snapshot_is_the_fold(state)];
        if round.stage() != Stage::Open {
            checks.push(round_ends(state, self.now - self.opened_at, self.pardoned));
        }
        match round.stage() {
            Stage::Open => (self.opened_at, self.pardoned) = (self.now, 0),
            Stage::Closed { .. } => checks.push(nothing_twice(round)),
            Stage::Settled { result, state: outer } => {
                checks.push(nothing_twice(round));
                let outcome = lichen_round::Outcome { result, state: outer };
                checks.push(self.ledger.settle(round.number(), outcome, self.relay.branch.len()));
                self.check_result();
            }
        }
        for check in checks {
            self.expect(check);
        }
    }

    /// What is on the disk is told to those who asked, and to those who read.
    pub(super) fn written(&mut self, life: u64) {
        if self.relay.life != life || !self.relay.is_up {
            return;
        }
        let Some(batch) = self.relay.batch.take() else { return };
        if batch.has_records {
            self.relay.written = self.relay.branch.len();
            if !std::mem::replace(&mut self.relay.is_push_due, true) {
                self.schedule(self.now + self.push_ms, Event::Push { life });
            }
        }
        for receipt in batch.receipts {
            self.acknowledge(&receipt);
        }
        for action in batch.work {
            self.start_work(action);
        }
        if !self.relay.inbox.is_empty() {
            self.turn_soon();
        }
    }

    /// Says to an entry's author that it is in the log, and remembers that it was said.
    fn acknowledge(&mut self, receipt: &Receipt) {
        let Some(item) = self.relay.branch.get(receipt.index) else { return };
        self.ledger.acknowledge(receipt.index, item.entry.id());
        if receipt.ticket.is_none() || receipt.peer >= self.peers.len() || !self.peers[receipt.peer].folds {
            return;
        }
        if self.is_lost(30) {
            return;
        }
        let head = lichen_log::Head {
            campaign: self.campaign.id,
            length: receipt.index as u64 + 1,
            hash: item.record.hash,
        };
        let signed = self.relay.key.sign(&lichen_log::Receipt { entry: item.entry.id(), head });
        let Ok(signed) = lichen_record::verify(&signed.unwrap()) else { return };
        let (at, peer, connection) = (self.now + self.delay(), receipt.peer, receipt.connection);
        self.schedule(at, Event::Receipt { peer, connection, receipt: Box::new(signed) });
    }

    /// Whether what settled is what an honest one computes. Where contributors settle, whoever has most of the say decides.
    fn check_result(&mut self) {
        let Some(round) = self.relay.coordinator.state().round() else { return };
        let Stage::Settled { result, state } = round.stage() else { return };
        let settled = lichen_round::Outcome { result, state };
        let base = lichen_round::Outcome { result: round.base(), state: round.outer_state() };
        let (number, inputs) = (round.number(), round.inputs());
        let is_hostile = |account: &lichen_record::AccountId| self.ledger.hostile.contains(account);
        let voices: Vec<_> = round.counted().filter(|accepted| round.is_drawn(&accepted.account)).collect();
        let lying = voices.iter().filter(|accepted| is_hostile(&accepted.account)).count();
        let attested = round.attestations().filter(|(account, _outcome)| is_hostile(account)).count();
        // Who is drawn and silent leaves the decision to those who are there.
        let decide = self.settings.is_mesh && (lying * 2 >= voices.len() || attested > 0 && lying > 0);
        let honest =
            if inputs.is_empty() { Some(base) } else { self.learning.settle(&mut self.blobs, base, &inputs) };
        if honest != Some(settled) && settled != base && !decide {
            let honest = honest.map_or("nothing".to_owned(), |honest| honest.to_string());
            self.fail(
                Rule::HonestResults,
                format!("round {number} settled with {settled}, not with {honest}"),
            );
        }
        if settled.result != base.result {
            self.tally.fruitful += 1;
        }
    }

    pub(super) fn is_failing(&mut self) -> bool {
        self.is_stormy(Fault::Restarts) && self.chance.chance(100)
    }

    pub(super) fn changed(&mut self, change: &Change) {
        match change {
            Change::Faulted(fault) => {
                self.tally.faults += 1;
                let check = self.ledger.check_fault(fault);
                self.expect(check);
            }
            Change::Skipped { .. } => self.tally.skipped += 1,
            Change::SetAside { .. } => self.tally.set_aside += 1,
            Change::Excluded { .. } => self.tally.excluded += 1,
            Change::Contributed { .. } => self.tally.contributions += 1,
            _ => {}
        }
    }
}

/// A record with its length on the wire.
pub(super) fn item(record: Record, entry: Verified<Entry>) -> Item {
    let bytes = encode(&record).map_or(0, |bytes| bytes.len());
    Item { record, entry, bytes }
}
