//! When a round settles, and with which result.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::Settlement;
use lichen_record::{AccountId, Cid, RoundNumber};

use super::Published;
use crate::roll::Presence;
use crate::round::{Attestation, Votes};
use crate::{Change, Fault, FaultKind, Outcome, Round, Rules, Stage};

/// Faults that are remembered one by one; what follows from each stays with its account.
const REMEMBERED: usize = 64;

/// What settles a round, and which contributions count for its result.
impl Published {
    /// Settles the closed round if what stands in the log is enough for it.
    pub(super) fn settle(&mut self, rules: &Rules, time: u64, changes: &mut Vec<Change>) {
        let Some(round) = &self.round else { return };
        let Stage::Closed { at } = round.stage else { return };
        let is_late = time >= at.saturating_add(rules.deadline_ms);
        let result = match rules.settlement {
            Settlement::Coordinator => self.settled_by_coordinator(rules, is_late, round),
            Settlement::Contributors => settled_by_contributors(rules, is_late, round),
        };
        let Some(result) = result else { return };
        let silent = match rules.settlement {
            Settlement::Coordinator if is_late => self.silent_members(rules, round),
            // Silent contributors count as missing when the round is closed for good.
            Settlement::Coordinator | Settlement::Contributors => Vec::new(),
        };
        self.settle_with(rules, result, changes);
        self.miss(silent, changes);
    }

    fn settle_with(&mut self, rules: &Rules, outcome: Outcome, changes: &mut Vec<Change>) {
        let Some(round) = &mut self.round else { return };
        let number = round.number;
        let Outcome { result, state } = outcome;
        changes.push(Change::Settled { round: number, result, attestations: round.agreeing(outcome) });
        if result == round.base && round.counted().next().is_some() {
            changes.push(Change::SetAside { round: number });
        }
        let contradicting: Vec<_> =
            round.attestations().filter(|(_account, attested)| *attested != outcome).collect();
        round.stage = Stage::Settled { result, state };
        self.history.settle(number, outcome);
        self.course.settled(round);
        for (account, attested) in contradicting {
            let kind = FaultKind::Disagreed { attested, settled: outcome };
            self.record_fault(Fault { account, round: number, kind }, changes);
        }
        self.draw_audits(rules, changes);
        if self.settled() >= rules.limit {
            changes.push(Change::Finished { result });
        }
    }

    /// The fault stands in the log, and its account is barred from the next rounds' attestations.
    pub(super) fn record_fault(&mut self, fault: Fault, changes: &mut Vec<Change>) {
        if self.faults.len() == REMEMBERED {
            self.faults.remove(0);
        }
        self.faults.push(fault);
        self.change(&fault.account, |member| member.fault(fault.round));
        changes.push(Change::Faulted(fault));
    }

    /// The coordinator's result is always among those that agree, since accounts cost nothing and any number of them
    /// may belong to one person.
    fn settled_by_coordinator(&self, rules: &Rules, is_late: bool, round: &Round) -> Option<Outcome> {
        if round.count() == 0 {
            return Some(round.unchanged());
        }
        let Some(Attestation::Result(result)) = round.tally.get(&self.coordinator) else {
            return None;
        };
        let (agreeing, cast) = (round.tally.votes(&result), round.tally.cast());
        self.is_enough(rules, is_late, round, agreeing, cast).then_some(result)
    }

    /// Whether a round settles with these attestations that agree with the coordinator's, that one among them, of all of these.
    /// When those who are expected have let the deadline pass, more than half of what the attesting accounts have to say
    /// is enough.
    pub(super) fn is_enough(
        &self,
        rules: &Rules,
        is_late: bool,
        round: &Round,
        agreeing: Votes,
        cast: Votes,
    ) -> bool {
        agreeing.heads >= self.lowered_quorum(rules, round)
            || is_late && agreeing.say.is_most_of(cast.say, rules.audit)
    }

    /// The quorum, lowered to the coordinator and the members that rounds wait for, of the committee if there is one.
    fn lowered_quorum(&self, rules: &Rules, round: &Round) -> usize {
        let others = match round.committee() {
            Some(_drawn) => round.voices.prompt(),
            None => self.roll.expected().len() - usize::from(self.roll.is_expected(&self.coordinator)),
        };
        (1 + others).min(rules.quorum.max(1) as usize)
    }

    /// Members for whose attestation a round that the coordinator settles waited in vain.
    fn silent_members(&self, rules: &Rules, round: &Round) -> Vec<AccountId> {
        let attested = round.tally.get(&self.coordinator);
        let agreeing = match attested {
            Some(Attestation::Result(result)) => round.agreeing(result),
            Some(Attestation::Void) | None => 0,
        };
        if agreeing >= self.lowered_quorum(rules, round) {
            return Vec::new();
        }
        let expected = self.roll.expected().iter().copied();
        let is_silent = |account: &AccountId| {
            *account != self.coordinator && round.is_drawn(account) && !round.has_attested(account)
        };
        expected.filter(is_silent).collect()
    }

    /// A contributor could get an update from nobody.
    pub(super) fn report(
        &mut self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        number: RoundNumber,
        update: Cid,
    ) -> Vec<Change> {
        let mut changes = vec![Change::Unavailable { round: number, account, update }];
        if let Some(round) = &mut self.round {
            let say = round.say_of(&account);
            round.reports.add(account, say, update);
        }
        self.recount(&account);
        let mut lost = self.round.as_ref().filter(|round| round.is_unavailable(&update)).map(|_round| update);
        while let Some(update) = lost {
            let owners = self.exclude(&update, &mut changes);
            self.miss(owners, &mut changes);
            lost = self.round.as_ref().and_then(Round::unavailable);
        }
        self.settle(rules, time, &mut changes);
        changes
    }

    /// Takes contributions out of the round, and says whose. What was attested until now was about another set, and is void
    /// without anybody's fault; whoever contradicted itself stays without a voice.
    fn exclude(&mut self, update: &Cid, changes: &mut Vec<Change>) -> Vec<AccountId> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let number = round.number;
        let owners = round.exclude(update);
        let mut changed = round.reports.forget(update);
        changed.extend(round.tally.begin_anew());
        for account in &owners {
            let say = round.say_of(account);
            round.reports.withdraw(account, say);
        }
        for account in changed {
            self.recount(&account);
        }
        for account in &owners {
            self.contributions = self.contributions.saturating_sub(1);
            self.change(account, |member| member.contributions = member.contributions.saturating_sub(1));
            changes.push(Change::Excluded { round: number, account: *account, update: *update });
        }
        owners
    }

    /// The waiting for attestations is over: the majority's result stands, or nothing comes of the round. Either way it
    /// ends, and whoever was silent is not waited for again.
    pub(super) fn close_for_good(&mut self, rules: &Rules, time: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let silent = self.silent_contributors();
        self.settle(rules, time, &mut changes);
        if !matches!(self.round, Some(Round { stage: Stage::Settled { .. }, .. })) {
            self.exclude_all(&mut changes);
            self.settle(rules, time, &mut changes);
        }
        self.miss(silent, &mut changes);
        changes
    }

    fn exclude_all(&mut self, changes: &mut Vec<Change>) {
        let counted = self.round.iter().flat_map(Round::counted).map(|accepted| accepted.update);
        for update in counted.collect::<Vec<_>>() {
            self.exclude(&update, changes);
        }
    }

    /// Those of the round's contributors who have a say and were not heard of since.
    fn silent_contributors(&self) -> Vec<AccountId> {
        let Some(round) = &self.round else { return Vec::new() };
        let is_heard = |account: &AccountId| round.has_attested(account) || round.reports.is_heard(account);
        let contributors = round.contributions().iter().map(|accepted| accepted.account);
        let mut silent: Vec<_> =
            contributors.filter(|account| round.is_drawn(account) && !is_heard(account)).collect();
        silent.sort_unstable();
        silent
    }

    /// Others lost time by these members: rounds wait for them no longer. Who has departed is not waited for as it is.
    fn miss(&mut self, accounts: Vec<AccountId>, changes: &mut Vec<Change>) {
        let Some(round) = &self.round else { return };
        let number = round.number;
        let is_there = |account: &AccountId| !round.departed.contains(account) && self.is_present(account);
        let accounts: Vec<_> = accounts.into_iter().filter(is_there).collect();
        for account in accounts {
            let was_expected = self.roll.is_expected(&account);
            self.change(&account, |member| {
                member.standing.miss();
                member.presence = Presence::Missed;
            });
            if was_expected {
                changes.push(Change::Missed { round: number, account });
            }
        }
    }
}

/// More than half of the contributors who count and have not left attest the same, by what they have to say, and the quorum as
/// far as rounds wait for as many; when the deadline has passed, the majority is enough. Without contributions that count,
/// nothing changes.
fn settled_by_contributors(rules: &Rules, is_late: bool, round: &Round) -> Option<Outcome> {
    if round.count() == 0 {
        return Some(round.unchanged());
    }
    let quorum = if is_late { 0 } else { round.voices.prompt().min(rules.quorum as usize) };
    let is_enough = |(_result, votes): &(Outcome, Votes)| {
        votes.heads >= quorum && votes.say.is_most_of(round.voices.attesters(), rules.audit)
    };
    round.tally.leaders().find(is_enough).map(|(result, _votes)| result)
}
