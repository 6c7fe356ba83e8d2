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
            Entry::Left { sequence, .. } => self.leave(rules, time, account, *sequence),
            Entry::RoundOpened { round, base, .. } => self.open(rules, time, *round, *base),
            Entry::Contribution { round, update, samples, metrics, .. } => {
                self.contribute(account, *round, *update, *samples, *metrics)
            }
            Entry::RoundClosed { round, .. } => self.close(rules, time, *round),
            Entry::Checkpointed { round, result, .. } => self.attest(rules, time, account, *round, *result),
            Entry::Unavailable { round, update, .. } => self.report(rules, time, account, *round, *update),
            Entry::Departed { round, account: departed, .. } => self.depart(rules, time, *round, *departed),
        }
    }

    fn join(&mut self, account: AccountId, sequence: u64) -> Vec<Change> {
        let contributions = self.members.get(&account).map_or(0, |member| member.contributions);
        self.members.insert(account, Member { sequence, presence: Presence::Expected, contributions });
        vec![Change::Joined { account }]
    }

    fn leave(&mut self, rules: &Rules, time: u64, account: AccountId, sequence: u64) -> Vec<Change> {
        if let Some(member) = self.members.get_mut(&account) {
            member.sequence = sequence;
            member.presence = Presence::Absent;
        }
        if let Some(round) = &mut self.round {
            round.awaited.remove(&account);
        }
        let mut changes = vec![Change::Left { account }];
        // Fewer are expected to attest: what is attested may be enough now.
        if rules.is_mesh() {
            self.settle(rules, time, &mut changes);
        }
        changes
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
            round.departed.remove(&account);
            round.contributions.push(Accepted { account, update, samples, metrics, is_excluded: false });
        }
        vec![Change::Contributed { round: number, account, samples, metrics }]
    }

    fn close(&mut self, rules: &Rules, time: u64, number: RoundNumber) -> Vec<Change> {
        let Some(round) = &mut self.round else { return Vec::new() };
        if matches!(round.stage, Stage::Closed { .. }) {
            return self.close_for_good(rules, time);
        }
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
                round.departed.remove(&account);
                // Whoever computed the result has every update.
                for reporters in round.reports.values_mut() {
                    reporters.remove(&account);
                }
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
}
