//! What befalls tabs and relays.

use std::cell::RefCell;
use std::rc::Rc;

use lichen_log::{Authority, Chain, Replica};
use lichen_round::{CampaignState, CoordinatorEvent, ParticipantEvent};

use super::{Event, World};
use crate::invariants::Rule;
use crate::plan::Mishap;
use crate::prefix::Prefix;
use crate::relay::Ask;
use crate::settings::Sabotage;

/// How long a relay hears nothing of somebody before it takes the connection for dead, in milliseconds.
const DEAD_AFTER_MS: u64 = 10_000;

impl World {
    pub(super) fn befall(&mut self, place: usize) {
        let Some((_at, mishap)) = self.plan.get(place).copied() else { return };
        self.tally.mishaps += 1;
        if self.settings.trace {
            eprintln!("{:>7} mishap {place}: {mishap:?}", self.now - super::BEGINNING_MS);
        }
        match mishap {
            Mishap::Kill { peer, for_ms, is_torn } => {
                self.tear(peer, is_torn);
                self.close(peer);
                self.schedule(self.now + for_ms, Event::Open { peer });
            }
            Mishap::CutOff { peer } => self.cut_off(peer),
            Mishap::Sleep { peer, for_ms } => self.sleep(peer, for_ms),
            Mishap::Part { from, count, is_up, is_down, for_ms } => {
                for step in 0..count.min(self.peers.len()) {
                    let peer = (from + step) % self.peers.len();
                    self.part(peer, is_up, is_down, for_ms);
                }
            }
            Mishap::Pause { peer, for_ms } => {
                self.tell(peer, ParticipantEvent::Pause);
                let life = self.peers[peer].life;
                self.schedule(self.now + for_ms, Event::Resume { peer, life });
            }
            Mishap::Leave { peer, for_ms } => {
                self.tell(peer, ParticipantEvent::Leave);
                self.schedule(self.now + for_ms, Event::Open { peer });
            }
            Mishap::Restart { for_ms, clock_ms } => {
                if self.settings.sabotage == Some(Sabotage::SilentLoss) {
                    self.relay.written = self.relay.written.saturating_sub(3).max(1).min(self.relay.written);
                    self.relay.branch = Rc::new(self.relay.branch.cut(self.relay.written));
                }
                self.kill_relay(for_ms, clock_ms);
            }
            Mishap::TakeOver { for_ms } => self.take_over(for_ms),
            Mishap::GoBack { rounds } => {
                let to = lichen_record::RoundNumber(self.relay.state().settled().saturating_sub(rounds));
                self.ask(Ask::Event(Box::new(CoordinatorEvent::GoBack { to })));
            }
            Mishap::LoseWrites { records } => {
                let length = self.relay.written.saturating_sub(records).max(1).min(self.relay.written);
                self.relay.branch = Rc::new(self.relay.branch.cut(length));
                self.relay.written = length;
                self.ledger.truncate(length);
                self.kill_relay(500, 0);
            }
            Mishap::Equivocate { peer } => self.equivocate(peer),
            Mishap::Attack { kind } => self.attack(kind),
        }
    }

    /// What the tab wrote last is not whole on its disk.
    fn tear(&mut self, peer: usize, is_torn: bool) {
        let shelf = &mut self.peers[peer].shelf;
        if let Some((_cid, kept)) = shelf.iter_mut().max_by_key(|(_cid, kept)| kept.at)
            && kept.at > 0
        {
            kept.is_torn = is_torn;
        }
    }

    fn sleep(&mut self, peer: usize, for_ms: u64) {
        let until = self.now + for_ms;
        let person = &mut self.peers[peer];
        person.asleep_until = person.asleep_until.max(until);
        let (life, connection) = (person.life, person.connection);
        if for_ms > DEAD_AFTER_MS && connection != 0 {
            self.schedule(self.now + DEAD_AFTER_MS, Event::Gone { peer, connection });
        }
        // Before whatever waits for it.
        self.schedule(until, Event::Awake { peer, life, connection });
    }

    fn part(&mut self, peer: usize, is_up: bool, is_down: bool, for_ms: u64) {
        let until = self.now + for_ms;
        let person = &mut self.peers[peer];
        if is_up {
            person.up_from = person.up_from.max(until);
        }
        if is_down {
            person.down_from = person.down_from.max(until);
        }
        let connection = person.connection;
        if (is_up || is_down) && for_ms > DEAD_AFTER_MS && connection != 0 {
            self.schedule(self.now + DEAD_AFTER_MS, Event::Gone { peer, connection });
        }
    }

    /// The relay is gone, with all that it had not written.
    fn kill_relay(&mut self, for_ms: u64, clock_ms: i64) {
        self.relay.life += 1;
        self.relay.is_up = false;
        self.relay.batch = None;
        self.relay.inbox.clear();
        (self.relay.is_turn_due, self.relay.is_push_due) = (false, false);
        self.relay.sessions.clear();
        self.relay.following.clear();
        self.relay.here.clear();
        self.relay.allowances.clear();
        self.relay.clock = self.relay.clock.saturating_add(clock_ms);
        self.pardoned += for_ms + self.deadline_ms();
        // Nobody heard of what lies behind this.
        self.ledger.forget_unwritten(self.relay.written);
        let branch = &self.relay.branch;
        if branch.len() > self.relay.written {
            self.relay.branch = Rc::new(branch.cut(self.relay.written));
            self.follow_branch();
        }
        for peer in 0..self.peers.len() {
            self.cut_off(peer);
        }
        let life = self.relay.life;
        self.schedule(self.now + for_ms, Event::RelayStarts { life });
    }

    /// What tabs hold of the log that was cut behind what they have read is a part of the new one.
    fn follow_branch(&mut self) {
        let branch = &self.relay.branch;
        let Some(shown) = &self.relay.shown else { return };
        let state = RefCell::new(shown.state.borrow().clone());
        let (replica, head, bytes) = (shown.replica.clone(), shown.head.clone(), shown.bytes);
        let moved = Rc::new(Prefix { branch: Rc::clone(branch), replica, head, state, bytes });
        self.relay.shown = Some(moved);
    }

    pub(super) fn relay_starts(&mut self, life: u64) {
        if self.relay.life != life || self.relay.is_up {
            return;
        }
        self.tally.starts += 1;
        let (written, account) = (self.relay.written, self.relay.account());
        // What was shown of a longer log is shown no more.
        if self.relay.reader.length() > written as u64 {
            let (id, initial) = (self.campaign.id, self.campaign.initial);
            self.relay.reader = Replica::new(id, Authority::Account(account), initial);
            self.relay.shown = None;
        }
        self.start_relay();
        if !self.relay.is_push_due {
            self.relay.is_push_due = true;
            let life = self.relay.life;
            self.schedule(self.now + 1, Event::Push { life });
        }
    }

    /// Another relay has followed this one, and checked every record by itself. It has the key, and all that was written.
    fn take_over(&mut self, for_ms: u64) {
        let account = self.relay.account();
        let mut replica = Replica::new(self.campaign.id, Authority::Account(account), self.campaign.initial);
        let mut state = CampaignState::new(self.campaign.id, self.campaign.rules);
        let mut copy = Vec::new();
        for item in self.relay.branch.range(0, self.relay.written) {
            let is_right = replica.take_checked(&item.record, Ok(item.entry.clone())).is_ok()
                && state.apply(item.record.time, &item.entry).is_ok();
            if !is_right {
                return self.fail(Rule::EqualStates, "a follower cannot read what it is shown".into());
            }
            copy.push(item);
        }
        self.kill_relay(for_ms, 0);
        // It counts its own time, and has looked at no update.
        self.relay.clock = 0;
        self.relay.checked.clear();
    }

    /// A tab is shown a log that nobody else is: the last record of another's has another time in it.
    fn equivocate(&mut self, peer: usize) {
        self.ledger.is_relay_false = true;
        let written = self.relay.written;
        if !self.relay.is_up || written < 2 || self.peers[peer].connection == 0 {
            return;
        }
        let items = self.relay.branch.range(0, written - 1);
        let fork = Rc::new(self.relay.branch.cut(written - 1));
        let (id, account) = (self.campaign.id, self.relay.account());
        let mut replica = Replica::new(id, Authority::Account(account), self.campaign.initial);
        let mut state = CampaignState::new(id, self.campaign.rules);
        for item in &items {
            let _read = replica.take_checked(&item.record, Ok(item.entry.clone()));
            let _folded = state.apply(item.record.time, &item.entry);
        }
        let mut chain: Chain = replica.clone().into_chain();
        let Some(last) = self.relay.branch.get(written - 1) else { return };
        let time = last.record.time + 1;
        let Ok((record, _receipt)) = chain.append(time, &last.entry) else { return };
        let Some(head) = self.signed(*chain.head()) else { return };
        let _read = replica.take_checked(&record, Ok(last.entry.clone()));
        let _covered = replica.believe_checked(Ok(head.clone()), 0);
        if state.apply(time, &last.entry).is_err() {
            return;
        }
        fork.push(Rc::new(super::ordering::item(record, last.entry.clone())));
        self.check_evidence(&head);
        let bytes = self.relay.shown.as_ref().map_or(0, |shown| shown.bytes);
        let state = RefCell::new(state);
        let prefix = Rc::new(Prefix { branch: fork, replica, head, state, bytes });
        self.send_frame(peer, &prefix);
    }

    /// Two signed heads of one length and with different hashes: whoever has both knows who lied, and nobody else is named.
    fn check_evidence(&mut self, forked: &lichen_record::Verified<lichen_log::Head>) {
        let Some(honest) = self.signed(*self.relay.chain.head()) else { return };
        if honest.get().length == forked.get().length && honest.get().hash == forked.get().hash {
            self.fail(Rule::OnlyTheGuilty, "a fork has the hash of the log that it forks".into());
        }
        let names = [honest.account(), forked.account()];
        if names != [self.relay.account(); 2] {
            self.fail(Rule::OnlyTheGuilty, "a fork names somebody else than the relay".into());
        }
    }
}

impl Mishap {
    /// How long it and what comes of it last, in milliseconds.
    pub(crate) const fn lasts(&self) -> u64 {
        match self {
            Self::Kill { for_ms, .. }
            | Self::Sleep { for_ms, .. }
            | Self::Part { for_ms, .. }
            | Self::Pause { for_ms, .. }
            | Self::Leave { for_ms, .. }
            | Self::Restart { for_ms, .. }
            | Self::TakeOver { for_ms } => *for_ms,
            Self::CutOff { .. }
            | Self::GoBack { .. }
            | Self::LoseWrites { .. }
            | Self::Equivocate { .. }
            | Self::Attack { .. } => 3_000,
        }
    }
}
