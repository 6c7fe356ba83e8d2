//! Getting blobs from peers, and from the relay when no peer gives them: a pure state machine.
//!
//! A [`Puller`] knows the connected peers and what they announced. It asks for a blob window by window, several windows
//! of several peers at a time, and goes on at the same place with another peer where one breaks off or stalls. Nothing
//! counts before the whole has its id. Whoever alone gave bytes that have not is to be banned; where several gave, the
//! blob is pulled anew from one at a time, so that the liar shows.
//!
//! Events go in by the methods, with the time in milliseconds of any clock that does not go back; what to do comes out of
//! [`Puller::poll`]. It reads no clock, and draws nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lichen_record::{Cid, MAX_BLOB};

use crate::peer::{MAX_CREDIT, Reply, Request};

mod blob;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;

use blob::{Blob, Progress};

/// Most blobs pulled at a time; further ones wait.
const MAX_ACTIVE: usize = 16;

/// Most asks under way at a time, and of one peer.
const MAX_ASKS: usize = 32;
const MAX_ASKS_OF_PEER: usize = 4;

/// A peer that sends nothing for so long has stalled: before the first chunk, and after it.
const FIRST_STALL_MS: u64 = 1_000;
const STALL_MS: u64 = 3_000;

/// How long a peer that had nothing, broke off or stalled is not asked for that blob again, unless it announces
/// it; it doubles each time.
const AGAIN_MS: u64 = 700;

/// How long peers are tried before the relay is asked, and how long until it is asked again.
const RELAY_AFTER_MS: u64 = 1_500;
const RELAY_AGAIN_MS: u64 = 1_000;

/// Announced blobs remembered of one peer; the oldest are forgotten.
const MAX_ANNOUNCED: usize = 1_024;

/// Peers whose announcements are remembered.
const MAX_PEERS: usize = 256;

/// A peer's id, in its binary form.
pub type PeerKey = Vec<u8>;

/// Names one ask of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AskId(pub u64);

/// What the puller wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask this peer; its frames, its end or its failure come back.
    Ask {
        /// Names the ask in what comes back.
        id: AskId,
        /// Whom.
        peer: PeerKey,
        /// What.
        request: Request,
    },
    /// Nothing more is wanted of this ask, and nothing comes back.
    Cancel {
        /// The ask.
        id: AskId,
    },
    /// Ask the relay for the blob; answered by [`Puller::relay_gave`].
    AskRelay {
        /// The blob.
        cid: Cid,
    },
    /// Drop this peer: it sent what is no message, or bytes that are not what their id names.
    Ban {
        /// Whom.
        peer: PeerKey,
    },
    /// The blob is here, checked.
    Got {
        /// The blob.
        cid: Cid,
        /// Its bytes.
        bytes: Vec<u8>,
        /// Where from.
        source: Source,
    },
    /// Nobody gave the blob for as long as one waits; it is pulled no longer.
    Missing {
        /// The blob.
        cid: Cid,
    },
}

/// Where a blob came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From peers, directly.
    Peers,
    /// From the relay.
    Relay,
}

/// Gets blobs.
#[derive(Clone, Debug)]
pub struct Puller {
    patience_ms: u64,
    /// Until when peers are expected though none is connected.
    hope_until: u64,
    connected: BTreeSet<PeerKey>,
    announced: BTreeMap<PeerKey, VecDeque<Cid>>,
    blobs: BTreeMap<Cid, Blob>,
    /// In the order in which they were wanted.
    order: VecDeque<Cid>,
    asks: BTreeMap<AskId, Ask>,
    next_ask: u64,
    actions: VecDeque<Action>,
}

/// A part of a blob under way.
#[derive(Clone, Debug)]
struct Ask {
    cid: Cid,
    peer: PeerKey,
    /// Where the next chunk must begin, and where the window ends.
    next: u64,
    end: u64,
    heard: u64,
    has_begun: bool,
}

impl Puller {
    /// A puller that gives a blob up when it has got no byte of it for so many milliseconds.
    #[must_use]
    pub const fn new(patience_ms: u64) -> Self {
        Self {
            patience_ms,
            hope_until: 0,
            connected: BTreeSet::new(),
            announced: BTreeMap::new(),
            blobs: BTreeMap::new(),
            order: VecDeque::new(),
            asks: BTreeMap::new(),
            next_ask: 0,
            actions: VecDeque::new(),
        }
    }

    /// From now on a blob is given up after so many milliseconds without a byte of it.
    pub const fn set_patience(&mut self, patience_ms: u64) {
        self.patience_ms = patience_ms;
    }

    /// Until then peers are expected, and the relay is asked only after them; a time that is past means that nobody is.
    pub fn hope_for_peers(&mut self, now: u64, until: u64) {
        self.hope_until = until;
        self.pursue(now);
    }

    /// Gets a blob of at most `cap` bytes, and gives up at the time `until` even if bytes still trickle in. Wanted
    /// already, it is wanted once.
    pub fn want(&mut self, now: u64, cid: Cid, cap: usize, until: u64) {
        if let Entry::Vacant(place) = self.blobs.entry(cid) {
            place.insert(Blob::new(cap.min(MAX_BLOB) as u64, until));
            self.order.push_back(cid);
        }
        self.pursue(now);
    }

    /// Gets a blob no longer.
    pub fn forget(&mut self, now: u64, cid: &Cid) {
        self.drop_blob(cid);
        self.pursue(now);
    }

    /// Only these peers are connected directly.
    pub fn connected(&mut self, now: u64, peers: BTreeSet<PeerKey>) {
        let gone: Vec<_> =
            self.asks.iter().filter(|(_id, ask)| !peers.contains(&ask.peer)).map(|(id, _ask)| *id).collect();
        for id in gone {
            self.end(now, id, true);
        }
        self.connected = peers;
        self.pursue(now);
    }

    /// A peer, connected or not, announced that it has these.
    pub fn announced(&mut self, now: u64, peer: &PeerKey, cids: &[Cid]) {
        if !self.announced.contains_key(peer) && self.announced.len() >= MAX_PEERS {
            let connected = &self.connected;
            self.announced.retain(|peer, _cids| connected.contains(peer));
            if self.announced.len() >= MAX_PEERS {
                return;
            }
        }
        let known = self.announced.entry(peer.clone()).or_default();
        for cid in cids {
            if let Some(blob) = self.blobs.get_mut(cid) {
                blob.pardon(peer);
            }
            if !known.contains(cid) {
                known.push_back(*cid);
            }
            if known.len() > MAX_ANNOUNCED {
                known.pop_front();
            }
        }
        self.pursue(now);
    }

    /// A frame came in answer to an ask.
    pub fn frame(&mut self, now: u64, id: AskId, bytes: &[u8]) {
        let Some(ask) = self.asks.get_mut(&id) else { return };
        ask.heard = now;
        ask.has_begun = true;
        match Reply::from_bytes(bytes) {
            Ok(Reply::Chunk { total, offset, bytes }) => self.chunk(now, id, total, offset, &bytes),
            Ok(Reply::Absent) => self.end(now, id, true),
            Err(_no_message) => self.ban_asked(now, id),
        }
        self.pursue(now);
    }

    /// A peer has answered an ask in full.
    pub fn ended(&mut self, now: u64, id: AskId) {
        self.end(now, id, false);
        self.pursue(now);
    }

    /// An ask failed.
    pub fn failed(&mut self, now: u64, id: AskId) {
        self.end(now, id, false);
        self.pursue(now);
    }

    /// The relay answered: with bytes, unchecked, or with nothing.
    pub fn relay_gave(&mut self, now: u64, cid: Cid, bytes: Option<Vec<u8>>) {
        let Some(blob) = self.blobs.get_mut(&cid) else { return };
        blob.is_at_relay = false;
        blob.relay_from = now.saturating_add(RELAY_AGAIN_MS);
        match bytes {
            Some(bytes) if cid.matches(&bytes) => self.got(cid, bytes, Source::Relay),
            _ => self.pursue(now),
        }
    }

    /// Time has passed; call it a few times a second while something is wanted.
    pub fn tick(&mut self, now: u64) {
        let is_stalled = |ask: &Ask| {
            let pause = if ask.has_begun { STALL_MS } else { FIRST_STALL_MS };
            now >= ask.heard.saturating_add(pause)
        };
        let stalled: Vec<_> =
            self.asks.iter().filter(|(_id, ask)| is_stalled(ask)).map(|(id, _ask)| *id).collect();
        for id in stalled {
            self.end(now, id, true);
        }
        self.pursue(now);
    }

    /// What to do next.
    pub fn poll(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.blobs.is_empty()
    }

    fn chunk(&mut self, now: u64, id: AskId, total: u64, offset: u64, bytes: &[u8]) {
        let Some(ask) = self.asks.get_mut(&id) else { return };
        let Some(blob) = self.blobs.get_mut(&ask.cid) else { return };
        let end = offset.saturating_add(bytes.len() as u64);
        if offset != ask.next || end > ask.end || total > blob.cap {
            return self.ban_asked(now, id);
        }
        ask.next = end;
        let (cid, peer, is_end) = (ask.cid, ask.peer.clone(), end == ask.end.min(total));
        match blob.take_in(now, &peer, total, offset, bytes) {
            Progress::More => {
                if is_end {
                    self.end(now, id, true);
                }
            }
            Progress::Contradiction => {
                self.start_over(now, &cid);
                if let Some(blob) = self.blobs.get_mut(&cid) {
                    blob.is_single = true;
                }
            }
            Progress::Whole(bytes) if cid.matches(&bytes) => self.got(cid, bytes, Source::Peers),
            Progress::Whole(_wrong) => self.wrong(now, &cid),
        }
    }

    /// All bytes are here, and are not the blob.
    fn wrong(&mut self, now: u64, cid: &Cid) {
        let Some(blob) = self.blobs.get(cid) else { return };
        if let [liar] = &blob.givers.iter().collect::<Vec<_>>()[..] {
            let liar = (*liar).clone();
            self.ban(now, &liar);
        }
        self.start_over(now, cid);
    }

    /// Somebody lied, or several are at odds: whatever is here is worth nothing, and one at a time is asked.
    fn start_over(&mut self, now: u64, cid: &Cid) {
        for id in self.asks_for(cid) {
            self.end(now, id, true);
        }
        if let Some(blob) = self.blobs.get_mut(cid) {
            blob.start_over();
        }
    }

    fn ban_asked(&mut self, now: u64, id: AskId) {
        if let Some(ask) = self.asks.get(&id) {
            let peer = ask.peer.clone();
            self.ban(now, &peer);
        }
    }

    fn ban(&mut self, now: u64, peer: &PeerKey) {
        self.connected.remove(peer);
        self.announced.remove(peer);
        let of_peer: Vec<_> =
            self.asks.iter().filter(|(_id, ask)| ask.peer == *peer).map(|(id, _ask)| *id).collect();
        for id in of_peer {
            self.end(now, id, true);
        }
        // What it gave is not to be built on.
        for blob in self.blobs.values_mut().filter(|blob| blob.givers.contains(peer)) {
            blob.distrust(peer);
        }
        self.actions.push_back(Action::Ban { peer: peer.clone() });
    }

    /// Ends an ask; the rest of its window is free for others.
    fn end(&mut self, now: u64, id: AskId, is_to_cancel: bool) {
        let Some(ask) = self.asks.remove(&id) else { return };
        if is_to_cancel {
            self.actions.push_back(Action::Cancel { id });
        }
        if let Some(blob) = self.blobs.get_mut(&ask.cid)
            && blob.release(ask.next, ask.end)
        {
            blob.put_off(now, AGAIN_MS, &ask.peer);
            if blob.is_single {
                // The next one is to give the whole.
                blob.start_over();
            }
        }
    }

    fn got(&mut self, cid: Cid, bytes: Vec<u8>, source: Source) {
        self.drop_blob(&cid);
        self.actions.push_back(Action::Got { cid, bytes, source });
    }

    fn drop_blob(&mut self, cid: &Cid) {
        for id in self.asks_for(cid) {
            self.asks.remove(&id);
            self.actions.push_back(Action::Cancel { id });
        }
        self.blobs.remove(cid);
        self.order.retain(|wanted| wanted != cid);
    }

    fn asks_for(&self, cid: &Cid) -> Vec<AskId> {
        self.asks.iter().filter(|(_id, ask)| ask.cid == *cid).map(|(id, _ask)| *id).collect()
    }

    /// Asks whom there is to ask, and gives up what nobody gives.
    fn pursue(&mut self, now: u64) {
        let active: Vec<Cid> = self.order.iter().take(MAX_ACTIVE).copied().collect();
        for cid in active {
            while self.ask_for(now, cid) {}
            self.turn_to_relay(now, cid);
            let is_asked = self.asks.values().any(|ask| ask.cid == cid);
            let Some(blob) = self.blobs.get(&cid) else { continue };
            let waited = blob.since.map_or(0, |since| now.saturating_sub(since));
            let is_under_way = is_asked || blob.is_at_relay;
            let was_at_relay = blob.relay_from > 0;
            if waited >= self.patience_ms && was_at_relay && !is_under_way || now >= blob.until {
                self.drop_blob(&cid);
                self.actions.push_back(Action::Missing { cid });
            }
        }
    }

    /// Asks one more peer for one more window, if there are both.
    fn ask_for(&mut self, now: u64, cid: Cid) -> bool {
        if self.asks.len() >= MAX_ASKS {
            return false;
        }
        let asks = self.asks.values().filter(|ask| ask.cid == cid);
        let asked: BTreeSet<&PeerKey> = asks.map(|ask| &ask.peer).collect();
        let Some(blob) = self.blobs.get(&cid) else { return false };
        if blob.is_single && !asked.is_empty() {
            return false;
        }
        let Some((offset, end)) = blob.free(u64::from(MAX_CREDIT)) else { return false };
        let of_peer = |peer: &PeerKey| self.asks.values().filter(|ask| ask.peer == *peer).count();
        let is_free = |peer: &&PeerKey| {
            !asked.contains(peer) && blob.may_ask(now, peer) && of_peer(peer) < MAX_ASKS_OF_PEER
        };
        let has_announced = |peer: &PeerKey| self.announced.get(peer).is_some_and(|cids| cids.contains(&cid));
        // Spread over those who have it: another order for each blob.
        let turn = |peer: &PeerKey| Cid::of_raw(&[peer.as_slice(), cid.digest()].concat()).to_bytes();
        let best = self
            .connected
            .iter()
            .filter(is_free)
            .min_by_key(|peer| (!has_announced(peer), of_peer(peer), turn(peer)));
        let Some(peer) = best.cloned() else { return false };
        let id = AskId(self.next_ask);
        self.next_ask += 1;
        let credit = u32::try_from(end - offset).unwrap_or(MAX_CREDIT).min(MAX_CREDIT);
        let request = Request::Pull { cid, offset, credit };
        if let Some(blob) = self.blobs.get_mut(&cid) {
            blob.lend(now, offset, end);
        }
        self.asks
            .insert(id, Ask { cid, peer: peer.clone(), next: offset, end, heard: now, has_begun: false });
        self.actions.push_back(Action::Ask { id, peer, request });
        true
    }

    /// The relay is asked when peers had their time, or there are none.
    fn turn_to_relay(&mut self, now: u64, cid: Cid) {
        let has_peers = !self.connected.is_empty();
        let hope_until = self.hope_until;
        let Some(blob) = self.blobs.get_mut(&cid) else { return };
        let since = *blob.since.get_or_insert(now);
        let peers_until = if has_peers { since.saturating_add(RELAY_AFTER_MS) } else { now };
        let peers_until = peers_until.max(hope_until);
        if !blob.is_at_relay && now >= peers_until.max(blob.relay_from) {
            blob.is_at_relay = true;
            self.actions.push_back(Action::AskRelay { cid });
        }
    }
}
