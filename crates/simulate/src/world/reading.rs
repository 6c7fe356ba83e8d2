//! How tabs read the log, and what they do about one that is false.

use std::rc::Rc;

use lichen_log::{Receipt, Replica, ReplicaError, check_receipt};
use lichen_record::{Cid, Verified};
use lichen_round::{ParticipantEvent, Ticket};

use super::{Event, World};
use crate::invariants::{Rule, equal_states};
use crate::prefix::{Item, Prefix};
use crate::settings::Sabotage;
use crate::tab::Holding;

/// An event that changes nothing, after which a participant looks at the state that it was given.
const NUDGE: ParticipantEvent = ParticipantEvent::Appended { ticket: Ticket(u64::MAX) };

/// How long a person takes to open a page again that distrusts its relay, in milliseconds.
const RELOAD_MS: u64 = 5_000;

impl World {
    pub(super) fn take_frame(&mut self, peer: usize, connection: u64, prefix: &Rc<Prefix>) {
        if !self.is_connected(peer, connection) || self.peers[peer].tab.is_none() {
            return;
        }
        let read = self.peers[peer].tab.as_ref().map_or(0, |tab| tab.length());
        self.count_frame(peer, read, prefix);
        self.peers[peer].heard = self.now;
        let settled = self.settled_at(peer);
        let is_taken = match self.peers[peer].folds {
            true => self.fold(peer, prefix),
            false => self.share(peer, prefix),
        };
        if let Err(error) = is_taken {
            return self.distrust(peer, &error.to_string());
        }
        if self.settled_at(peer) != settled {
            self.tidy(peer);
        }
        let Some(tab) = &mut self.peers[peer].tab else { return };
        let event = match std::mem::replace(&mut tab.is_live, true) {
            true => NUDGE,
            false => ParticipantEvent::CaughtUp,
        };
        if !self.peers[peer].folds || event == ParticipantEvent::CaughtUp {
            self.tell(peer, event);
        }
    }

    /// Reads and folds record by record, as a real tab does; the signatures were checked at the relay's door.
    fn fold(&mut self, peer: usize, prefix: &Rc<Prefix>) -> Result<(), ReplicaError> {
        let Some(tab) = &mut self.peers[peer].tab else { return Ok(()) };
        let Holding::Own(Some(known)) = &tab.holding else { return Ok(()) };
        let (replica, items) = read(known, prefix)?;
        tab.holding = Holding::Own(Some(Box::new(replica)));
        for item in items {
            self.take_own_record(peer, &item);
            let late = u64::from(peer == 0 && self.settings.sabotage == Some(Sabotage::LateFold));
            let (time, entry) = (item.record.time + late, item.entry.clone());
            self.tell(peer, ParticipantEvent::Record { time, entry });
            if self.peers[peer].tab.as_ref().is_none_or(|tab| tab.is_distrusting) {
                return Ok(());
            }
        }
        if let Some(tab) = &self.peers[peer].tab {
            let whose = format!("tab {peer}");
            let check = equal_states(tab.participant.state(), &prefix.state.borrow(), &whose);
            self.expect(check);
        }
        Ok(())
    }

    /// Takes over what was read and folded once, unless it contradicts what is here.
    fn share(&mut self, peer: usize, prefix: &Rc<Prefix>) -> Result<(), ReplicaError> {
        let Some(tab) = &mut self.peers[peer].tab else { return Ok(()) };
        let Holding::Shared(known) = &mut tab.holding else { return Ok(()) };
        if let Some(known) = known
            && !prefix.extends(known)
        {
            read(&known.replica, prefix)?;
        }
        *known = Some(Rc::clone(prefix));
        Ok(())
    }

    fn settled_at(&self, peer: usize) -> u64 {
        self.peers[peer].tab.as_ref().map_or(0, |tab| tab.with_state(|state| state.settled()))
    }

    /// What only settled rounds needed is thrown away.
    fn tidy(&mut self, peer: usize) {
        if self.settings.sabotage == Some(Sabotage::Hoarding) {
            let made_up = (0..16_u64).map(|_blob| Cid::of_raw(&self.chance.bytes())).collect::<Vec<_>>();
            made_up.into_iter().for_each(|cid| self.peers[peer].keep(self.now, cid));
            return;
        }
        let account = self.peers[peer].account;
        let Some(tab) = &mut self.peers[peer].tab else { return };
        let kept: Vec<Cid> = tab.with_state(|state| {
            let round = state.round();
            let audited = state.audit_duty(&account).map(|(_round, _whose, audit)| audit.base);
            let all = [state.checkpoint(), state.outer_state(), round.map(|round| round.base()), audited];
            all.into_iter().flatten().chain(round.and_then(|round| round.outer_state())).collect()
        });
        let settled = tab.with_state(|state| state.settled());
        tab.trained.take_if(|(round, _update)| round.0 <= settled);
        if let Some(mesh) = &mut tab.mesh {
            mesh.offered.retain(|cid| kept.contains(cid));
        }
        let initial = self.campaign.initial;
        self.peers[peer].shelf.retain(|cid, _kept| *cid == initial || kept.contains(cid));
    }

    /// The tab believes its relay no longer. Only relays that lie or forget give reason to.
    pub(super) fn distrust(&mut self, peer: usize, why: &str) {
        if !self.ledger.is_relay_false {
            self.fail(Rule::OnlyTheGuilty, format!("tab {peer} distrusts an honest relay: {why}"));
        }
        self.tally.distrusting += 1;
        if let Some(tab) = &mut self.peers[peer].tab {
            tab.is_distrusting = true;
        }
        self.close(peer);
        self.schedule(self.now + RELOAD_MS, Event::Open { peer });
    }

    fn take_own_record(&mut self, peer: usize, item: &Rc<Item>) {
        let person = &mut self.peers[peer];
        if item.entry.account() != person.account {
            return;
        }
        let Some(tab) = &mut person.tab else { return };
        if let Some(pending) = tab.pending.get_mut(&item.entry.id()) {
            pending.record = Some(item.record.clone());
            self.compare_receipt(peer, item.entry.id());
        }
    }

    pub(super) fn take_receipt(&mut self, peer: usize, connection: u64, receipt: Verified<Receipt>) {
        if !self.is_connected(peer, connection) {
            return;
        }
        let Some(tab) = &mut self.peers[peer].tab else { return };
        let id = receipt.get().entry;
        if let Some(pending) = tab.pending.get_mut(&id) {
            pending.receipt = Some(receipt);
            self.compare_receipt(peer, id);
        }
    }

    /// An own entry's record has to be where the receipt says.
    fn compare_receipt(&mut self, peer: usize, id: Cid) {
        let coordinator = self.relay.account();
        let Some(tab) = &mut self.peers[peer].tab else { return };
        let Some(pending) = tab.pending.get(&id) else { return };
        let (Some(record), Some(receipt)) = (&pending.record, &pending.receipt) else { return };
        let checked = check_receipt(receipt, record, &coordinator);
        tab.pending.remove(&id);
        if let Err(error) = checked {
            self.distrust(peer, &error.to_string());
        }
    }
}

/// The replica after a frame, and what it brought; the frame counts as a whole or not at all.
fn read(known: &Replica, prefix: &Prefix) -> Result<(Replica, Vec<Rc<Item>>), ReplicaError> {
    let mut replica = known.clone();
    let from = usize::try_from(replica.length()).unwrap_or(usize::MAX);
    let items = prefix.branch.range(from.min(prefix.length()), prefix.length());
    replica.believe_checked(Ok(prefix.head.clone()), items.len())?;
    for item in &items {
        replica.take_checked(&item.record, Ok(item.entry.clone()))?;
    }
    Ok((replica, items))
}
