//! A tab's part in a campaign's mesh: what it pulls from peers, and what it serves them.
//!
//! The pulling itself is decided by [`lichen_net::pull::Puller`]; here its asks become commands for the swarm, and whoever
//! waits for a blob is told. In a hub campaign nothing of this happens.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use lichen_bridge::Event;
use lichen_campaign::Transport;
use lichen_net::peer::{Announcement, MAX_HAVE, Reply, Request};
use lichen_net::pull::{Action, AskId, PeerKey, Puller, Source};
use lichen_net::{Command, InboundId, Path, Peer, RequestId};
use lichen_record::Cid;

use crate::hub::{Hub, Outbox};

/// Longest wait for a byte of a blob before it is said to be unavailable, in milliseconds.
const PATIENCE_MS: u64 = 2_500;

/// How long after meeting peers are expected, in milliseconds.
const MEETING_MS: u64 = 4_000;

/// Blobs held in memory to serve them in parts.
const HELD: usize = 4;

/// What a mesh brings to one tab.
pub(crate) struct Mesh {
    is_on: bool,
    out: Outbox,
    hub: Rc<Hub>,
    /// Most bytes of an update or a checkpoint of this campaign.
    cap: usize,
    /// How long a round's updates may take altogether, in milliseconds.
    limit_ms: u64,
    puller: RefCell<Puller>,
    asks: RefCell<Asks>,
    waiting: RefCell<BTreeMap<Cid, Vec<UnboundedSender<Note>>>>,
    peers: RefCell<BTreeSet<PeerKey>>,
    /// How many others can be found, as the relay said last.
    found: Cell<u32>,
    /// Peers of the campaign to which there is no direct path.
    out_of_reach: RefCell<BTreeSet<PeerKey>>,
    relay_only: Cell<bool>,
    /// Blobs on this device that peers may pull.
    offered: RefCell<BTreeSet<Cid>>,
    /// Of these, what is not announced yet.
    unannounced: RefCell<Vec<Cid>>,
    /// The own update, until the relay has a copy of it.
    unpinned: Cell<Option<Cid>>,
    answering: RefCell<BTreeSet<InboundId>>,
    held: RefCell<Vec<(Cid, Rc<Vec<u8>>)>>,
    /// The last settled round's result.
    latest: Cell<Option<Cid>>,
    /// What that round started from, for peers that are a round behind.
    before: RefCell<Option<(Cid, Rc<Vec<u8>>)>>,
    tally: Cell<Tally>,
    shown: Cell<Tally>,
}

#[derive(Default)]
struct Asks {
    by_request: BTreeMap<RequestId, AskId>,
    by_ask: BTreeMap<AskId, RequestId>,
}

/// Bytes of updates and checkpoints by where they came from, and peers dropped for wrong bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    direct: u64,
    relayed: u64,
    banned: u32,
}

/// What becomes of a blob that is waited for.
pub(crate) enum Note {
    /// It is here, checked.
    Got(Vec<u8>),
    /// Whoever waits is to ask the relay for it.
    AskRelay,
    /// Nobody has it.
    Missing,
}

/// A request of a peer that can be served.
pub(crate) struct Serving {
    id: InboundId,
    pub(crate) cid: Cid,
    offset: u64,
    credit: u32,
}

impl Mesh {
    /// `cap` is the most bytes of an update or a checkpoint, `deadline_ms` the rounds' deadline.
    pub(crate) fn new(out: Outbox, hub: Rc<Hub>, transport: Transport, cap: usize, deadline_ms: u64) -> Self {
        Self {
            is_on: transport == Transport::Peers,
            out,
            hub,
            cap,
            limit_ms: deadline_ms / 2,
            puller: RefCell::new(Puller::new(PATIENCE_MS.min(deadline_ms / 4))),
            asks: RefCell::default(),
            waiting: RefCell::default(),
            peers: RefCell::default(),
            found: Cell::new(0),
            out_of_reach: RefCell::default(),
            relay_only: Cell::new(false),
            offered: RefCell::default(),
            unannounced: RefCell::default(),
            unpinned: Cell::new(None),
            answering: RefCell::default(),
            held: RefCell::default(),
            latest: Cell::new(None),
            before: RefCell::default(),
            tally: Cell::default(),
            shown: Cell::default(),
        }
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.is_on
    }

    /// How long a round's updates may take altogether, in milliseconds.
    pub(crate) const fn limit_ms(&self) -> u64 {
        self.limit_ms
    }

    // Peers.

    /// Takes part in the mesh, with or without connections to peers.
    pub(crate) fn meet(&self, now: u64, campaign: lichen_record::CampaignId, relay_only: bool) {
        self.relay_only.set(relay_only);
        self.found.set(0);
        if self.is_on {
            let hope = if relay_only { now } else { now.saturating_add(MEETING_MS) };
            self.puller.borrow_mut().hope_for_peers(now, hope);
            self.tell(Command::Meet { campaign, relay_only });
        }
    }

    pub(crate) fn peers_changed(&self, now: u64, peers: &[Peer]) {
        let direct = peers.iter().filter(|peer| peer.path == Path::Direct);
        let direct: BTreeSet<PeerKey> = direct.map(|peer| peer.peer.clone()).collect();
        if !self.is_on || *self.peers.borrow() == direct {
            return;
        }
        let has_new = !direct.is_subset(&self.peers.borrow());
        self.out_of_reach.borrow_mut().retain(|peer| !direct.contains(peer));
        self.peers.replace(direct.clone());
        self.puller.borrow_mut().connected(now, direct);
        if has_new {
            // Who came now has heard no announcement.
            self.unannounced.replace(self.offered.borrow().iter().copied().collect());
        }
        self.carry_out();
    }

    /// So many others can be found. Where there are none, nobody is waited for; the first ones get their time from now.
    pub(crate) fn found(&self, now: u64, others: u32) {
        let is_first = self.found.replace(others) == 0;
        if others == 0 {
            self.expect_nobody(now);
        } else if is_first && !self.relay_only.get() {
            self.puller.borrow_mut().hope_for_peers(now, now.saturating_add(MEETING_MS));
            self.carry_out();
        }
    }

    /// Asks the relay at once for what nobody is there to give.
    fn expect_nobody(&self, now: u64) {
        if self.peers.borrow().is_empty() {
            self.puller.borrow_mut().hope_for_peers(now, 0);
            self.carry_out();
        }
    }

    /// To this one there is no direct path. Once that is so for all who can be found, nobody is waited for.
    pub(crate) fn no_direct_path(&self, now: u64, peer: PeerKey) {
        let mut out_of_reach = self.out_of_reach.borrow_mut();
        if self.is_on && out_of_reach.len() < 1_024 && !self.peers.borrow().contains(&peer) {
            out_of_reach.insert(peer);
        }
        let is_alone = out_of_reach.len() >= self.found.get() as usize;
        drop(out_of_reach);
        if is_alone {
            self.expect_nobody(now);
        }
    }

    pub(crate) fn announced(&self, now: u64, peer: &PeerKey, bytes: &[u8]) {
        if !self.is_on {
            return;
        }
        match Announcement::from_bytes(bytes) {
            Ok(Announcement::Have { cids }) => self.puller.borrow_mut().announced(now, peer, &cids),
            Err(_no_announcement) => self.ban(peer.clone()),
        }
        self.carry_out();
    }

    fn ban(&self, peer: PeerKey) {
        self.count(|tally| tally.banned = tally.banned.saturating_add(1));
        self.tell(Command::Ban { peer });
    }

    // Pulling.

    /// Waits for a blob from peers, or from the relay at last, until a time of this device's clock.
    pub(crate) fn want(self: &Rc<Self>, now: u64, cid: Cid, until: u64) -> Wanted {
        let (sender, notes) = unbounded();
        self.waiting.borrow_mut().entry(cid).or_default().push(sender);
        self.puller.borrow_mut().want(now, cid, self.cap, until);
        self.carry_out();
        Wanted { mesh: Rc::clone(self), cid, notes }
    }

    /// What the relay answered to whoever was told to ask it.
    pub(crate) fn relay_gave(&self, now: u64, cid: Cid, bytes: Option<Vec<u8>>) {
        self.puller.borrow_mut().relay_gave(now, cid, bytes);
        self.carry_out();
    }

    pub(crate) fn tick(&self, now: u64) {
        self.puller.borrow_mut().tick(now);
        self.carry_out();
    }

    /// Whether this request is one of a peer, not of the hub.
    pub(crate) fn is_asking(&self, id: RequestId) -> bool {
        self.asks.borrow().by_request.contains_key(&id)
    }

    /// Takes in a frame of a peer.
    pub(crate) fn frame(&self, now: u64, id: RequestId, bytes: &[u8]) {
        let Some(ask) = self.asks.borrow().by_request.get(&id).copied() else { return };
        self.puller.borrow_mut().frame(now, ask, bytes);
        self.carry_out();
    }

    /// Takes in that an ask is over, or failed.
    pub(crate) fn ended(&self, now: u64, id: RequestId) {
        let Some(ask) = self.asks.borrow_mut().by_request.remove(&id) else { return };
        self.asks.borrow_mut().by_ask.remove(&ask);
        self.puller.borrow_mut().ended(now, ask);
        self.carry_out();
    }

    fn carry_out(&self) {
        loop {
            let Some(action) = self.puller.borrow_mut().poll() else { return };
            match action {
                Action::Ask { id, peer, request } => self.ask(id, peer, request),
                Action::Cancel { id } => {
                    let request = self.asks.borrow_mut().by_ask.remove(&id);
                    if let Some(request) = request {
                        self.asks.borrow_mut().by_request.remove(&request);
                        self.tell(Command::Cancel { id: request });
                    }
                }
                Action::AskRelay { cid } => self.note_first(&cid, Note::AskRelay),
                Action::Ban { peer } => self.ban(peer),
                Action::Got { cid, bytes, source } => self.got(&cid, &bytes, source),
                Action::Missing { cid } => {
                    for waiting in self.waiting.borrow_mut().remove(&cid).unwrap_or_default() {
                        let _gone = waiting.unbounded_send(Note::Missing);
                    }
                }
            }
        }
    }

    fn ask(&self, ask: AskId, peer: PeerKey, request: Request) {
        let id = self.hub.next_id();
        let mut asks = self.asks.borrow_mut();
        asks.by_request.insert(id, ask);
        asks.by_ask.insert(ask, id);
        // A request holds an id and two numbers: it always has a form.
        self.tell(Command::Ask { id, peer, bytes: request.to_bytes().unwrap_or_default() });
    }

    fn got(&self, cid: &Cid, bytes: &[u8], source: Source) {
        let length = bytes.len() as u64;
        self.count(|tally| match source {
            Source::Peers => tally.direct = tally.direct.saturating_add(length),
            Source::Relay => tally.relayed = tally.relayed.saturating_add(length),
        });
        for waiting in self.waiting.borrow_mut().remove(cid).unwrap_or_default() {
            let _gone = waiting.unbounded_send(Note::Got(bytes.to_vec()));
        }
    }

    fn note_first(&self, cid: &Cid, note: Note) {
        if let Some(first) = self.waiting.borrow().get(cid).and_then(|waiting| waiting.first()) {
            let _gone = first.unbounded_send(note);
        }
    }

    // Serving.

    /// Lets peers pull a blob that is on this device.
    pub(crate) fn offer(&self, cid: Cid) {
        if self.is_on && self.offered.borrow_mut().insert(cid) {
            self.unannounced.borrow_mut().push(cid);
        }
    }

    /// Tells peers what is new here.
    pub(crate) fn announce(&self) {
        let unannounced = self.unannounced.take();
        if self.peers.borrow().is_empty() {
            return;
        }
        for cids in unannounced.chunks(MAX_HAVE) {
            if let Ok(bytes) = (Announcement::Have { cids: cids.to_vec() }).to_bytes() {
                self.tell(Command::Announce { bytes });
            }
        }
    }

    /// Offers nothing any more but a settled round's result, and the result before it, which whoever is joining may be
    /// asking for; the other blobs that were offered, and that earlier result, if it is to be held from now on.
    pub(crate) fn settled(&self, result: Cid) -> (Vec<Cid>, Option<Cid>) {
        let before = self.latest.replace(Some(result)).filter(|before| self.is_on && *before != result);
        let is_kept = |cid: &Cid| *cid == result || Some(*cid) == before;
        self.unannounced.borrow_mut().retain(is_kept);
        self.held.borrow_mut().retain(|(held, _bytes)| is_kept(held));
        self.unpinned.set(None);
        let mut offered = self.offered.borrow_mut();
        let useless = offered.iter().copied().filter(|offered| !is_kept(offered)).collect();
        offered.retain(is_kept);
        (useless, before)
    }

    /// Holds the result before the last in memory, since it is removed from the device.
    pub(crate) fn hold_before(&self, cid: Cid, bytes: Vec<u8>) {
        self.before.replace(Some((cid, Rc::new(bytes))));
    }

    /// Takes in a request of a peer; what is to be read from the store for it, if anything.
    pub(crate) fn asked(&self, id: InboundId, peer: PeerKey, bytes: &[u8]) -> Option<Serving> {
        match Request::from_bytes(bytes) {
            Ok(Request::Pull { cid, offset, credit }) if self.offered.borrow().contains(&cid) => {
                self.answering.borrow_mut().insert(id);
                return Some(Serving { id, cid, offset, credit });
            }
            Ok(Request::Pull { .. }) => self.answer(id, &Reply::Absent),
            Err(_no_request) => self.ban(peer),
        }
        self.tell(Command::Finish { id });
        None
    }

    pub(crate) fn unasked(&self, id: InboundId) {
        self.answering.borrow_mut().remove(&id);
    }

    /// A blob that was served a moment ago, or is on this device no longer.
    pub(crate) fn held(&self, cid: &Cid) -> Option<Rc<Vec<u8>>> {
        let (held, before) = (self.held.borrow(), self.before.borrow());
        held.iter().chain(&*before).find(|(held, _bytes)| held == cid).map(|(_cid, bytes)| Rc::clone(bytes))
    }

    /// Sends the part asked for.
    pub(crate) fn serve(&self, serving: &Serving, blob: Option<Rc<Vec<u8>>>) {
        let Some(blob) = blob else {
            self.answer(serving.id, &Reply::Absent);
            return self.finish(serving.id);
        };
        for reply in Reply::chunks(&blob, serving.offset, serving.credit) {
            if !self.answering.borrow().contains(&serving.id) {
                return;
            }
            self.answer(serving.id, &reply);
        }
        let mut held = self.held.borrow_mut();
        if !held.iter().any(|(cid, _bytes)| *cid == serving.cid) {
            held.insert(0, (serving.cid, blob));
            held.truncate(HELD);
        }
        self.finish(serving.id);
    }

    fn answer(&self, id: InboundId, reply: &Reply) {
        if let Ok(bytes) = reply.to_bytes() {
            self.tell(Command::Answer { id, bytes });
        }
    }

    fn finish(&self, id: InboundId) {
        if self.answering.borrow_mut().remove(&id) {
            self.tell(Command::Finish { id });
        }
    }

    // Copies at the relay.

    /// Whether somebody may be unable to pull from here, so that the relay is to have a copy of the own update.
    pub(crate) fn needs_pins(&self) -> bool {
        self.is_on
            && (self.relay_only.get()
                || self.peers.borrow().is_empty()
                || !self.out_of_reach.borrow().is_empty())
    }

    /// Notes that the own update is on this device, and not at the relay.
    pub(crate) fn set_unpinned(&self, cid: Cid) {
        self.unpinned.set(Some(cid));
    }

    /// The own update, if the relay is to have a copy now; it is not named again.
    pub(crate) fn take_unpinned(&self) -> Option<Cid> {
        if self.needs_pins() { self.unpinned.take() } else { None }
    }

    // What there is to show.

    /// A hub campaign's update or checkpoint came from the relay.
    pub(crate) fn count_relayed(&self, bytes: usize) {
        self.count(|tally| tally.relayed = tally.relayed.saturating_add(bytes as u64));
    }

    fn count(&self, change: impl FnOnce(&mut Tally)) {
        let mut tally = self.tally.get();
        change(&mut tally);
        self.tally.set(tally);
    }

    /// Shows the numbers if they have changed.
    pub(crate) fn show(&self) {
        let tally = self.tally.get();
        if self.shown.replace(tally) != tally {
            let Tally { direct, relayed, banned } = tally;
            (self.out)(Event::Transfers { direct, relayed, banned });
        }
    }

    fn tell(&self, command: Command) {
        (self.out)(Event::Net(command));
    }
}

/// A blob that somebody waits for; dropped, it is wanted no longer.
pub(crate) struct Wanted {
    mesh: Rc<Mesh>,
    cid: Cid,
    pub(crate) notes: UnboundedReceiver<Note>,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.notes.close();
        let mut waiting = self.mesh.waiting.borrow_mut();
        let Some(waiters) = waiting.get_mut(&self.cid) else { return };
        waiters.retain(|waiter| !waiter.is_closed());
        let is_alone = waiters.is_empty();
        if is_alone {
            waiting.remove(&self.cid);
        }
        drop(waiting);
        // Time moves nothing here; if this one was asking the relay, another has to.
        let mut puller = self.mesh.puller.borrow_mut();
        if is_alone {
            puller.forget(0, &self.cid);
        } else {
            puller.relay_gave(0, self.cid, None);
        }
        drop(puller);
        self.mesh.carry_out();
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use futures::FutureExt;
    use futures::StreamExt;
    use lichen_record::CampaignId;

    use super::*;

    /// What whoever waits is told, if anything.
    fn told(wanted: &mut Wanted) -> Option<Note> {
        wanted.notes.next().now_or_never().flatten()
    }

    /// A tab that has begun to meet others at the time 0.
    fn meeting() -> Rc<Mesh> {
        let out: Outbox = Rc::new(|_event| {});
        let hub = Hub::new(Rc::clone(&out));
        let mesh = Rc::new(Mesh::new(out, hub, Transport::Peers, 1_000, 10_000));
        mesh.meet(0, CampaignId::of_manifest(b"a campaign"), false);
        mesh
    }

    #[test]
    fn a_tab_that_is_alone_asks_the_relay_without_waiting_for_peers() {
        let mesh = meeting();
        let mut wanted = mesh.want(10, Cid::of_raw(b"a checkpoint"), u64::MAX);
        mesh.tick(200);
        assert!(told(&mut wanted).is_none(), "peers may be found yet");
        mesh.found(300, 1);
        assert!(told(&mut wanted).is_none(), "one is found");
        mesh.found(400, 0);
        assert!(matches!(told(&mut wanted), Some(Note::AskRelay)));
    }

    #[test]
    fn one_peer_out_of_reach_is_no_reason_to_ask_the_relay_while_another_may_come() {
        let mesh = meeting();
        let mut wanted = mesh.want(10, Cid::of_raw(b"a checkpoint"), u64::MAX);
        mesh.found(3_000, 2);
        mesh.no_direct_path(3_100, b"one".to_vec());
        mesh.tick(3_000 + MEETING_MS - 1);
        assert!(told(&mut wanted).is_none(), "the other one may come yet");
        mesh.no_direct_path(3_000 + MEETING_MS - 1, b"the other".to_vec());
        assert!(matches!(told(&mut wanted), Some(Note::AskRelay)));
    }

    #[test]
    fn who_is_found_late_gets_the_whole_time_to_connect() {
        let mesh = meeting();
        let mut wanted = mesh.want(10, Cid::of_raw(b"a checkpoint"), u64::MAX);
        mesh.found(3_000, 1);
        mesh.found(6_000, 2);
        mesh.tick(3_000 + MEETING_MS - 1);
        assert!(told(&mut wanted).is_none());
        mesh.tick(3_000 + MEETING_MS);
        assert!(matches!(told(&mut wanted), Some(Note::AskRelay)));
    }

    #[test]
    fn the_result_before_the_last_can_still_be_had() {
        let mesh = meeting();
        let results = [b"first", b"secnd", b"third"].map(|bytes| Cid::of_raw(bytes));
        let update = Cid::of_raw(b"an update");
        let pull = |cid| Request::Pull { cid, offset: 0, credit: 1_024 }.to_bytes().unwrap();
        let has = |cid| mesh.asked(InboundId(1), b"a peer".to_vec(), &pull(cid)).is_some();
        let [first, second, third] = results;
        mesh.offer(first);
        assert_eq!(mesh.settled(first), (Vec::new(), None));
        mesh.offer(update);
        mesh.offer(second);
        assert_eq!(mesh.settled(second), (vec![update], Some(first)));
        mesh.hold_before(first, b"first".to_vec());
        assert!(has(first) && has(second) && !has(update));
        assert_eq!(*mesh.held(&first).unwrap(), b"first");
        mesh.offer(third);
        assert_eq!(mesh.settled(third), (vec![first], Some(second)));
        assert!(!has(first) && has(second) && has(third));
    }
}
