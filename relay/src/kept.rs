//! Which blobs are kept for good because the log names them.

use lichen_campaign::Topology;
use lichen_record::{AccountId, Cid, Entry, Verified};
use lichen_round::CampaignState;

/// Blobs without which the log could not be checked, and blobs that a mesh keeps if they are here.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) required: Vec<Cid>,
    pub(crate) if_here: Vec<Cid>,
}

impl Kept {
    /// Adds what an entry names; `data` is the campaign's.
    pub(crate) fn add_entry(
        &mut self,
        entry: &Verified<Entry>,
        topology: Topology,
        coordinator: AccountId,
        data: Cid,
    ) {
        match entry.get() {
            Entry::Published { manifest, base, .. } => self.required.extend([*manifest, *base, data]),
            Entry::Contribution { update, .. } => match topology {
                Topology::Hub => self.required.push(*update),
                Topology::Mesh => self.if_here.push(*update),
            },
            // A tab may attest what nobody else has; the coordinator attests what it has stored.
            Entry::Checkpointed { result, .. } if entry.account() == coordinator => {
                self.required.push(*result);
            }
            _ => {}
        }
    }

    /// Adds what a round that has just settled is made of: in a mesh the checkpoint, and what came here of its updates.
    pub(crate) fn add_settled(&mut self, state: &CampaignState) {
        if state.rules().topology == Topology::Hub {
            return;
        }
        self.if_here.extend(state.checkpoint());
        let round = state.round();
        let updates =
            round.into_iter().flat_map(|round| round.contributions()).map(|accepted| accepted.update);
        self.if_here.extend(updates);
    }
}
