//! Members whose connection is gone: what the coordinator may say of them, and what follows from it.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::Settlement;
use lichen_record::{AccountId, RoundNumber};

use super::Published;
use crate::roll::Presence;
use crate::round::Voice;
use crate::{Change, Refusal, Round, Rules, Stage};

impl Published {
    pub(super) fn admit_departed(
        &self,
        rules: &Rules,
        signer: AccountId,
        round: RoundNumber,
        account: &AccountId,
    ) -> Result<(), Refusal> {
        self.check_coordinator(signer)?;
        let current = self.at_round(round)?;
        if self.is_awaited(rules, current, account) { Ok(()) } else { Err(Refusal::NotAwaited) }
    }

    /// Whether the round would go on sooner without this account.
    pub(super) fn is_awaited(&self, rules: &Rules, round: &Round, account: &AccountId) -> bool {
        match round.stage {
            Stage::Open => round.awaited.contains(account),
            Stage::Settled { .. } => false,
            Stage::Closed { .. } => match rules.settlement {
                Settlement::Coordinator => {
                    self.roll.is_expected(account) && round.is_drawn(account) && !round.has_attested(account)
                }
                Settlement::Contributors => round.voices.get(account).is_some_and(Voice::is_awaited),
            },
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
        self.let_go(rules, time, &account);
        if let Some(round) = &mut self.round {
            round.departed.insert(account);
        }
        self.change(&account, |member| member.presence = Presence::Missed);
        let mut changes = vec![Change::Departed { round: number, account }];
        // Fewer are expected to attest: what is attested may be enough now.
        self.settle(rules, time, &mut changes);
        changes
    }

    /// The round waits for this account no longer. If it had waited for longer than rounds are apart anyway, others lost
    /// time by it.
    pub(super) fn let_go(&mut self, rules: &Rules, time: u64, account: &AccountId) {
        let Some(round) = &self.round else { return };
        if !self.is_awaited(rules, round, account) {
            return;
        }
        let since = match round.stage {
            Stage::Closed { at } => at,
            Stage::Open | Stage::Settled { .. } => round.opened,
        };
        let has_held_up = time >= since.saturating_add(rules.interval_ms);
        let is_newcomer = round.stage == Stage::Open && round.newcomers.accounts.contains(account);
        let is_replacing = self.is_replacing(account);
        self.change(account, |member| match (has_held_up, is_newcomer) {
            (true, false) if is_replacing => {}
            (true, false) => member.standing.miss(),
            (false, true) => member.standing.return_chance(),
            (true, true) | (false, false) => {}
        });
        let Some(round) = &mut self.round else { return };
        round.awaited.remove(account);
        if is_newcomer {
            round.newcomers.accounts.remove(account);
            round.newcomers.are_vain |= has_held_up;
        }
        if round.stage == Stage::Open {
            self.replace(1);
        }
    }
}
