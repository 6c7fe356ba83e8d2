//! Which blobs are pinned because the log names them.

use lichen_campaign::{Settlement, Transport};
use lichen_record::{AccountId, Cid, Entry, Verified};
use lichen_round::{CampaignState, Round};

use crate::log::campaign::Campaign;

/// The facts of a campaign that decide which blobs are pinned.
#[derive(Clone, Copy)]
pub(crate) struct Pinning {
    data: Cid,
    transport: Transport,
    coordinator: AccountId,
}

impl Pinning {
    pub(crate) const fn of(campaign: &Campaign, coordinator: AccountId) -> Self {
        let (data, transport) = (campaign.manifest.data.cid, campaign.manifest.rounds.transport);
        Self { data, transport, coordinator }
    }
}

/// All blobs that an entry names, whoever signed it.
pub(crate) fn named(entry: &Entry) -> Vec<Cid> {
    match entry {
        Entry::Published { manifest, base, .. } => vec![*manifest, *base],
        Entry::Contribution { update, trace, .. } => [*update].into_iter().chain(*trace).collect(),
        Entry::Audit { evidence, .. } => evidence.and_then(|named| named.before).into_iter().collect(),
        Entry::Attestation { result, state, difference, .. } => {
            [*result].into_iter().chain(*state).chain(*difference).collect()
        }
        Entry::Snapshot { state, .. } => vec![*state],
        Entry::Joined { .. }
        | Entry::Left { .. }
        | Entry::RoundOpened { .. }
        | Entry::RoundClosed { .. }
        | Entry::Unavailable { .. }
        | Entry::Departed { .. }
        | Entry::RoundOverdue { .. }
        | Entry::Finished { .. }
        | Entry::Decided { .. } => Vec::new(),
    }
}

/// Blobs without which the log could not be checked, and blobs that are pinned if they are here.
#[derive(Default)]
pub(crate) struct Pinned {
    pub(crate) required: Vec<Cid>,
    pub(crate) if_here: Vec<Cid>,
}

impl Pinned {
    /// Adds what an entry names.
    pub(crate) fn add_entry(&mut self, pinning: &Pinning, entry: &Verified<Entry>) {
        match entry.get() {
            Entry::Published { manifest, base, .. } => {
                self.required.extend([*manifest, *base, pinning.data]);
            }
            Entry::Contribution { update, trace, .. } => {
                match pinning.transport {
                    Transport::Relay => self.required.push(*update),
                    Transport::Peers => self.if_here.push(*update),
                }
                self.required.extend(trace);
            }
            Entry::Audit { evidence, .. } => self.required.extend(evidence.and_then(|named| named.before)),
            // A tab may attest what nobody else has; the coordinator attests what it has stored.
            Entry::Attestation { result, state, difference, .. }
                if entry.account() == pinning.coordinator =>
            {
                self.required.push(*result);
                self.required.extend(state.iter().chain(difference));
            }
            Entry::Joined { .. }
            | Entry::Left { .. }
            | Entry::RoundOpened { .. }
            | Entry::RoundClosed { .. }
            | Entry::Attestation { .. }
            | Entry::Unavailable { .. }
            | Entry::Departed { .. }
            | Entry::RoundOverdue { .. }
            | Entry::Finished { .. }
            | Entry::Decided { .. }
            // Of those only the newest are kept: whoever writes the entry pins them.
            | Entry::Snapshot { .. } => {}
        }
    }

    /// Adds what a round that has just settled is made of, as far as its entries did not: what its contributors
    /// attested, and what came here of the updates that they serve themselves.
    pub(crate) fn add_settled(&mut self, pinning: &Pinning, state: &CampaignState) {
        if state.rules().settlement == Settlement::Contributors {
            self.if_here.extend(state.checkpoint().into_iter().chain(state.outer_state()));
            let difference = state.round().and_then(Round::difference);
            self.if_here.extend(difference.map(|difference| difference.packed));
        }
        if pinning.transport == Transport::Peers {
            let contributions = state.round().into_iter().flat_map(|round| round.contributions());
            self.if_here.extend(contributions.map(|accepted| accepted.update));
        }
    }
}
