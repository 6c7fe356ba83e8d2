//! What an admitted entry changes.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::Settlement;
use lichen_record::{AccountId, Cid, Entry, RoundNumber, Verified};

use super::Published;
use crate::roll::{Member, Presence};
use crate::round::Attestation;
use crate::say::Say;
use crate::{Accepted, Change, Fault, FaultKind, Outcome, Round, Rules, Stage};

/// What the log's next entry changes, once it is admitted.
impl Published {
    pub(super) fn fold(&mut self, rules: &Rules, time: u64, entry: &Verified<Entry>) -> Vec<Change> {
        let account = entry.account();
        match entry.get() {
            // The last two are folded where the whole state is at hand.
            Entry::Published { .. } | Entry::Snapshot { .. } | Entry::Decided { .. } => Vec::new(),
            Entry::Joined { sequence, .. } => self.join(account, *sequence),
            Entry::Left { sequence, .. } => self.leave(rules, time, account, *sequence),
            Entry::RoundOpened { round, base, .. } => self.open(rules, time, *round, *base, &entry.id()),
            Entry::Contribution { round, update, samples, metrics, engine, trace, .. } => {
                let (update, samples, metrics, engine) = (*update, *samples, *metrics, *engine);
                let audited = self.roll.get(&account).map_or(0, |member| member.audited());
                let (trace, is_excluded) = (*trace, false);
                let accepted =
                    Accepted { account, update, samples, metrics, engine, trace, audited, is_excluded };
                self.contribute(*round, accepted)
            }
            Entry::RoundClosed { round, .. } => self.close(rules, time, *round, &entry.id()),
            Entry::Attestation { round, result, state, difference, .. } => {
                self.name_difference(account, *result, *difference);
                self.attest(rules, time, account, *round, Outcome { result: *result, state: *state })
            }
            Entry::Unavailable { round, update, .. } => self.report(rules, time, account, *round, *update),
            Entry::Departed { round, account: departed, .. } => self.depart(rules, time, *round, *departed),
            Entry::RoundOverdue { round, .. } => self.end_waiting(rules, time, *round),
            Entry::Finished { round, .. } => self.finish(*round),
            Entry::Audit { round, contributor, found, evidence, .. } => {
                self.audit(rules, account, *round, *contributor, (*found, *evidence))
            }
        }
    }

    fn join(&mut self, account: AccountId, sequence: u64) -> Vec<Change> {
        let next = self.next_round();
        self.roll.enter(account, |member| member.join(sequence, next));
        self.recount(&account);
        self.give_place(&account);
        vec![Change::Joined { account }]
    }

    fn leave(&mut self, rules: &Rules, time: u64, account: AccountId, sequence: u64) -> Vec<Change> {
        self.let_go(rules, time, &account);
        self.change(&account, |member| {
            member.sequence = sequence;
            member.presence = Presence::Absent;
        });
        let mut changes = vec![Change::Left { account }];
        // Fewer are expected to attest: what is attested may be enough now.
        if rules.settlement == Settlement::Contributors {
            self.settle(rules, time, &mut changes);
        }
        changes
    }

    fn open(
        &mut self,
        rules: &Rules,
        time: u64,
        number: RoundNumber,
        base: Cid,
        opening: &Cid,
    ) -> Vec<Change> {
        let mut changes = self.go_back(number, base);
        self.is_at_goal = false;
        let turns = self.draw_turns(rules, number, opening);
        let mut expected = self.roll.expected().clone();
        // Where nobody else is expected, nobody but newcomers can lose time by waiting for newcomers.
        let mut newcomers = match expected.is_empty() || self.patience.lasts(number) {
            true => self.roll.newcomers().clone(),
            false => BTreeSet::new(),
        };
        if let Some(turns) = &turns {
            expected.retain(|account| turns.drawn().contains(account));
            newcomers.retain(|account| turns.drawn().contains(account));
        }
        for account in &newcomers {
            self.change(account, |member| member.standing.take_chance());
        }
        for (round, contributor) in self.audits.lapse(number) {
            changes.push(Change::AuditLapsed { round, contributor });
        }
        let start = self.history.last_with(base).map_or(base.into(), |(_round, outcome)| outcome);
        let mut round = Round::open(number, start, time, expected, newcomers, turns, rules.audit);
        let last = self.round.as_ref().filter(|_last| base == self.checkpoint());
        round.base_difference = last.and_then(Round::difference);
        let (cohort, deadline) = (round.cohort, round.deadline(rules));
        changes.push(Change::Opened { round: number, base, cohort, deadline });
        self.round = Some(round);
        changes
    }

    /// The round begins with another checkpoint than the last one. What was attested against that is nobody's fault then.
    fn go_back(&mut self, round: RoundNumber, base: Cid) -> Vec<Change> {
        if base == self.checkpoint() {
            return Vec::new();
        }
        self.roll.forgive_all();
        let to = self.history.last_with(base).map_or(RoundNumber(0), |(round, _outcome)| round);
        vec![Change::WentBack { round, to, base }]
    }

    fn contribute(&mut self, number: RoundNumber, accepted: Accepted) -> Vec<Change> {
        let Accepted { account, samples, metrics, .. } = accepted;
        self.contributions = self.contributions.saturating_add(1);
        let has_voice = !self.roll.is_barred(&account, number);
        if let Some(round) = &mut self.round {
            round.contribute(accepted, has_voice);
        }
        self.change(&account, |member| member.contribute(number));
        vec![Change::Contributed { round: number, account, samples, metrics }]
    }

    fn close(&mut self, rules: &Rules, time: u64, number: RoundNumber, closing: &Cid) -> Vec<Change> {
        let Some(round) = &mut self.round else { return Vec::new() };
        if matches!(round.stage, Stage::Closed { .. }) {
            return self.close_for_good(rules, time);
        }
        round.stage = Stage::Closed { at: time };
        round.draw(rules, closing, &self.roll, &self.coordinator);
        let mut changes = vec![Change::Closed { round: number, accepted: round.contributions().len() }];
        changes.extend(self.miss_awaited(number));
        self.miss_unused_turns();
        changes
    }

    /// The round waits no longer for those who have yet to contribute.
    pub(super) fn miss_awaited(&mut self, number: RoundNumber) -> Vec<Change> {
        let Some(round) = &mut self.round else { return Vec::new() };
        let mut changes = Vec::new();
        let missing = core::mem::take(&mut round.awaited);
        let newcomers = round.newcomers.clone();
        let are_vain =
            newcomers.are_vain || missing.iter().any(|account| newcomers.accounts.contains(account));
        if are_vain || !newcomers.accounts.is_empty() {
            self.patience.judge(number, are_vain);
        }
        for account in missing {
            let is_spared = newcomers.accounts.contains(&account) || self.is_replacing(&account);
            self.change(&account, |member| {
                member.presence = Presence::Missed;
                if !is_spared {
                    member.standing.miss();
                }
            });
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
        outcome: Outcome,
    ) -> Vec<Change> {
        let say = self.say_of(&account);
        let Some(round) = &mut self.round else { return Vec::new() };
        let mut changes = Vec::new();
        match round.tally.get(&account) {
            Some(Attestation::Result(first)) => {
                let kind = FaultKind::Equivocated { first, second: outcome };
                round.tally.void(account, say);
                self.record_fault(Fault { account, round: number, kind }, &mut changes);
            }
            Some(Attestation::Void) => {}
            None => {
                round.tally.vote(account, say, outcome);
                round.departed.remove(&account);
                // Whoever computed the result has every update.
                let reported = round.say_of(&account);
                round.reports.withdraw(&account, reported);
                changes.push(Change::Attested { round: number, account, result: outcome.result });
                if let Stage::Settled { result, state } = round.stage
                    && outcome != (Outcome { result, state })
                {
                    let settled = Outcome { result, state };
                    let kind = FaultKind::Disagreed { attested: outcome, settled };
                    self.record_fault(Fault { account, round: number, kind }, &mut changes);
                }
            }
        }
        self.recount(&account);
        self.settle(rules, time, &mut changes);
        changes
    }

    /// What an attestation of the account is worth. The coordinator has as much to say as anybody who has earned it.
    pub(super) fn say_of(&self, account: &AccountId) -> Say {
        match &self.round {
            Some(round) if *account != self.coordinator => round.say_of(account),
            Some(_) | None => Say::whole(),
        }
    }

    /// Of who contradicts itself, the first word is kept: it does no harm.
    fn name_difference(&mut self, account: AccountId, result: Cid, packed: Option<Cid>) {
        if let (Some(round), Some(packed)) = (&mut self.round, packed)
            && !round.has_attested(&account)
        {
            round.differences.name(&account, &self.coordinator, result, packed);
        }
    }

    /// Changes a member, and counts its voice anew.
    pub(super) fn change(&mut self, account: &AccountId, change: impl FnOnce(&mut Member)) {
        self.roll.change(account, change);
        self.recount(account);
    }

    pub(super) fn recount(&mut self, account: &AccountId) {
        if let Some(round) = &mut self.round {
            round.recount(account, &self.roll);
        }
    }
}
