//! Copies of the own update at the relay, for peers that cannot pull it from here.

use lichen_record::Cid;

use super::Mesh;

impl Mesh {
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
}
