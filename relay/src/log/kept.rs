//! Which blobs are kept for good because the log names them.

use lichen_campaign::{Settlement, Transport};
use lichen_record::{AccountId, Cid, Entry, Verified};
use lichen_round::CampaignState;

use crate::log::campaign::Campaign;

/// What of a campaign decides which blobs are kept.
#[derive(Clone, Copy)]
pub(crate) struct Keeping {
    data: Cid,
    transport: Transport,
    coordinator: AccountId,
}

impl Keeping {
    pub(crate) const fn of(campaign: &Campaign, coordinator: AccountId) -> Self {
        let (data, transport) = (campaign.manifest.data.cid, campaign.manifest.rounds.transport);
        Self { data, transport, coordinator }
    }
}

/// Blobs without which the log could not be checked, and blobs that are kept if they are here.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) required: Vec<Cid>,
    pub(crate) if_here: Vec<Cid>,
}

impl Kept {
    /// Adds what an entry names.
    pub(crate) fn add_entry(&mut self, keeping: &Keeping, entry: &Verified<Entry>) {
        match entry.get() {
            Entry::Published { manifest, base, .. } => {
                self.required.extend([*manifest, *base, keeping.data]);
            }
            Entry::Contribution { update, .. } => match keeping.transport {
                Transport::Relay => self.required.push(*update),
                Transport::Peers => self.if_here.push(*update),
            },
            // A tab may attest what nobody else has; the coordinator attests what it has stored.
            Entry::Attestation { result, .. } if entry.account() == keeping.coordinator => {
                self.required.push(*result);
            }
            Entry::Joined { .. }
            | Entry::Left { .. }
            | Entry::RoundOpened { .. }
            | Entry::RoundClosed { .. }
            | Entry::Attestation { .. }
            | Entry::Unavailable { .. }
            | Entry::Departed { .. }
            | Entry::Finished { .. } => {}
        }
    }

    /// Adds what a round that has just settled is made of, as far as its entries did not: the checkpoint that its
    /// contributors attested, and what came here of the updates that they serve themselves.
    pub(crate) fn add_settled(&mut self, keeping: &Keeping, state: &CampaignState) {
        if state.rules().settlement == Settlement::Contributors {
            self.if_here.extend(state.checkpoint());
        }
        if keeping.transport == Transport::Peers {
            let contributions = state.round().into_iter().flat_map(|round| round.contributions());
            self.if_here.extend(contributions.map(|accepted| accepted.update));
        }
    }
}
