//! The mesh between tabs of one process: it carries the swarm's commands from tab to tab in memory, and can break a path or
//! change bytes on their way. The relay is a real one.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::channel::mpsc::UnboundedSender;
use lichen_bridge::Command as NodeCommand;
use lichen_net::peer::Reply;
use lichen_net::{Command, Event, InboundId, Path, Peer, RequestError, RequestId};

type Key = Vec<u8>;

/// A network that tabs meet in.
#[derive(Clone, Default)]
pub(crate) struct Network(Rc<RefCell<Inner>>);

#[derive(Default)]
struct Inner {
    tabs: BTreeMap<Key, Tab>,
    /// Who asks, by what which tab is asked.
    asked: BTreeMap<InboundId, Asked>,
    next: u64,
    /// Peers banned, by whom.
    banned: BTreeSet<(Key, Key)>,
    are_apart: bool,
    liar: Option<Key>,
    carried: u64,
}

struct Tab {
    to_node: UnboundedSender<NodeCommand>,
    is_meeting: bool,
}

struct Asked {
    asker: Key,
    request: RequestId,
    answerer: Key,
}

impl Network {
    /// From here on no tab reaches another.
    pub(crate) fn set_apart(&self) {
        self.0.borrow_mut().are_apart = true;
    }

    /// From here on this tab changes what it serves.
    pub(crate) fn set_liar(&self, peer: Key) {
        self.0.borrow_mut().liar = Some(peer);
    }

    /// Bytes of answers carried from tab to tab.
    pub(crate) fn carried(&self) -> u64 {
        self.0.borrow().carried
    }

    /// A tab's swarm runs.
    pub(crate) fn enter(&self, peer: Key, to_node: UnboundedSender<NodeCommand>) {
        self.0.borrow_mut().tabs.insert(peer, Tab { to_node, is_meeting: false });
    }

    /// A tab is gone.
    pub(crate) fn leave(&self, peer: &Key) {
        let mut inner = self.0.borrow_mut();
        inner.tabs.remove(peer);
        let (lost, kept) = std::mem::take(&mut inner.asked)
            .into_iter()
            .partition(|(_id, asked)| asked.asker == *peer || asked.answerer == *peer);
        inner.asked = kept;
        for asked in BTreeMap::into_values(lost) {
            inner
                .tell(&asked.asker, Event::Failed { id: asked.request, error: RequestError::ConnectionLost });
        }
        inner.tell_peers();
    }

    /// Carries out a command if it is one for peers.
    pub(crate) fn carry(&self, from: &Key, command: &Command) {
        let mut inner = self.0.borrow_mut();
        match command.clone() {
            Command::Meet { relay_only, .. } => {
                if let Some(tab) = inner.tabs.get_mut(from) {
                    tab.is_meeting = !relay_only;
                }
                inner.tell_peers();
                inner.tell_found();
                inner.tell_paths(from);
            }
            Command::Disconnect => {
                if let Some(tab) = inner.tabs.get_mut(from) {
                    tab.is_meeting = false;
                }
                inner.tell_peers();
            }
            Command::Ask { id, peer, bytes } => inner.ask(from, id, peer, bytes),
            Command::Answer { id, bytes } => inner.answer(id, bytes),
            Command::Finish { id } => {
                if let Some(asked) = inner.asked.remove(&id) {
                    inner.tell(&asked.asker, Event::Ended { id: asked.request });
                }
            }
            Command::Cancel { id } => {
                let is_it = |asked: &Asked| asked.asker == *from && asked.request == id;
                let found = inner.asked.iter().find(|(_id, asked)| is_it(asked)).map(|(id, _asked)| *id);
                if let Some(asked) = found.and_then(|id| inner.asked.remove(&id)) {
                    inner.tell(&asked.answerer, Event::Unasked { id: found.unwrap() });
                }
            }
            Command::Announce { bytes } => {
                for peer in inner.reached_from(from) {
                    inner.tell(&peer, Event::Announced { peer: from.clone(), bytes: bytes.clone() });
                }
            }
            Command::Ban { peer } => {
                inner.banned.insert((from.clone(), peer));
                inner.tell_peers();
            }
            Command::Connect { .. } | Command::Request { .. } | Command::Suspend | Command::Wake => {}
        }
    }
}

impl Inner {
    fn tell(&self, peer: &Key, event: Event) {
        if let Some(tab) = self.tabs.get(peer) {
            let _gone = tab.to_node.unbounded_send(NodeCommand::Net(event));
        }
    }

    fn is_path(&self, one: &Key, other: &Key) -> bool {
        let pair = |one: &Key, other: &Key| (one.clone(), other.clone());
        !self.are_apart
            && !self.banned.contains(&pair(one, other))
            && !self.banned.contains(&pair(other, one))
    }

    fn others(&self, peer: &Key) -> Vec<Key> {
        let is_here = self.tabs.get(peer).is_some_and(|tab| tab.is_meeting);
        let meeting = self.tabs.iter().filter(|(key, tab)| is_here && tab.is_meeting && *key != peer);
        meeting.map(|(key, _tab)| key.clone()).collect()
    }

    fn reached_from(&self, peer: &Key) -> Vec<Key> {
        self.others(peer).into_iter().filter(|other| self.is_path(peer, other)).collect()
    }

    fn tell_peers(&self) {
        for peer in self.tabs.keys() {
            let peers = self.reached_from(peer).into_iter().map(|other| Peer {
                peer: other,
                address: "/memory".into(),
                path: Path::Direct,
                round_trip: None,
                dialled: true,
                received: 0,
                sent: 0,
            });
            self.tell(peer, Event::PeersChanged { peers: peers.collect() });
        }
    }

    /// As a relay's rendezvous does.
    fn tell_found(&self) {
        for (peer, _tab) in self.tabs.iter().filter(|(_peer, tab)| tab.is_meeting) {
            let peers = u32::try_from(self.others(peer).len()).unwrap();
            self.tell(peer, Event::Found { peers });
        }
    }

    fn tell_paths(&self, from: &Key) {
        for other in self.others(from).into_iter().filter(|other| !self.is_path(from, other)) {
            self.tell(from, Event::NoDirectPath { peer: other.clone() });
            self.tell(&other, Event::NoDirectPath { peer: from.clone() });
        }
    }

    fn ask(&mut self, from: &Key, request: RequestId, peer: Key, bytes: Vec<u8>) {
        if !self.reached_from(from).contains(&peer) {
            return self.tell(from, Event::Failed { id: request, error: RequestError::NotConnected });
        }
        let id = InboundId(self.next);
        self.next += 1;
        self.tell(&peer, Event::Asked { id, peer: from.clone(), bytes });
        self.asked.insert(id, Asked { asker: from.clone(), request, answerer: peer });
    }

    fn answer(&mut self, id: InboundId, mut bytes: Vec<u8>) {
        let Some(Asked { asker, request, answerer }) = self.asked.get(&id) else { return };
        if self.liar.as_ref() == Some(answerer)
            && let Ok(Reply::Chunk { total, offset, bytes: mut chunk }) = Reply::from_bytes(&bytes)
        {
            chunk[0] ^= 1;
            bytes = Reply::Chunk { total, offset, bytes: chunk }.to_bytes().unwrap();
        }
        self.tell(asker, Event::Frame { id: *request, bytes: bytes.clone() });
        self.carried += bytes.len() as u64;
    }
}
