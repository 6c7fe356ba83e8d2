//! How a round's result differs from its base, as those say who attest it.

use alloc::collections::BTreeMap;

use lichen_record::{AccountId, Cid};

use crate::codec::coded;

/// A packed difference, with which whoever has the base gets a round's result.
///
/// It is a hint and no more: what comes of base and difference is right if it has the result's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The checkpoint that the round started from.
    pub base: Cid,
    /// The packed difference (raw).
    pub packed: Cid,
}

/// The packed differences that attestations name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Differences {
    /// The coordinator's result, and what it names.
    by_coordinator: Option<(Cid, Cid)>,
    /// How many name a difference of a result.
    named: BTreeMap<(Cid, Cid), usize>,
}

coded!(struct Difference { base, packed });
coded!(struct Differences { by_coordinator, named });

impl Differences {
    pub(crate) const fn new() -> Self {
        Self { by_coordinator: None, named: BTreeMap::new() }
    }

    /// An account attests this result, and names what it differs by.
    pub(crate) fn name(&mut self, account: &AccountId, coordinator: &AccountId, result: Cid, packed: Cid) {
        if account == coordinator {
            self.by_coordinator = Some((result, packed));
        }
        *self.named.entry((result, packed)).or_default() += 1;
    }

    /// The difference of this result that is believed first: the coordinator's, or else what most name.
    pub(crate) fn of(&self, result: Cid) -> Option<Cid> {
        if let Some((_result, packed)) = self.by_coordinator.filter(|(of, _packed)| *of == result) {
            return Some(packed);
        }
        let named = self.named.iter().filter(|((of, _packed), _times)| *of == result);
        let most = named.max_by_key(|((_of, packed), times)| (**times, core::cmp::Reverse(*packed)));
        most.map(|((_of, packed), _times)| *packed)
    }
}
