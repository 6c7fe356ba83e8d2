//! One blob that arrives in chunks, perhaps from several peers.

use std::collections::{BTreeMap, BTreeSet};

use super::PeerKey;

/// A blob on its way, in parts.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    /// Most bytes that it may have.
    pub(super) cap: u64,
    /// When it is given up at the latest.
    pub(super) until: u64,
    /// When it was first asked for, or more of it was here than ever before.
    pub(super) since: Option<u64>,
    /// Whether the relay is being asked.
    pub(super) is_at_relay: bool,
    /// When the relay may be asked next.
    pub(super) relay_from: u64,
    /// Whom not to ask before when, and how often it was asked in vain.
    put_off: BTreeMap<PeerKey, (u64, u32)>,
    /// Who gave the bytes that are here.
    pub(super) givers: BTreeSet<PeerKey>,
    /// Whether somebody lied before: one peer alone is to give the whole.
    pub(super) is_single: bool,
    /// Most bytes of it that were here at a time.
    best: u64,
    /// Its length, as its first giver says.
    total: Option<u64>,
    /// What is here: runs of bytes by where they begin, apart from each other.
    parts: BTreeMap<u64, Vec<u8>>,
    /// What is asked for and not here: ends of windows by their beginnings.
    lent: BTreeMap<u64, u64>,
}

/// What came of a chunk.
pub(super) enum Progress {
    /// More is wanted.
    More,
    /// It does not fit what others said.
    Contradiction,
    /// All of it is here.
    Whole(Vec<u8>),
}

impl Blob {
    pub(super) const fn new(cap: u64, until: u64) -> Self {
        Self {
            cap,
            until,
            since: None,
            is_at_relay: false,
            relay_from: 0,
            put_off: BTreeMap::new(),
            givers: BTreeSet::new(),
            is_single: false,
            best: 0,
            total: None,
            parts: BTreeMap::new(),
            lent: BTreeMap::new(),
        }
    }

    /// Whether this peer may be asked now; where one alone is to give the whole, only the one that has begun.
    pub(super) fn may_ask(&self, now: u64, peer: &PeerKey) -> bool {
        let is_turn = !self.is_single || self.givers.is_empty() || self.givers.contains(peer);
        is_turn && self.put_off.get(peer).is_none_or(|(from, _times)| now >= *from)
    }

    /// This peer was asked in vain.
    pub(super) fn put_off(&mut self, now: u64, pause: u64, peer: &PeerKey) {
        let times = self.put_off.get(peer).map_or(0, |(_from, times)| *times);
        let from = now.saturating_add(pause << times.min(6));
        self.put_off.insert(peer.clone(), (from, times.saturating_add(1)));
    }

    /// This peer says that it has the blob now.
    pub(super) fn pardon(&mut self, peer: &PeerKey) {
        self.put_off.remove(peer);
    }

    /// The first window that is neither here nor asked for; before the length is known there is only the first.
    pub(super) fn free(&self, longest: u64) -> Option<(u64, u64)> {
        let Some(total) = self.total else {
            return self.lent.is_empty().then_some((0, longest));
        };
        let mut taken: Vec<(u64, u64)> = self.lent.iter().map(|(start, end)| (*start, *end)).collect();
        taken.extend(self.parts.iter().map(|(start, bytes)| (*start, start + bytes.len() as u64)));
        taken.sort_unstable();
        let mut at = 0;
        for (start, end) in taken {
            if start > at {
                return Some((at, start.min(at + longest)));
            }
            at = at.max(end);
        }
        (at < total).then_some((at, total.min(at + longest)))
    }

    /// Notes that a window is asked for.
    pub(super) fn lend(&mut self, now: u64, start: u64, end: u64) {
        self.since.get_or_insert(now);
        self.lent.insert(start, end);
    }

    /// Notes that what is left of a window is asked for no longer; whether anything was left.
    pub(super) fn release(&mut self, next: u64, end: u64) -> bool {
        self.lent.retain(|_start, lent_end| *lent_end != end);
        let last = self.total.map_or(end, |total| end.min(total));
        next < last
    }

    /// Takes in a chunk of a window that is lent; it begins where the one before ended.
    pub(super) fn take_in(
        &mut self,
        now: u64,
        peer: &PeerKey,
        total: u64,
        offset: u64,
        bytes: &[u8],
    ) -> Progress {
        if *self.total.get_or_insert(total) != total {
            return Progress::Contradiction;
        }
        self.givers.insert(peer.clone());
        // The window's beginning moves to where it is not filled yet.
        if let Some(end) = self.lent.remove(&offset) {
            let next = offset + bytes.len() as u64;
            if next < end.min(total) {
                self.lent.insert(next, end);
            }
        }
        let before = self.parts.range_mut(..offset).next_back();
        match before {
            Some((start, part)) if start + part.len() as u64 == offset => part.extend_from_slice(bytes),
            _ => {
                self.parts.insert(offset, bytes.to_vec());
            }
        }
        let held = self.parts.values().map(|part| part.len() as u64).sum::<u64>();
        if held > self.best {
            self.best = held;
            self.since = Some(now);
        }
        if held < total {
            return Progress::More;
        }
        let parts = std::mem::take(&mut self.parts);
        let parts: Vec<Vec<u8>> = parts.into_values().collect();
        Progress::Whole(parts.concat())
    }

    /// Nothing of what this peer gave is to be built on.
    pub(super) fn distrust(&mut self, peer: &PeerKey) {
        self.givers.remove(peer);
        self.start_over();
    }

    /// Forgets what is here.
    pub(super) fn start_over(&mut self) {
        self.is_single |= self.givers.len() > 1;
        self.givers.clear();
        self.total = None;
        self.parts.clear();
    }
}
