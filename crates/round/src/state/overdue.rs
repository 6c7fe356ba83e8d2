//! Rounds that have waited for as long as they may: extended for a while, and then skipped.

use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, RoundNumber};

use super::Published;
use crate::roll::Presence;
use crate::{Change, Refusal, Rules, Stage};

impl Published {
    pub(super) fn admit_overdue(
        &self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        round: RoundNumber,
    ) -> Result<(), Refusal> {
        self.check_coordinator(account)?;
        if rules.extensions.is_none() {
            return Err(Refusal::NeverSkipped);
        }
        let current = self.at_round(round)?;
        if current.stage == Stage::Open && current.contributions().len() >= rules.minimum.max(1) as usize {
            return Err(Refusal::EnoughContributions);
        }
        match current.overdue_from(rules) {
            Some(from) if time >= from => Ok(()),
            Some(_later) => Err(Refusal::DeadlinePending),
            None => Err(Refusal::RoundNotOpen),
        }
    }

    /// The waiting is over: those who were waited for are not any longer, and the round gets more time, or ends without a
    /// result.
    pub(super) fn end_waiting(&mut self, rules: &Rules, time: u64, number: RoundNumber) -> Vec<Change> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let is_open = round.stage == Stage::Open;
        if is_open && round.extensions() < rules.extensions.unwrap_or(0) {
            round.extend(time);
            let deadline = round.deadline(rules);
            let mut changes = self.miss_awaited(number);
            self.replace(changes.len());
            changes.push(Change::Extended { round: number, deadline });
            return changes;
        }
        let mut changes = if is_open { self.miss_all(number) } else { Vec::new() };
        self.skip(rules, number, &mut changes);
        changes
    }

    /// Nobody who could have contributed and has not is taken to be there any longer, until it says so.
    fn miss_all(&mut self, number: RoundNumber) -> Vec<Change> {
        let changes = self.miss_awaited(number);
        let Some(round) = &self.round else { return changes };
        let is_silent = |account: &AccountId| round.has_turn(account) && !round.has_contributed(account);
        let silent: Vec<_> = self.roll.here().filter(is_silent).collect();
        for account in silent {
            self.change(&account, |member| member.presence = Presence::Missed);
        }
        changes
    }

    fn skip(&mut self, rules: &Rules, number: RoundNumber, changes: &mut Vec<Change>) {
        let Some(round) = &mut self.round else { return };
        let unchanged = round.unchanged();
        round.skip();
        self.history.settle(number, unchanged);
        self.course.settled(round);
        let result = unchanged.result;
        changes.extend(vec![
            Change::Settled { round: number, result, attestations: 0 },
            Change::Skipped { round: number },
        ]);
        if self.settled() >= rules.limit {
            changes.push(Change::Finished { result });
        }
    }
}
