use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, RoundNumber};

use super::{Presence, Published};
use crate::round::Attestation;
use crate::{Accepted, Change, Fault, FaultKind, Round, Rules, Stage};

/// What settles a round, and which contributions count for its result.
impl Published {
    /// Settles the closed round if what stands in the log is enough for it.
    pub(super) fn settle(&mut self, rules: &Rules, time: u64, changes: &mut Vec<Change>) {
        let Some(round) = &self.round else { return };
        let Some(result) = self.settlement(rules, time, round) else { return };
        self.settle_with(rules, result, changes);
    }

    fn settle_with(&mut self, rules: &Rules, result: Cid, changes: &mut Vec<Change>) {
        let Some(round) = &mut self.round else { return };
        let number = round.number;
        changes.push(Change::Settled { round: number, result, attestations: round.agreeing(result) });
        let contradicting: Vec<_> =
            round.attestations().filter(|(_account, attested)| *attested != result).collect();
        round.stage = Stage::Settled { result };
        for (account, attested) in contradicting {
            let kind = FaultKind::Disagreed { attested, settled: result };
            self.record_fault(Fault { account, round: number, kind }, changes);
        }
        if self.settled() >= rules.limit {
            changes.push(Change::Finished { result });
        }
    }

    pub(super) fn record_fault(&mut self, fault: Fault, changes: &mut Vec<Change>) {
        self.faults.push(fault);
        changes.push(Change::Faulted(fault));
    }

    /// The result that the attestations settle this closed round with, if they do.
    pub(super) fn settlement(&self, rules: &Rules, time: u64, round: &Round) -> Option<Cid> {
        let Stage::Closed { at } = round.stage else { return None };
        let is_late = time >= at.saturating_add(rules.deadline_ms);
        match rules.is_mesh() {
            true => self.mesh_settlement(rules, is_late, round),
            false => self.hub_settlement(rules, is_late, round),
        }
    }

    /// The coordinator's result is always among those that agree, since accounts cost nothing and any number of them
    /// may belong to one person. The quorum is lowered to the coordinator and the members still expected; when those
    /// have let the deadline pass, the coordinator's result stands if more than half of the attestations agree with it.
    fn hub_settlement(&self, rules: &Rules, is_late: bool, round: &Round) -> Option<Cid> {
        let Some(Attestation::Result(result)) = round.attestations.get(&self.coordinator) else {
            return None;
        };
        let agreeing = round.agreeing(*result);
        let attesters = 1 + self.expected().filter(|account| *account != self.coordinator).count();
        let quorum = attesters.min(rules.quorum.max(1) as usize);
        let is_majority = agreeing * 2 > round.attestations().count();
        (agreeing >= quorum || is_late && is_majority).then_some(*result)
    }

    /// More than half of the contributors who count and have not left attest the same, and the quorum as far as there
    /// are as many with a connection; when the deadline has passed, the majority is enough. Without contributions that count, nothing
    /// changes.
    fn mesh_settlement(&self, rules: &Rules, is_late: bool, round: &Round) -> Option<Cid> {
        let mut counted = round.counted().peekable();
        if counted.peek().is_none() {
            return Some(round.base);
        }
        let attesters = counted
            .filter(|accepted| self.is_present(&accepted.account) || round.has_attested(&accepted.account))
            .count();
        let departed = round.departed.iter().filter(|account| round.counts(account)).count();
        let quorum = if is_late { 0 } else { (attesters - departed).min(rules.quorum as usize) };
        let mut results = round.attestations().map(|(_account, result)| result);
        results.find(|result| {
            let agreeing = round.agreeing(*result);
            agreeing >= quorum && agreeing * 2 > attesters
        })
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
            round.reports.entry(update).or_default().insert(account);
        }
        while let Some(update) = self.round.as_ref().and_then(unavailable) {
            let mut gone = self.silent();
            gone.retain(|account| self.owns(account, update));
            self.exclude(|accepted| accepted.update == update, &mut changes);
            self.miss(gone, &mut changes);
        }
        self.settle(rules, time, &mut changes);
        changes
    }

    /// Takes contributions out of the round. What was attested until now was about another set, and is void without
    /// anybody's fault; whoever contradicted itself stays without a voice.
    fn exclude(&mut self, is_meant: impl Fn(&Accepted) -> bool, changes: &mut Vec<Change>) {
        let Some(round) = &mut self.round else { return };
        for accepted in round.contributions.iter_mut().filter(|accepted| !accepted.is_excluded) {
            if !is_meant(accepted) {
                continue;
            }
            accepted.is_excluded = true;
            self.contributions = self.contributions.saturating_sub(1);
            if let Some(member) = self.members.get_mut(&accepted.account) {
                member.contributions = member.contributions.saturating_sub(1);
            }
            let Accepted { account, update, .. } = *accepted;
            changes.push(Change::Excluded { round: round.number, account, update });
        }
        round.attestations.retain(|_account, attestation| *attestation == Attestation::Void);
    }

    /// The deadline for attestations has passed: the majority's result stands, or nothing comes of the round. Either
    /// way it ends, and whoever was silent is not waited for again.
    pub(super) fn close_for_good(&mut self, rules: &Rules, time: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let silent = self.silent();
        self.settle(rules, time, &mut changes);
        if !matches!(self.round, Some(Round { stage: Stage::Settled { .. }, .. })) {
            self.exclude(|_accepted| true, &mut changes);
            self.settle(rules, time, &mut changes);
        }
        self.miss(silent, &mut changes);
        changes
    }

    /// The round's contributors that were not heard of since.
    fn silent(&self) -> BTreeSet<AccountId> {
        let Some(round) = &self.round else { return BTreeSet::new() };
        let is_heard = |account: &AccountId| {
            round.has_attested(account) || round.reports.values().any(|reporters| reporters.contains(account))
        };
        let contributors = round.contributions.iter().map(|accepted| accepted.account);
        contributors.filter(|account| !is_heard(account)).collect()
    }

    fn owns(&self, account: &AccountId, update: Cid) -> bool {
        let is_own = |accepted: &Accepted| accepted.account == *account && accepted.update == update;
        self.round.as_ref().is_some_and(|round| round.contributions.iter().any(is_own))
    }

    /// Rounds wait for these members no longer.
    fn miss(&mut self, accounts: BTreeSet<AccountId>, changes: &mut Vec<Change>) {
        let Some(round) = self.round.as_ref().map(|round| round.number) else { return };
        for account in accounts {
            if let Some(member) = self.members.get_mut(&account)
                && member.presence == Presence::Expected
            {
                member.presence = Presence::Missed;
                changes.push(Change::Missed { round, account });
            }
        }
    }
}

/// An update that more than half of the other contributors who count could get from nobody: the first in log order.
fn unavailable(round: &Round) -> Option<Cid> {
    let is_unavailable = |accepted: &&Accepted| {
        let mut others = round.counted().filter(|other| other.update != accepted.update).peekable();
        others.peek().is_some() && {
            let (reporting, all) = others.fold((0, 0), |(reporting, all), other| {
                (reporting + usize::from(round.has_reported(&other.account, &accepted.update)), all + 1)
            });
            reporting * 2 > all
        }
    };
    round.counted().find(is_unavailable).map(|accepted| accepted.update)
}
