//! A tab's part in a mesh: the real puller, and what waits for it.

use std::collections::BTreeSet;

use lichen_net::pull::{PeerKey, Puller};
use lichen_record::{Cid, RoundNumber};
use lichen_round::{Input, Outcome};

/// Longest wait for a byte of a blob, in milliseconds, as in a real tab.
const PATIENCE_MS: u64 = 2_500;

/// A round whose result is computed once all updates are here.
pub(crate) struct Job {
    pub(crate) round: RoundNumber,
    pub(crate) base: Outcome,
    pub(crate) inputs: Vec<Input>,
    pub(crate) excluded: u32,
    /// What nobody gave.
    pub(crate) missing: Vec<Cid>,
    pub(crate) connection: u64,
}

/// What a tab pulls from others, and gives them.
pub(crate) struct Mesh {
    pub(crate) puller: Puller,
    pub(crate) offered: BTreeSet<Cid>,
    pub(crate) job: Option<Job>,
    /// The checkpoint that is fetched, and on which connection.
    pub(crate) fetching: Option<(Cid, u64)>,
    pub(crate) neighbours: BTreeSet<usize>,
    pub(crate) banned: BTreeSet<usize>,
    pub(crate) is_ticking: bool,
}

impl Mesh {
    pub(crate) fn new(deadline_ms: u64) -> Self {
        Self {
            puller: Puller::new(PATIENCE_MS.min(deadline_ms / 4)),
            offered: BTreeSet::new(),
            job: None,
            fetching: None,
            neighbours: BTreeSet::new(),
            banned: BTreeSet::new(),
            is_ticking: false,
        }
    }
}

/// A tab's number as its peers know it.
pub(crate) fn key(peer: usize) -> PeerKey {
    (peer as u64).to_be_bytes().to_vec()
}

/// The tab of that key.
pub(crate) fn of_key(key: &PeerKey) -> usize {
    let bytes = key.as_slice().try_into().unwrap_or_default();
    usize::try_from(u64::from_be_bytes(bytes)).unwrap_or(usize::MAX)
}
