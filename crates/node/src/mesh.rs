//! A tab's part in a campaign's mesh: what it pulls from peers, and what it serves them.
//!
//! The pulling itself is decided by [`lichen_net::pull::Puller`]; here its asks become commands for the swarm, and whoever
//! waits for a blob is told. In a hub campaign nothing of this happens.

mod copies;
mod peers;
mod pulling;
mod serving;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use futures::channel::mpsc::UnboundedSender;
use lichen_bridge::Event;
use lichen_campaign::Transport;
use lichen_net::pull::{PeerKey, Puller};
use lichen_net::{Command, InboundId};
use lichen_record::Cid;

use crate::hub::{Hub, Outbox};

pub(crate) use pulling::Note;
pub(crate) use serving::Serving;

use pulling::Asks;

/// Longest wait for a byte of a blob before it is said to be unavailable, in milliseconds.
const PATIENCE_MS: u64 = 2_500;

/// What a mesh brings to one tab.
pub(crate) struct Mesh {
    is_on: bool,
    out: Outbox,
    hub: Rc<Hub>,
    /// Most bytes of an update or a checkpoint of this campaign.
    cap: usize,
    /// How long a round's updates may take altogether, in milliseconds.
    limit_ms: Cell<u64>,
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

/// How long peers are waited for, where rounds have this deadline.
fn patience_ms(deadline_ms: u64) -> u64 {
    PATIENCE_MS.min(deadline_ms / 4)
}

/// Bytes of updates and checkpoints by where they came from, and peers dropped for wrong bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    direct: u64,
    relayed: u64,
    banned: u32,
}

impl Mesh {
    /// `cap` is the most bytes of an update or a checkpoint, `deadline_ms` the rounds' deadline.
    pub(crate) fn new(out: Outbox, hub: Rc<Hub>, transport: Transport, cap: usize, deadline_ms: u64) -> Self {
        Self {
            is_on: transport == Transport::Peers,
            out,
            hub,
            cap,
            limit_ms: Cell::new(deadline_ms / 2),
            puller: RefCell::new(Puller::new(patience_ms(deadline_ms))),
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
        self.limit_ms.get()
    }

    /// The rounds' deadline is this now.
    pub(crate) fn follow_deadline(&self, deadline_ms: u64) {
        self.limit_ms.set(deadline_ms / 2);
        self.puller.borrow_mut().set_patience(patience_ms(deadline_ms));
    }

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
