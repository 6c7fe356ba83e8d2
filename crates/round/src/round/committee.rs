//! Who attests a round where the manifest says how many do: drawn by lot when the round closes.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, CidHasher, Codec, RoundNumber};

use super::Round;
use crate::Rules;
use crate::lot;
use crate::roll::Roll;
use crate::say::Say;
use crate::weights::{Claim, weights};

/// What the hash of the lot begins with, so that it is no other hash.
const DOMAIN: &[u8] = b"lichen-committee-1";

/// Weight of one account in a lot, so large that the part of one newcomer among thousands does not round to nothing.
const FINE: u32 = 1 << 20;

impl Round {
    /// The accounts drawn to attest this round's result; none where everybody may, or before the round is closed.
    #[must_use]
    pub const fn committee(&self) -> Option<&BTreeSet<AccountId>> {
        self.committee.as_ref()
    }

    /// Whether the account is not left out by the lot.
    #[must_use]
    pub fn is_drawn(&self, account: &AccountId) -> bool {
        self.committee.as_ref().is_none_or(|committee| committee.contains(account))
    }

    /// Draws the committee of a round that this entry closes, if the rules want one, from the contributors who are here and
    /// may attest: each with a chance in proportion to what it has to show for, where that counts.
    pub(crate) fn draw(&mut self, rules: &Rules, closing: &Cid, roll: &Roll, coordinator: &AccountId) {
        let Some(size) = rules.committee else { return };
        let lot = self.lot(rules, closing);
        let may_attest = |account: &&AccountId| {
            *account != coordinator && roll.is_present(account) && !roll.is_barred(account, self.number)
        };
        let accounts: Vec<_> = self.by_account.keys().filter(may_attest).copied().collect();
        let chances = self.chances(&accounts);
        let drawn = lot::draw(&lot, accounts.into_iter().zip(chances).collect(), size as usize);
        let committee: BTreeSet<_> = drawn.into_iter().collect();
        for owners in self.by_update.values_mut() {
            let accepted = owners.places.iter().filter_map(|place| self.contributions.get(*place));
            owners.say = Say::NONE;
            for accepted in accepted.filter(|accepted| committee.contains(&accepted.account)) {
                owners.say.add(Say::of(self.auditing, accepted.audited));
            }
        }
        self.committee = Some(committee);
        let contributors: Vec<_> = self.by_account.keys().copied().collect();
        for account in contributors {
            self.recount(&account, roll);
        }
    }

    fn chances(&self, accounts: &[AccountId]) -> Vec<u32> {
        let Some(auditing) = self.auditing else { return vec![1; accounts.len()] };
        let audited = |account| self.contribution_of(account).map_or(0, |accepted| accepted.audited);
        let claim = |account| Claim { samples: FINE, audited: audited(account) };
        weights(auditing, &accounts.iter().map(claim).collect::<Vec<_>>())
    }

    /// What nobody knows before the coordinator has signed the closing, which it does after the last contribution.
    fn lot(&self, rules: &Rules, closing: &Cid) -> Cid {
        let RoundNumber(number) = self.number;
        let mut hash = CidHasher::default();
        hash.update(DOMAIN);
        hash.update(&rules.seed.to_be_bytes());
        hash.update(&number.to_be_bytes());
        hash.update(&closing.to_bytes());
        for accepted in &self.contributions {
            hash.update(accepted.account.as_bytes());
            hash.update(&accepted.update.to_bytes());
        }
        hash.finish(Codec::Raw)
    }
}
