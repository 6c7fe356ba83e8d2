use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, Entry, Metrics, RoundNumber};

use super::{Member, Presence, Published};
use crate::round::Attestation;
use crate::{Accepted, Change, Fault, FaultKind, Round, Rules, Stage};

/// What the log's next entry changes, once it is admitted.
impl Published {
    pub(super) fn fold(
        &mut self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        entry: &Entry,
    ) -> Vec<Change> {
        match entry {
            Entry::Published { .. } => Vec::new(),
            Entry::Joined { sequence, .. } => self.join(account, *sequence),
            Entry::Left { sequence, .. } => self.leave(account, *sequence),
            Entry::RoundOpened { round, base, .. } => self.open(rules, time, *round, *base),
            Entry::Contribution { round, update, samples, metrics, .. } => {
                self.contribute(account, *round, *update, *samples, *metrics)
            }
            Entry::RoundClosed { round, .. } => self.close(time, *round),
            Entry::Checkpointed { round, result, .. } => self.attest(rules, time, account, *round, *result),
        }
    }

    fn join(&mut self, account: AccountId, sequence: u64) -> Vec<Change> {
        let contributions = self.members.get(&account).map_or(0, |member| member.contributions);
        self.members.insert(account, Member { sequence, presence: Presence::Expected, contributions });
        vec![Change::Joined { account }]
    }

    fn leave(&mut self, account: AccountId, sequence: u64) -> Vec<Change> {
        if let Some(member) = self.members.get_mut(&account) {
            member.sequence = sequence;
            member.presence = Presence::Absent;
        }
        if let Some(round) = &mut self.round {
            round.awaited.remove(&account);
        }
        vec![Change::Left { account }]
    }

    fn open(&mut self, rules: &Rules, time: u64, number: RoundNumber, base: Cid) -> Vec<Change> {
        let cohort: BTreeSet<AccountId> = self.expected().collect();
        let round = Round::open(number, base, time, cohort);
        let change =
            Change::Opened { round: number, base, cohort: round.cohort, deadline: round.deadline(rules) };
        self.round = Some(round);
        vec![change]
    }

    fn contribute(
        &mut self,
        account: AccountId,
        number: RoundNumber,
        update: Cid,
        samples: u32,
        metrics: Metrics,
    ) -> Vec<Change> {
        self.contributions += 1;
        if let Some(member) = self.members.get_mut(&account) {
            member.contributions += 1;
            member.presence = Presence::Expected;
        }
        if let Some(round) = &mut self.round {
            round.awaited.remove(&account);
            round.contributions.push(Accepted { account, update, samples, metrics });
        }
        vec![Change::Contributed { round: number, account, samples, metrics }]
    }

    fn close(&mut self, time: u64, number: RoundNumber) -> Vec<Change> {
        let Some(round) = &mut self.round else { return Vec::new() };
        round.stage = Stage::Closed { at: time };
        let mut changes = vec![Change::Closed { round: number, accepted: round.contributions.len() }];
        for account in core::mem::take(&mut round.awaited) {
            if let Some(member) = self.members.get_mut(&account) {
                member.presence = Presence::Missed;
            }
            changes.push(Change::Missed { round: number, account });
        }
        changes
    }

    fn attest(
        &mut self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        number: RoundNumber,
        result: Cid,
    ) -> Vec<Change> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let mut changes = Vec::new();
        match round.attestations.get(&account) {
            Some(Attestation::Result(first)) => {
                let kind = FaultKind::Equivocated { first: *first, second: result };
                round.attestations.insert(account, Attestation::Void);
                self.record_fault(Fault { account, round: number, kind }, &mut changes);
            }
            Some(Attestation::Void) => {}
            None => {
                round.attestations.insert(account, Attestation::Result(result));
                changes.push(Change::Attested { round: number, account, result });
                if let Stage::Settled { result: settled } = round.stage
                    && settled != result
                {
                    let kind = FaultKind::Disagreed { attested: result, settled };
                    self.record_fault(Fault { account, round: number, kind }, &mut changes);
                }
            }
        }
        self.settle(rules, time, &mut changes);
        changes
    }

    fn settle(&mut self, rules: &Rules, time: u64, changes: &mut Vec<Change>) {
        let Some(round) = &self.round else { return };
        let Some(result) = self.settlement(rules, time, round) else { return };
        let number = round.number;
        changes.push(Change::Settled { round: number, result, attestations: round.agreeing(result) });
        let contradicting: Vec<_> =
            round.attestations().filter(|(_account, attested)| *attested != result).collect();
        if let Some(round) = &mut self.round {
            round.stage = Stage::Settled { result };
        }
        for (account, attested) in contradicting {
            let kind = FaultKind::Disagreed { attested, settled: result };
            self.record_fault(Fault { account, round: number, kind }, changes);
        }
        if self.settled() >= rules.limit {
            changes.push(Change::Finished { result });
        }
    }

    fn record_fault(&mut self, fault: Fault, changes: &mut Vec<Change>) {
        self.faults.push(fault);
        changes.push(Change::Faulted(fault));
    }

    /// The result that the attestations settle this closed round with, if they do.
    ///
    /// The coordinator's is always among them, since accounts cost nothing and any number of them may belong to one
    /// person. The quorum is lowered to the coordinator and the members still expected; when those have let the
    /// deadline pass, the coordinator's result stands if more than half of the attestations agree with it.
    pub(super) fn settlement(&self, rules: &Rules, time: u64, round: &Round) -> Option<Cid> {
        let Stage::Closed { at } = round.stage else { return None };
        let Some(Attestation::Result(result)) = round.attestations.get(&self.coordinator) else {
            return None;
        };
        let agreeing = round.agreeing(*result);
        let attesters = 1 + self.expected().filter(|account| *account != self.coordinator).count();
        let quorum = attesters.min(rules.quorum.max(1) as usize);
        let is_late = time >= at.saturating_add(rules.deadline_ms);
        let is_majority = agreeing * 2 > round.attestations().count();
        (agreeing >= quorum || is_late && is_majority).then_some(*result)
    }
}
