//! Pulls blobs from peers: carries out what [`Puller`](lichen_net::pull::Puller) decides, and tells whoever waits.

use std::collections::BTreeMap;
use std::rc::Rc;

use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use lichen_net::peer::Request;
use lichen_net::pull::{Action, AskId, PeerKey, Source};
use lichen_net::{Command, RequestId};
use lichen_record::Cid;

use super::Mesh;

/// Asks under way, by what the swarm and what the puller call them.
#[derive(Default)]
pub(super) struct Asks {
    by_request: BTreeMap<RequestId, AskId>,
    by_ask: BTreeMap<AskId, RequestId>,
}

/// The outcome for a blob that is waited for.
pub(crate) enum Note {
    /// It is here, checked.
    Got(Vec<u8>),
    /// Whoever waits is to ask the relay for it.
    AskRelay,
    /// Nobody has it.
    Missing,
}

impl Mesh {
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

    /// Does what the puller decided.
    pub(super) fn carry_out(&self) {
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
