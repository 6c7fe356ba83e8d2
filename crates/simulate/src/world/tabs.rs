//! Pages that are opened and closed, and their connections.

use std::collections::BTreeMap;
use std::rc::Rc;

use lichen_log::{Authority, Replica};
use lichen_round::{CampaignState, Participant, ParticipantEvent};

use super::{Event, World};
use crate::mesh::Mesh;
use crate::settings::Fault;
use crate::tab::{Holding, Tab};

/// How long nothing is heard before a tab takes its connection for dead, in milliseconds.
const SILENCE_MS: u64 = 15_000;

impl World {
    /// The person opens the page and joins; where it is open, they join.
    pub(super) fn open(&mut self, peer: usize) {
        if self.peers[peer].tab.is_some() {
            return self.tell(peer, ParticipantEvent::Join);
        }
        let state = CampaignState::new(self.campaign.id, self.campaign.rules);
        let deadline = self.deadline_ms();
        let person = &mut self.peers[peer];
        person.life += 1;
        person.connection = 0;
        person.tab = Some(Tab {
            participant: Participant::new(person.account, state),
            holding: if person.folds { Holding::Own(None) } else { Holding::Shared(None) },
            is_live: false,
            training: 0,
            repetition: 0,
            trained: None,
            pending: BTreeMap::new(),
            mesh: self.settings.is_mesh.then(|| Box::new(Mesh::new(deadline))),
            is_distrusting: false,
        });
        let life = person.life;
        let first = self.now + 1_000 + self.chance.below(1_000);
        self.schedule(first, Event::Tick { peer, life });
        self.tell(peer, ParticipantEvent::Join);
        self.meet();
        self.connect(peer);
    }

    /// The page is gone, and what it was at.
    pub(super) fn close(&mut self, peer: usize) {
        if self.peers[peer].tab.take().is_none() {
            return;
        }
        // What waited for it is gone with it.
        self.waiting.remove(&peer);
        self.peers[peer].asleep_until = self.now;
        self.peers[peer].life += 1;
        self.hang_up(peer);
        self.meet();
    }

    /// The connection is gone, and the relay finds out in a moment.
    pub(super) fn hang_up(&mut self, peer: usize) {
        let connection = std::mem::take(&mut self.peers[peer].connection);
        if connection != 0 {
            let at = self.now + self.delay();
            self.schedule(at, Event::Gone { peer, connection });
        }
    }

    /// The connection breaks; the tab connects again.
    pub(super) fn cut_off(&mut self, peer: usize) {
        if self.peers[peer].connection == 0 {
            return;
        }
        self.hang_up(peer);
        let Some(tab) = &mut self.peers[peer].tab else { return };
        tab.is_live = false;
        tab.pending.clear();
        if let Some(mesh) = &mut tab.mesh {
            (mesh.job, mesh.fetching) = (None, None);
        }
        self.tell(peer, ParticipantEvent::Disconnected);
        self.retry(peer);
    }

    fn retry(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        let at = self.now + 200 + self.chance.below(2_500);
        self.schedule(at, Event::Reconnect { peer, life });
    }

    pub(super) fn reconnect(&mut self, peer: usize, life: u64) {
        let person = &self.peers[peer];
        let is_distrusting = person.tab.as_ref().is_none_or(|tab| tab.is_distrusting);
        if person.life == life && person.connection == 0 && !is_distrusting {
            self.connect(peer);
        }
    }

    fn connect(&mut self, peer: usize) {
        let person = &mut self.peers[peer];
        if !self.relay.is_up || person.up_from > self.now || person.down_from > self.now {
            return self.retry(peer);
        }
        person.connections += 1;
        person.connection = person.connections;
        person.heard = self.now;
        let connection = person.connection;
        let at = self.now + self.delay();
        self.schedule(at, Event::Hello { peer, connection });
    }

    /// The relay knows this account: the log is read from where it was left.
    pub(super) fn welcome(&mut self, peer: usize, connection: u64) {
        if !self.is_connected(peer, connection) {
            return;
        }
        let authority = Authority::Account(self.relay.account());
        let (id, initial) = (self.campaign.id, self.campaign.initial);
        let Some(tab) = &mut self.peers[peer].tab else { return };
        if let Holding::Own(replica) = &mut tab.holding {
            replica.get_or_insert_with(|| Box::new(Replica::new(id, authority, initial))).forget_head();
        }
        self.tell(peer, ParticipantEvent::Connected);
        if self.relay.sessions.get(&peer) != Some(&connection) {
            return;
        }
        self.relay.following.insert(peer, connection);
        if let Some(prefix) = self.relay.shown.clone() {
            self.send_frame(peer, &prefix);
        }
    }

    pub(super) fn is_connected(&self, peer: usize, connection: u64) -> bool {
        self.peers[peer].connection == connection && connection != 0
    }

    pub(super) fn tick(&mut self, peer: usize, life: u64) {
        if self.peers[peer].life != life || self.peers[peer].tab.is_none() {
            return;
        }
        self.schedule(self.now + 1_000, Event::Tick { peer, life });
        let person = &mut self.peers[peer];
        let is_reached = person.down_from <= self.now && person.up_from <= self.now && self.relay.is_up;
        let is_known = self.relay.sessions.get(&peer) == Some(&person.connection);
        if is_reached && is_known {
            // A relay that has nothing to say says so now and then.
            person.heard = self.now;
        } else if is_reached && person.tab.as_ref().is_some_and(|tab| tab.is_live) {
            // It says of a connection that it has given up that there is none.
            return self.cut_off(peer);
        }
        if person.connection != 0 && self.now > person.heard + SILENCE_MS {
            return self.cut_off(peer);
        }
        self.tell(peer, ParticipantEvent::Tick);
    }

    /// Passes an event to the tab, and does what it asks for.
    pub(super) fn tell(&mut self, peer: usize, event: ParticipantEvent) {
        let person = &mut self.peers[peer];
        let now = person.now(self.now);
        let Some(tab) = person.tab.as_mut() else { return };
        let actions = tab.handle(now, event);
        for action in actions {
            self.act(peer, action);
        }
    }

    pub(super) fn resume(&mut self, peer: usize, life: u64) {
        if self.peers[peer].life == life {
            self.tell(peer, ParticipantEvent::Resume);
        }
    }

    /// A tab wakes up, and finds what came meanwhile. If it slept for long, its connection is gone.
    pub(super) fn awake(&mut self, peer: usize, life: u64, connection: u64) {
        if self.peers[peer].asleep_until > self.now {
            return;
        }
        if self.peers[peer].life == life
            && self.is_connected(peer, connection)
            && self.relay.sessions.get(&peer) != Some(&connection)
        {
            self.cut_off(peer);
        }
        for event in self.waiting.remove(&peer).unwrap_or_default() {
            self.happen(event);
        }
    }

    /// Whose tabs are open have each other as neighbours, as many as a real relay names to one.
    pub(super) fn meet(&mut self) {
        if !self.settings.is_mesh {
            return;
        }
        let open: Vec<usize> = (0..self.peers.len()).filter(|peer| self.peers[*peer].tab.is_some()).collect();
        for (place, peer) in open.iter().enumerate() {
            let ring = (1..=super::meshing::NEIGHBOURS / 2).flat_map(|step| {
                let count = open.len();
                [open[(place + step) % count], open[(place + count * step - step) % count]]
            });
            let neighbours: std::collections::BTreeSet<usize> = ring.filter(|other| other != peer).collect();
            self.set_neighbours(*peer, &neighbours);
        }
    }

    /// A tab that has read too little, or another log, is shown what there is.
    pub(super) fn send_frame(&mut self, peer: usize, prefix: &Rc<crate::prefix::Prefix>) {
        let connection = self.peers[peer].connection;
        let delay = self.delay();
        let person = &mut self.peers[peer];
        let at = (self.now + delay).max(person.last_frame).max(person.down_from);
        person.last_frame = at;
        if self.is_stormy(Fault::Network) && self.weather.chance(2) {
            // It breaks instead.
            return self.cut_off(peer);
        }
        self.schedule(at, Event::Frame { peer, connection, prefix: Rc::clone(prefix) });
    }
}
