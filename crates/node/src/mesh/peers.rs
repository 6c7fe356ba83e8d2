//! Whom a tab is connected to, whom it may yet meet, and whom it meets no more.

use std::collections::BTreeSet;

use lichen_net::peer::Announcement;
use lichen_net::pull::PeerKey;
use lichen_net::{Command, Path, Peer};
use lichen_record::CampaignId;

use super::Mesh;

/// How long after meeting peers are expected, in milliseconds.
const MEETING_MS: u64 = 4_000;

impl Mesh {
    /// Takes part in the mesh, with or without connections to peers.
    pub(crate) fn meet(&self, now: u64, campaign: CampaignId, relay_only: bool) {
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

    /// Takes in what a peer says; the signed head that it was shown, where that is what it says.
    pub(crate) fn announced(&self, now: u64, peer: &PeerKey, bytes: &[u8]) -> Option<Vec<u8>> {
        if !self.is_on {
            return None;
        }
        match Announcement::from_bytes(bytes) {
            Ok(Announcement::Have { cids }) => self.puller.borrow_mut().announced(now, peer, &cids),
            Ok(Announcement::Shown { head }) => return Some(head),
            Err(_no_announcement) => self.ban(peer.clone()),
        }
        self.carry_out();
        None
    }

    /// Keeps away from a peer that breaks the rules.
    pub(super) fn ban(&self, peer: PeerKey) {
        self.count(|tally| tally.banned = tally.banned.saturating_add(1));
        self.tell(Command::Ban { peer });
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::rc::Rc;

    use futures::FutureExt;
    use futures::StreamExt;
    use lichen_campaign::Transport;
    use lichen_record::{CampaignId, Cid};

    use super::super::pulling::Wanted;
    use super::*;
    use crate::hub::{Hub, Outbox};
    use crate::mesh::Note;

    /// The outcome to report to the waiting caller, if there is one yet.
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
}
