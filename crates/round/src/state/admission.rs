//! Whether an entry may stand next in the log: the one place where contributions are refused.

use lichen_campaign::Settlement;
use lichen_record::{AccountId, CampaignId, Cid, Entry, Metrics, RoundNumber};

use super::Published;
use crate::roll::Presence;
use crate::round::{Attestation, MAX_REPORTS};
use crate::{Outcome, Refusal, Round, Rules, Stage};

/// What may stand at the head of a log.
pub(super) fn admit_first(campaign: CampaignId, entry: &Entry) -> Result<(), Refusal> {
    match entry {
        Entry::Published { manifest, .. } if *manifest == campaign.0 => Ok(()),
        Entry::Published { .. } => Err(Refusal::WrongManifest),
        Entry::Joined { .. }
        | Entry::Left { .. }
        | Entry::RoundOpened { .. }
        | Entry::Contribution { .. }
        | Entry::RoundClosed { .. }
        | Entry::Attestation { .. }
        | Entry::Unavailable { .. }
        | Entry::Departed { .. }
        | Entry::RoundOverdue { .. }
        | Entry::Finished { .. }
        | Entry::Audit { .. }
        | Entry::Snapshot { .. }
        | Entry::Decided { .. } => Err(Refusal::NotPublished),
    }
}

/// What is said of a contribution is what may come of training after the rules.
fn check_claims(rules: &Rules, samples: u32, metrics: &Metrics) -> Result<(), Refusal> {
    if samples == 0 || samples > rules.samples {
        return Err(Refusal::WrongSamples);
    }
    rules.check_metrics(metrics)
}

/// What the base goes with stays with the base; any other result goes with a state exactly where the outer optimiser keeps one.
fn fits_state(rules: &Rules, round: &Round, outcome: &Outcome) -> bool {
    match outcome.result == round.base {
        true => *outcome == round.unchanged(),
        false => outcome.state.is_some() == rules.keeps_state,
    }
}

/// What may stand in the log.
impl Published {
    pub(super) fn admit(
        &self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        entry: &Entry,
    ) -> Result<(), Refusal> {
        match entry {
            Entry::Published { .. } => Err(Refusal::NotFirst),
            // It is looked at where the whole state is at hand.
            Entry::Snapshot { .. } => Err(Refusal::WrongSnapshot),
            Entry::Joined { sequence, .. } => self.admit_joined(rules, account, *sequence),
            Entry::Left { sequence, .. } => self.admit_left(account, *sequence),
            Entry::RoundOpened { round, base, .. } => self.admit_opened(rules, time, account, *round, *base),
            Entry::Contribution { round, base, samples, metrics, engine, trace, .. } => {
                self.admit_contribution(rules, account, *round, *base)?;
                check_claims(rules, *samples, metrics)?;
                rules.check_trace(*engine, trace.is_some())
            }
            Entry::RoundClosed { round, .. } => self.admit_closed(rules, time, account, *round),
            Entry::Attestation { difference: Some(_packed), .. } if !rules.packs_results => {
                Err(Refusal::NoDifference)
            }
            Entry::Attestation { round, base, result, excluded, state, .. } => {
                let outcome = Outcome { result: *result, state: *state };
                self.admit_attestation(rules, account, *round, *base, outcome, *excluded)
            }
            Entry::Unavailable { round, update, .. } => {
                self.admit_unavailable(rules, account, *round, *update)
            }
            Entry::RoundOverdue { round, .. } => self.admit_overdue(rules, time, account, *round),
            Entry::Departed { round, account: departed, .. } => {
                self.admit_departed(rules, account, *round, departed)
            }
            Entry::Finished { round, .. } => self.admit_finished(rules, account, *round),
            Entry::Decided { sequence, decision, .. } => {
                self.admit_decided(rules, account, *sequence, *decision)
            }
            Entry::Audit { round, contributor, found, evidence, .. } => {
                self.admit_audit(rules, account, *round, contributor, (*found, evidence.as_ref()))
            }
        }
    }

    /// Only the coordinator may say this.
    pub(super) fn check_coordinator(&self, account: AccountId) -> Result<(), Refusal> {
        if account == self.coordinator { Ok(()) } else { Err(Refusal::NotCoordinator) }
    }

    fn admit_joined(&self, rules: &Rules, account: AccountId, sequence: u64) -> Result<(), Refusal> {
        let member = self.roll.get(&account);
        if member.is_some_and(|member| sequence <= member.sequence) {
            return Err(Refusal::StaleSequence);
        }
        if member.is_some_and(|member| matches!(member.presence, Presence::Expected | Presence::Newcomer)) {
            return Err(Refusal::Duplicate);
        }
        if self.is_finished(rules) {
            return Err(Refusal::Finished);
        }
        Ok(())
    }

    fn admit_left(&self, account: AccountId, sequence: u64) -> Result<(), Refusal> {
        let member = self.roll.get(&account).ok_or(Refusal::NotAMember)?;
        if sequence <= member.sequence {
            return Err(Refusal::StaleSequence);
        }
        if !member.is_present() {
            return Err(Refusal::Duplicate);
        }
        Ok(())
    }

    fn admit_opened(
        &self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        round: RoundNumber,
        base: Cid,
    ) -> Result<(), Refusal> {
        self.check_coordinator(account)?;
        // A campaign that ended at its goal opens again only on an earlier checkpoint.
        let is_reopened = self.is_at_goal && base != self.checkpoint();
        if self.settled() >= rules.limit || self.is_at_goal && !is_reopened {
            return Err(Refusal::Finished);
        }
        if self.steering.is_paused {
            return Err(Refusal::Paused);
        }
        if round != self.next_round() {
            return Err(Refusal::WrongRound);
        }
        if let Some(last) = &self.round {
            if !matches!(last.stage, Stage::Settled { .. }) {
                return Err(Refusal::RoundNotSettled);
            }
            if time < last.opened.saturating_add(rules.interval_ms) {
                return Err(Refusal::IntervalPending);
            }
        }
        // The coordinator may go back to what settled earlier.
        if base != self.checkpoint() && self.history.last_with(base).is_none() {
            return Err(Refusal::WrongBase);
        }
        // Nobody can join before a campaign that had ended opens again.
        if is_reopened {
            return Ok(());
        }
        if self.roll.present() == 0 {
            return Err(Refusal::NobodyExpected);
        }
        // A round that is sure to be skipped is nothing but work for those who are there.
        if rules.extensions.is_some() && self.roll.here_count() < rules.minimum as usize {
            return Err(Refusal::TooFewMembers);
        }
        Ok(())
    }

    fn admit_contribution(
        &self,
        rules: &Rules,
        account: AccountId,
        round: RoundNumber,
        base: Cid,
    ) -> Result<(), Refusal> {
        // Before anything else: who repeats an entry after losing its receipt shall learn that it stands.
        let is_here = |current: &&Round| current.number == round && current.has_contributed(&account);
        if self.round.as_ref().filter(is_here).is_some() {
            return Err(Refusal::Duplicate);
        }
        if self.is_finished(rules) {
            return Err(Refusal::Finished);
        }
        let current = self.at_round(round)?;
        if current.stage != Stage::Open {
            return Err(Refusal::RoundNotOpen);
        }
        if base != current.base {
            return Err(Refusal::WrongBase);
        }
        if !self.is_present(&account) {
            return Err(Refusal::NotAMember);
        }
        if self.roll.get(&account).is_some_and(|member| member.is_shut_out(round)) {
            return Err(Refusal::Barred);
        }
        if !current.has_turn(&account) {
            return Err(Refusal::NotItsTurn);
        }
        Ok(())
    }

    fn admit_closed(
        &self,
        rules: &Rules,
        time: u64,
        account: AccountId,
        round: RoundNumber,
    ) -> Result<(), Refusal> {
        self.check_coordinator(account)?;
        let current = self.at_round(round)?;
        match current.stage {
            Stage::Open => {}
            // Said again, it ends the waiting for attestations.
            Stage::Closed { at } => return self.admit_end(rules, time, current, at),
            Stage::Settled { .. } => return Err(Refusal::RoundNotOpen),
        }
        if current.contributions().len() < rules.minimum.max(1) as usize {
            return Err(Refusal::TooFewContributions);
        }
        if !current.awaited.is_empty() && time < current.deadline(rules) {
            return Err(Refusal::DeadlinePending);
        }
        Ok(())
    }

    /// Where the coordinator settles, a round ends without a result if most contradict the coordinator for a deadline more
    /// than they had for their word.
    fn admit_end(&self, rules: &Rules, time: u64, round: &Round, closed: u64) -> Result<(), Refusal> {
        let deadlines = match rules.settlement {
            Settlement::Contributors if round.is_heard_out() => 0,
            Settlement::Contributors => 1,
            Settlement::Coordinator if !round.has_attested(&self.coordinator) => {
                return Err(Refusal::RoundNotOpen);
            }
            Settlement::Coordinator => 2,
        };
        let end = closed.saturating_add(rules.deadline_ms.saturating_mul(deadlines));
        if time < end { Err(Refusal::DeadlinePending) } else { Ok(()) }
    }

    fn admit_attestation(
        &self,
        rules: &Rules,
        account: AccountId,
        round: RoundNumber,
        base: Cid,
        outcome: Outcome,
        excluded: u32,
    ) -> Result<(), Refusal> {
        let current = self.at_round(round)?;
        if current.stage == Stage::Open {
            return Err(Refusal::RoundNotClosed);
        }
        if current.is_skipped() {
            return Err(Refusal::RoundSkipped);
        }
        if base != current.base {
            return Err(Refusal::WrongBase);
        }
        if excluded != current.excluded() {
            return Err(Refusal::WrongExclusions);
        }
        if !fits_state(rules, current, &outcome) {
            return Err(Refusal::WrongState);
        }
        let is_coordinator = match rules.settlement {
            Settlement::Coordinator => account == self.coordinator,
            Settlement::Contributors if !current.counts(&account) => return Err(Refusal::NotAContributor),
            Settlement::Contributors => false,
        };
        if !is_coordinator && self.roll.is_barred(&account, round) {
            return Err(Refusal::Barred);
        }
        if !is_coordinator && !current.is_drawn(&account) {
            return Err(Refusal::NotDrawn);
        }
        match current.tally.get(&account) {
            // A second, different result is let in once: it is the proof of the fault.
            Some(Attestation::Result(first)) if first != outcome => return Ok(()),
            Some(_) => return Err(Refusal::Duplicate),
            None => {}
        }
        if !is_coordinator && !self.is_present(&account) {
            return Err(Refusal::NotAMember);
        }
        Ok(())
    }

    fn admit_unavailable(
        &self,
        rules: &Rules,
        account: AccountId,
        round: RoundNumber,
        update: Cid,
    ) -> Result<(), Refusal> {
        if rules.settlement != Settlement::Contributors {
            return Err(Refusal::CoordinatorSettles);
        }
        let current = self.at_round(round)?;
        if current.has_reported(&account, &update) {
            return Err(Refusal::Duplicate);
        }
        match current.stage {
            Stage::Open => return Err(Refusal::RoundNotClosed),
            Stage::Closed { .. } => {}
            Stage::Settled { .. } => return Err(Refusal::RoundSettled),
        }
        let own = current.contribution_of(&account).filter(|accepted| !accepted.is_excluded);
        let own = own.ok_or(Refusal::NotAContributor)?;
        if !self.is_present(&account) {
            return Err(Refusal::NotAMember);
        }
        if self.roll.is_barred(&account, round) {
            return Err(Refusal::Barred);
        }
        if !current.is_drawn(&account) {
            return Err(Refusal::NotDrawn);
        }
        if own.update == update || !current.counts_update(&update) {
            return Err(Refusal::WrongUpdate);
        }
        if current.has_attested(&account) {
            return Err(Refusal::AlreadyAttested);
        }
        if current.reports.by(&account) >= MAX_REPORTS {
            return Err(Refusal::TooManyReports);
        }
        Ok(())
    }
}
