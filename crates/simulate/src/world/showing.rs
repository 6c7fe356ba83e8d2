//! What the relay shows: prefixes of its log, each read and checked once as anybody reads it.

use std::cell::RefCell;
use std::rc::Rc;

use lichen_log::Head;
use lichen_record::{Verified, verify};

use super::{Event, World};
use crate::invariants::{Rule, equal_states};
use crate::prefix::Prefix;

/// Bytes of a frame besides its records: the signed head, and what holds them together.
const FRAME_BYTES: u64 = 260;

/// Most records in one frame.
const MAX_RECORDS: usize = lichen_net::hub::MAX_RECORDS;

impl World {
    /// Tells every connected tab what is new. A relay that is ordering does so when it has written.
    pub(super) fn push(&mut self, life: u64) {
        if self.relay.life != life || !self.relay.is_up {
            return;
        }
        if self.relay.batch.is_some() {
            return self.schedule(self.now + 1, Event::Push { life });
        }
        self.relay.is_push_due = false;
        let Some(prefix) = self.prefix() else { return };
        self.relay.shown = Some(Rc::clone(&prefix));
        let following: Vec<(usize, u64)> =
            self.relay.following.iter().map(|(peer, connection)| (*peer, *connection)).collect();
        for (peer, connection) in following {
            if self.is_connected(peer, connection) {
                self.send_frame(peer, &prefix);
            }
        }
    }

    /// All that is written, read from where the last one ends.
    fn prefix(&mut self) -> Option<Rc<Prefix>> {
        let head = self.signed(*self.relay.chain.head())?;
        let from = usize::try_from(self.relay.reader.length()).unwrap_or(usize::MAX);
        let items = self.relay.branch.range(from, self.relay.written);
        let mut replica = self.relay.reader.clone();
        let mut is_read = replica.believe_checked(Ok(head.clone()), items.len()).map(drop);
        for item in &items {
            is_read =
                is_read.and_then(|()| replica.take_checked(&item.record, Ok(item.entry.clone())).map(drop));
        }
        if let Err(error) = is_read {
            self.fail(Rule::EqualStates, format!("what the relay shows cannot be read: {error}"));
            return None;
        }
        let before = self.relay.shown.as_ref().map_or(0, |shown| shown.bytes);
        let bytes = before + items.iter().map(|item| item.bytes as u64).sum::<u64>();
        self.relay.reader = replica.clone();
        let state = RefCell::new(self.relay.state().clone());
        Some(Rc::new(Prefix { branch: Rc::clone(&self.relay.branch), replica, head, state, bytes }))
    }

    pub(super) fn signed(&mut self, head: Head) -> Option<Verified<Head>> {
        let signed: Verified<Head> = verify(&self.relay.key.sign(&head).unwrap()).ok()?;
        self.heads.push(signed.clone());
        if self.heads.len() > 64 {
            self.heads.remove(0);
        }
        Some(signed)
    }

    /// What a frame weighs for whom has read so many records.
    pub(super) fn count_frame(&mut self, peer: usize, read: usize, prefix: &Rc<Prefix>) {
        let (to, from) = (prefix.length(), read.min(prefix.length()));
        // Whoever has read nothing gets all; for others the mean of what lies between would do, but the items are at hand.
        let records = match from {
            0 => prefix.bytes,
            _ => prefix.branch.range(from, to).iter().map(|item| item.bytes as u64).sum(),
        };
        let frames = (to - from).div_ceil(MAX_RECORDS).max(1) as u64;
        let traffic = &mut self.peers[peer].traffic;
        traffic.log_down += records + frames * FRAME_BYTES;
        traffic.messages += frames;
    }

    /// Folds the whole log again with nothing kept, at the end of a run.
    pub(super) fn fold_again(&mut self) {
        let mut state = lichen_round::CampaignState::new(self.campaign.id, self.campaign.rules);
        for item in self.relay.branch.range(0, self.relay.branch.len()) {
            if let Err(refusal) = state.apply(item.record.time, &item.entry) {
                return self
                    .fail(Rule::EqualStates, format!("the log is refused when it is read again: {refusal}"));
            }
        }
        let check = equal_states(&state, self.relay.state(), "whoever reads it again");
        self.expect(check);
    }
}
