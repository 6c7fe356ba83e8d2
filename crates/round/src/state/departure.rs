//! Members whose connection is gone: what the coordinator may say of them, and what follows from it.

use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, RoundNumber};

use super::{Presence, Published};
use crate::{Change, Refusal, Round, Rules, Stage};

impl Published {
    pub(super) fn admit_departed(
        &self,
        rules: &Rules,
        signer: AccountId,
        round: RoundNumber,
        account: &AccountId,
    ) -> Result<(), Refusal> {
        if signer != self.coordinator {
            return Err(Refusal::NotCoordinator);
        }
        let current = self.at_round(round)?;
        if self.is_awaited(rules, current, account) { Ok(()) } else { Err(Refusal::NotAwaited) }
    }

    /// Whether the round would go on sooner without this account.
    fn is_awaited(&self, rules: &Rules, round: &Round, account: &AccountId) -> bool {
        match round.stage {
            Stage::Open => round.awaited.contains(account),
            Stage::Settled { .. } => false,
            Stage::Closed { .. } if round.has_attested(account) => false,
            Stage::Closed { .. } if rules.is_mesh() => {
                round.counts(account) && !round.departed.contains(account) && self.is_present(account)
            }
            Stage::Closed { .. } => {
                self.members.get(account).is_some_and(|member| member.presence == Presence::Expected)
            }
        }
    }

    /// Nobody waits for the account until it contributes again; what it contributed stays.
    pub(super) fn depart(
        &mut self,
        rules: &Rules,
        time: u64,
        number: RoundNumber,
        account: AccountId,
    ) -> Vec<Change> {
        if let Some(round) = &mut self.round {
            round.awaited.remove(&account);
            round.departed.insert(account);
        }
        if let Some(member) = self.members.get_mut(&account) {
            member.presence = Presence::Missed;
        }
        let mut changes = vec![Change::Departed { round: number, account }];
        // Fewer are expected to attest: what is attested may be enough now.
        self.settle(rules, time, &mut changes);
        changes
    }

    /// Whether waiting longer for a mesh's closed round is in vain: whoever of its contributors has neither left nor
    /// departed attested, or reported what it misses while nobody attested who could give it.
    pub(super) fn is_heard_out(&self, round: &Round) -> bool {
        let has_reported = |account: &AccountId| {
            round.attestations.is_empty() && round.reports.values().any(|by| by.contains(account))
        };
        let mut counted = round.counted().map(|accepted| accepted.account);
        counted.all(|account| {
            !self.is_present(&account)
                || round.departed.contains(&account)
                || round.has_attested(&account)
                || has_reported(&account)
        })
    }
}
