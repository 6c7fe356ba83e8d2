//! From tab to tab: the real pullers, with windows, announcements and whoever lies about what it serves.

use std::collections::BTreeSet;

use lichen_net::peer::{Reply, Request};
use lichen_net::pull::{Action, AskId};
use lichen_record::Cid;
use lichen_round::ParticipantEvent;

use super::{Event, World};
use crate::hostile::Bent;
use crate::invariants::Rule;
use crate::mesh::{Job, Mesh, key, of_key};

/// Peers that a relay names to one.
pub(super) const NEIGHBOURS: usize = lichen_net::rendezvous::MAX_LISTED;

/// How often a puller is told the time while it waits, in milliseconds.
const TICK_MS: u64 = 250;

/// How long a checkpoint may take, in milliseconds.
const CHECKPOINT_LIMIT_MS: u64 = 60_000;

/// Longest blob of this campaign, in bytes, with room to spare.
const CAP: usize = 64 * 1024;

impl World {
    fn mesh(&mut self, peer: usize) -> Option<&mut Mesh> {
        self.peers[peer].tab.as_mut()?.mesh.as_deref_mut()
    }

    pub(super) fn set_neighbours(&mut self, peer: usize, neighbours: &BTreeSet<usize>) {
        let now = self.peers[peer].now(self.now);
        let Some(mesh) = self.mesh(peer) else { return };
        let neighbours: BTreeSet<usize> = neighbours.difference(&mesh.banned).copied().collect();
        if mesh.neighbours == neighbours {
            return;
        }
        let keys = neighbours.iter().map(|other| key(*other)).collect();
        mesh.neighbours = neighbours;
        mesh.puller.connected(now, keys);
        self.carry_out(peer);
    }

    /// Peers may have this from here; those who are near are told.
    pub(super) fn offer(&mut self, peer: usize, cid: Cid) {
        if self.peers[peer].bent == Some(Bent::Withholder) {
            return;
        }
        let Some(mesh) = self.mesh(peer) else { return };
        if !mesh.offered.insert(cid) {
            return;
        }
        let neighbours: Vec<usize> = mesh.neighbours.iter().copied().collect();
        if neighbours.is_empty() {
            // Nobody could get it: the relay has a copy.
            self.relay.pinned.insert(cid);
        }
        for to in neighbours {
            self.peers[peer].traffic.messages += 1;
            self.peers[peer].traffic.peers += 40;
            if !self.is_lost(50) {
                let at = self.now + self.delay();
                self.schedule(at, Event::Announced { from: peer, to, cids: vec![cid] });
            }
        }
    }

    pub(super) fn announced(&mut self, from: usize, to: usize, cids: &[Cid]) {
        let now = self.peers[to].now(self.now);
        if let Some(mesh) = self.mesh(to) {
            mesh.puller.announced(now, &key(from), cids);
            self.carry_out(to);
        }
    }

    pub(super) fn pull_checkpoint(&mut self, peer: usize, cid: Cid) {
        let connection = self.peers[peer].connection;
        let now = self.peers[peer].now(self.now);
        let Some(mesh) = self.mesh(peer) else { return };
        mesh.fetching = Some((cid, connection));
        mesh.puller.want(now, cid, CAP, now + CHECKPOINT_LIMIT_MS);
        self.carry_out(peer);
        self.tick_soon(peer);
    }

    /// A round's updates; those that are not here are pulled, in at most half the deadline.
    pub(super) fn pull_updates(&mut self, peer: usize, job: Job) {
        let limit = self.deadline_ms() / 2;
        let person = &self.peers[peer];
        let now = person.now(self.now);
        let here = |cid: &Cid| person.has(cid) && self.blobs.get(cid).is_some();
        let wanted: Vec<Cid> = job.inputs.iter().map(|input| input.update).filter(|cid| !here(cid)).collect();
        let Some(mesh) = self.mesh(peer) else { return };
        // Whatever an earlier set needed and this one does not is pulled no longer.
        if let Some(before) = mesh.job.replace(job) {
            for input in before.inputs {
                if !wanted.contains(&input.update) {
                    mesh.puller.forget(now, &input.update);
                }
            }
        }
        for cid in wanted {
            mesh.puller.want(now, cid, CAP, now + limit);
        }
        self.carry_out(peer);
        self.tick_soon(peer);
        self.go_on(peer);
    }

    fn tick_soon(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        let Some(mesh) = self.mesh(peer) else { return };
        if !mesh.puller.is_idle() && !std::mem::replace(&mut mesh.is_ticking, true) {
            self.schedule(self.now + TICK_MS, Event::MeshTick { peer, life });
        }
    }

    pub(super) fn mesh_tick(&mut self, peer: usize, life: u64) {
        let now = self.peers[peer].now(self.now);
        if self.peers[peer].life != life {
            return;
        }
        let Some(mesh) = self.mesh(peer) else { return };
        mesh.is_ticking = false;
        mesh.puller.tick(now);
        self.carry_out(peer);
        self.tick_soon(peer);
    }

    /// Does what the puller decided.
    fn carry_out(&mut self, peer: usize) {
        let life = self.peers[peer].life;
        while let Some(action) = self.mesh(peer).and_then(|mesh| mesh.puller.poll()) {
            match action {
                Action::Ask { id, peer: whom, request } => {
                    self.peers[peer].traffic.messages += 1;
                    if !self.is_lost(30) {
                        let (at, to) = (self.now + self.delay(), of_key(&whom));
                        self.schedule(at, Event::Asked { from: peer, life, to, id, request });
                    }
                }
                Action::Cancel { .. } => {}
                Action::AskRelay { cid } => {
                    self.peers[peer].traffic.messages += 2;
                    let is_reached = self.relay.is_up && self.peers[peer].up_from <= self.now;
                    let is_there = is_reached && self.relay.pinned.contains(&cid) && !self.is_lost(50);
                    let at = self.now + self.delay() + self.delay();
                    self.schedule(at, Event::RelayGave { peer, life, cid, is_there });
                }
                Action::Ban { peer: whom } => self.ban(peer, of_key(&whom)),
                Action::Got { cid, bytes, .. } => {
                    self.peers[peer].traffic.blobs_down += bytes.len() as u64;
                    if self.blobs.put(&bytes) != cid {
                        self.fail(Rule::HonestResults, format!("tab {peer} took other bytes for {cid}"));
                    }
                    self.peers[peer].keep(self.now, cid);
                    self.offer(peer, cid);
                    self.got(peer, cid);
                }
                Action::Missing { cid } => self.missed(peer, cid),
            }
        }
    }

    /// A peer is dropped: only one that lies may be.
    fn ban(&mut self, peer: usize, whom: usize) {
        self.tally.banned += 1;
        if self.peers.get(whom).is_none_or(|other| other.bent != Some(Bent::Garbage)) {
            self.fail(
                Rule::OnlyTheGuilty,
                format!("tab {peer} bans tab {whom}, which serves what it should"),
            );
        }
        let Some(mesh) = self.mesh(peer) else { return };
        mesh.banned.insert(whom);
        mesh.neighbours.remove(&whom);
    }

    fn got(&mut self, peer: usize, cid: Cid) {
        let fetching =
            self.mesh(peer).and_then(|mesh| mesh.fetching.take_if(|(fetched, _on)| *fetched == cid));
        if let Some((_cid, connection)) = fetching {
            self.answer_on(peer, connection, ParticipantEvent::Fetched { cid });
        }
        self.go_on(peer);
    }

    fn missed(&mut self, peer: usize, cid: Cid) {
        let fetching =
            self.mesh(peer).and_then(|mesh| mesh.fetching.take_if(|(fetched, _on)| *fetched == cid));
        if let Some((_cid, connection)) = fetching {
            self.answer_on(peer, connection, ParticipantEvent::FetchFailed { cid });
        }
        if let Some(job) = self.mesh(peer).and_then(|mesh| mesh.job.as_mut())
            && job.inputs.iter().any(|input| input.update == cid)
        {
            job.missing.push(cid);
        }
        self.go_on(peer);
    }

    fn answer_on(&mut self, peer: usize, connection: u64, event: ParticipantEvent) {
        self.schedule(self.now + 1, Event::Answer { peer, connection, event: Box::new(event) });
    }

    /// Computes the round's result when every update is here, or says which nobody gave.
    fn go_on(&mut self, peer: usize) {
        let Some(tab) = self.peers[peer].tab.as_ref() else { return };
        let Some(job) = tab.mesh.as_ref().and_then(|mesh| mesh.job.as_ref()) else { return };
        let person = &self.peers[peer];
        let is_done = |cid: &Cid| person.has(cid) || job.missing.contains(cid);
        if !job.inputs.iter().all(|input| is_done(&input.update)) {
            return;
        }
        let base = job.base;
        let has_base = [Some(base.result), base.state].iter().flatten().all(|cid| person.has(cid));
        let Some(job) = self.mesh(peer).and_then(|mesh| mesh.job.take()) else { return };
        let Job { round, inputs, excluded, missing, connection, .. } = job;
        if self.peers[peer].connection != connection {
            return;
        }
        if !missing.is_empty() {
            let event = ParticipantEvent::AggregateFailed { round, excluded, missing };
            return self.answer_on(peer, connection, event);
        }
        // Without the base or what goes with it, it is got from the relay first.
        if !has_base {
            for cid in [Some(base.result), base.state].into_iter().flatten() {
                if self.relay.pinned.contains(&cid) && !self.peers[peer].has(&cid) {
                    self.peers[peer].traffic.blobs_down += self.blobs.length(&cid) as u64;
                    self.peers[peer].keep(self.now, cid);
                }
            }
        }
        let outcome = self.learning.settle(&mut self.blobs, base, &inputs);
        self.aggregated(peer, 20, round, excluded, outcome);
    }

    /// A peer asks for a part of a blob.
    pub(super) fn asked(&mut self, from: usize, life: u64, to: usize, id: AskId, request: Request) {
        if self.peers[from].life != life || self.peers.get(to).is_none_or(|other| other.tab.is_none()) {
            return;
        }
        let Request::Pull { cid, offset, credit } = request;
        let is_garbage = self.peers[to].bent == Some(Bent::Garbage);
        let is_offered =
            self.mesh(to).is_some_and(|mesh| mesh.offered.contains(&cid)) && self.peers[to].has(&cid);
        let blob = self.blobs.get(&cid).filter(|_blob| is_offered || is_garbage);
        let replies: Vec<Reply> = match blob {
            None => vec![Reply::Absent],
            Some(blob) if is_garbage => {
                let lies: Vec<u8> = blob.iter().map(|byte| byte ^ 1).collect();
                Reply::chunks(&lies, offset, credit).collect()
            }
            Some(blob) => Reply::chunks(&blob, offset, credit).collect(),
        };
        let at = self.now + self.delay();
        for reply in replies {
            let Ok(bytes) = reply.to_bytes() else { continue };
            self.peers[to].traffic.peers += bytes.len() as u64;
            self.peers[to].traffic.messages += 1;
            self.schedule(at, Event::PeerFrame { to: from, life, id, bytes });
        }
        self.schedule(at, Event::PeerEnded { to: from, life, id });
    }

    pub(super) fn peer_frame(&mut self, to: usize, life: u64, id: AskId, bytes: &[u8]) {
        let now = self.peers[to].now(self.now);
        if self.peers[to].life != life {
            return;
        }
        if let Some(mesh) = self.mesh(to) {
            mesh.puller.frame(now, id, bytes);
            self.carry_out(to);
        }
    }

    pub(super) fn peer_ended(&mut self, to: usize, life: u64, id: AskId) {
        let now = self.peers[to].now(self.now);
        if self.peers[to].life != life {
            return;
        }
        if let Some(mesh) = self.mesh(to) {
            mesh.puller.ended(now, id);
            self.carry_out(to);
        }
    }

    pub(super) fn relay_gave(&mut self, peer: usize, life: u64, cid: Cid, is_there: bool) {
        let now = self.peers[peer].now(self.now);
        if self.peers[peer].life != life {
            return;
        }
        let bytes = self.blobs.get(&cid).filter(|_bytes| is_there).map(|bytes| bytes.to_vec());
        if let Some(mesh) = self.mesh(peer) {
            mesh.puller.relay_gave(now, cid, bytes);
            self.carry_out(peer);
        }
    }
}
