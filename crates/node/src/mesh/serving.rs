//! Serves peers what is on this device: the own update, what was pulled, and the last results.

use std::rc::Rc;

use lichen_net::peer::{Announcement, MAX_HAVE, Reply, Request};
use lichen_net::pull::PeerKey;
use lichen_net::{Command, InboundId};
use lichen_record::Cid;

use super::Mesh;

/// Blobs held in memory to serve them in parts.
const HELD: usize = 4;

/// A request of a peer that can be served.
pub(crate) struct Serving {
    id: InboundId,
    pub(crate) cid: Cid,
    offset: u64,
    credit: u32,
}

impl Mesh {
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

    /// Tells peers which head of the log this tab was shown.
    pub(crate) fn tell_head(&self, head: Vec<u8>) {
        if let Ok(bytes) = (Announcement::Shown { head }).to_bytes() {
            self.tell(Command::Announce { bytes });
        }
    }

    /// Offers nothing any more but a settled round's result with what goes with it, and the result before it, which whoever is
    /// joining may be asking for; the other blobs that were offered, and that earlier result, if it is to be held from now on.
    pub(crate) fn settled(&self, result: Cid, others: [Option<Cid>; 2]) -> (Vec<Cid>, Option<Cid>) {
        let before = self.latest.replace(Some(result)).filter(|before| self.is_on && *before != result);
        let is_kept = |cid: &Cid| *cid == result || Some(*cid) == before || others.contains(&Some(*cid));
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
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_campaign::Transport;

    use super::*;
    use crate::hub::{Hub, Outbox};

    #[test]
    fn the_result_before_the_last_can_still_be_had() {
        let out: Outbox = Rc::new(|_event| {});
        let hub = Hub::new(Rc::clone(&out));
        let mesh = Mesh::new(out, hub, Transport::Peers, 1_000, 10_000);
        let results = [b"first", b"secnd", b"third"].map(|bytes| Cid::of_raw(bytes));
        let [update, state] = [&b"an update"[..], b"a state"].map(Cid::of_raw);
        let pull = |cid| Request::Pull { cid, offset: 0, credit: 1_024 }.to_bytes().unwrap();
        let has = |cid| mesh.asked(InboundId(1), b"a peer".to_vec(), &pull(cid)).is_some();
        let [first, second, third] = results;
        mesh.offer(first);
        assert_eq!(mesh.settled(first, [None; 2]), (Vec::new(), None));
        mesh.offer(update);
        mesh.offer(second);
        mesh.offer(state);
        assert_eq!(mesh.settled(second, [Some(state), None]), (vec![update], Some(first)));
        mesh.hold_before(first, b"first".to_vec());
        assert!(has(first) && has(second) && has(state) && !has(update));
        assert_eq!(*mesh.held(&first).unwrap(), b"first");
        mesh.offer(third);
        let (mut useless, before) = mesh.settled(third, [None; 2]);
        useless.sort_unstable();
        let mut expected = vec![first, state];
        expected.sort_unstable();
        assert_eq!((useless, before), (expected, Some(second)));
        assert!(!has(first) && has(second) && has(third));
    }
}
