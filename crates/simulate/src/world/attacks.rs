//! Harm that is done from outside of tabs, or by their people beside them.

use lichen_record::{Entry, verify};

use super::World;
use crate::hostile::entry;

/// Entries of a flood, and how often each is sent: together more than one account may append in a minute.
const FLOOD: u64 = 16;
const TIMES: u64 = 20;

impl World {
    /// Somebody signs whatever may do harm.
    pub(super) fn attack(&mut self, kind: u64) {
        let (flood, times) = if kind.is_multiple_of(16) { (FLOOD, TIMES) } else { (1, 1) };
        for step in 0..flood {
            let kind = kind.wrapping_add(step);
            let strangers = self.strangers.len();
            let place = usize::try_from(kind % 7).unwrap_or(0);
            // The account of a tab now and then, so that what it says beside its tab meets that.
            let hostile = self.peers.iter().position(|peer| peer.bent.is_some());
            let key = match hostile.filter(|_peer| place >= strangers) {
                Some(peer) => self.peers[peer].key.clone(),
                None => self.strangers[place % strangers].clone(),
            };
            let lie = entry(kind / 16, self.relay.state(), &key.account());
            if kind.is_multiple_of(5) {
                self.serve_lie(&lie);
            }
            if let Ok(signed) = verify::<Entry>(&key.sign(&lie).unwrap()) {
                (0..times).for_each(|_time| self.receive_from_stranger(signed.clone()));
            }
            if kind.is_multiple_of(11) {
                self.replay();
            }
        }
    }

    /// Whoever lies may put what it promises at the relay.
    fn serve_lie(&mut self, lie: &Entry) {
        let named = match lie {
            Entry::Attestation { result, state, .. } => [Some(*result), *state],
            Entry::Contribution { update, .. } => [Some(*update), None],
            _ => [None, None],
        };
        self.relay.pinned.extend(named.into_iter().flatten());
    }

    /// An entry of somebody else's, as it stands in the log, once more.
    fn replay(&mut self) {
        let length = self.relay.branch.len();
        let place = self.chance.place(length);
        let Some(item) = self.relay.branch.get(place) else { return };
        self.receive_from_stranger(item.entry.clone());
    }
}
