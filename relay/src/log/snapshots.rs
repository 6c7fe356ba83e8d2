//! The states that the log's snapshots name: the newest ones are kept, for whoever begins there.

use std::collections::VecDeque;

use lichen_record::{Cid, Entry};
use lichen_store::{Blobs, Disk, StoreError};

/// Snapshots kept: whoever was just told of the last but one still gets it.
const KEPT: usize = 2;

/// A snapshot that is ordered, to be kept before its entry is written.
pub(crate) struct Snapshot {
    cid: Cid,
    bytes: Vec<u8>,
}

/// Which states are kept, the newest last.
#[derive(Default)]
pub(crate) struct Snapshots(VecDeque<Cid>);

impl Snapshot {
    /// What this entry names, if it is a snapshot.
    pub(crate) fn of(entry: &Entry, bytes: Vec<u8>) -> Option<Self> {
        let Entry::Snapshot { state, .. } = entry else { return None };
        Some(Self { cid: *state, bytes })
    }

    /// The state's id, to be pinned with the entry.
    pub(crate) const fn cid(&self) -> Cid {
        self.cid
    }

    /// Puts the bytes where the entry's writing pins them.
    pub(crate) async fn keep(&self, disk: &Disk) -> Result<(), StoreError> {
        disk.put(&self.cid, &self.bytes).await
    }
}

impl Snapshots {
    /// Goes on with those that are kept already, the newest last.
    pub(crate) fn kept(cids: impl IntoIterator<Item = Cid>) -> Self {
        Self(cids.into_iter().collect())
    }

    /// A snapshot stands in the log: an older one is not needed any more.
    pub(crate) async fn written(&mut self, snapshot: &Snapshot, disk: &Disk) {
        self.0.push_back(snapshot.cid);
        while self.0.len() > KEPT
            && let Some(oldest) = self.0.pop_front()
        {
            if let Err(error) = disk.remove(&[oldest]).await {
                tracing::warn!(%error, "an old snapshot stays on disk, where it takes room and does no harm");
            }
        }
    }
}
