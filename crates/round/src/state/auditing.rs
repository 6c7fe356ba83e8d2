//! Audits: which trainings are repeated when a round settles, and what follows from what was found.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::Auditing;
use lichen_record::{AccountId, Cid, Evidence, RoundNumber};

use super::Published;
use crate::audits::{Draw, Verdict};
use crate::{Change, Fault, FaultKind, Refusal, Rules};

impl Published {
    /// The next draw depends on this entry, too.
    pub(super) fn stir(&mut self, entry: &Cid) {
        self.beacon = Cid::of_raw(&[&self.beacon.digest()[..], &entry.digest()[..]].concat());
    }

    pub(super) fn admit_audit(
        &self,
        rules: &Rules,
        account: AccountId,
        round: RoundNumber,
        contributor: &AccountId,
        (found, evidence): (Cid, Option<&Evidence>),
    ) -> Result<(), Refusal> {
        let audit = self.audits.get(round, contributor).ok_or(Refusal::NotAnAuditor)?;
        if self.roll.is_barred(&account, self.at()) && account != self.coordinator {
            return Err(Refusal::Barred);
        }
        if !audit.waits_for(&account) {
            return Err(Refusal::NotAnAuditor);
        }
        if evidence.is_some_and(|evidence| !audit.takes(found, evidence, rules.states())) {
            return Err(Refusal::WrongEvidence);
        }
        Ok(())
    }

    /// Draws trainings of the round that has just settled.
    pub(super) fn draw_audits(&mut self, rules: &Rules, changes: &mut Vec<Change>) {
        let (Some(auditing), Some(round)) = (rules.audit, &self.round) else { return };
        let draw = Draw::new(self.beacon);
        let auditors = self.auditors(auditing);
        for accepted in round.counted() {
            let Some(engine) = accepted.engine.filter(|engine| engine.is_reproducible()) else { continue };
            if !draw.takes(&accepted.account, auditing.share) {
                continue;
            }
            let Some(auditor) = draw.auditor(&accepted.account, &auditors) else { continue };
            self.audits.draw(round.number, round.base, (accepted, engine), draw, auditor);
            changes.push(Change::AuditDrawn { round: round.number, contributor: accepted.account, auditor });
        }
    }

    /// Who may be drawn to repeat a training, sorted by their ids: the coordinator, and members whom rounds wait for, who
    /// have earned their weight. While there are none of those, the coordinator alone.
    fn auditors(&self, auditing: Auditing) -> Vec<AccountId> {
        let has_earned = |account: &&AccountId| {
            self.roll.get(account).is_some_and(|member| member.audited() >= auditing.earn)
        };
        let mut auditors: Vec<_> = self.roll.expected().iter().filter(has_earned).copied().collect();
        if let Err(place) = auditors.binary_search(&self.coordinator) {
            auditors.insert(place, self.coordinator);
        }
        auditors
    }

    /// An account that was drawn found this.
    pub(super) fn audit(
        &mut self,
        rules: &Rules,
        account: AccountId,
        round: RoundNumber,
        contributor: AccountId,
        (found, evidence): (Cid, Option<Evidence>),
    ) -> Vec<Change> {
        let Some(claimed) = self.audits.get(round, &contributor).map(|audit| audit.claimed) else {
            return Vec::new();
        };
        let agrees = found == claimed;
        let mut changes =
            vec![Change::Audited { round, contributor, auditor: account, found, agrees, evidence }];
        let mut verdict = self.audits.find(round, contributor, account, found, evidence);
        if let (Verdict::Disputed, Some(auditing)) = (&verdict, rules.audit) {
            let auditors = self.auditors(auditing);
            let audit = self.audits.get(round, &contributor);
            let jury = audit.map(|audit| audit.jury_of(&contributor, &auditors)).unwrap_or_default();
            verdict = self.audits.widen(round, contributor, jury);
        }
        if let Verdict::Decided { update, contradicting } = verdict {
            self.decide(round, contributor, claimed, update, contradicting, &mut changes);
        }
        changes
    }

    fn decide(
        &mut self,
        round: RoundNumber,
        contributor: AccountId,
        claimed: Cid,
        update: Cid,
        contradicting: Vec<(AccountId, Cid)>,
        changes: &mut Vec<Change>,
    ) {
        for (account, found) in contradicting {
            let kind = FaultKind::FalselyAudited { contributor, found, update };
            self.record_fault(Fault { account, round, kind }, changes);
            self.change(&account, |member| member.lose_audited());
        }
        if update == claimed {
            self.change(&contributor, |member| member.confirm());
            return changes.push(Change::Confirmed { round, contributor });
        }
        let kind = FaultKind::NotTrained { claimed, found: update };
        self.record_fault(Fault { account: contributor, round, kind }, changes);
        self.contributions = self.contributions.saturating_sub(1);
        self.change(&contributor, |member| member.expel());
    }

    /// The number of the round that the campaign is at.
    fn at(&self) -> RoundNumber {
        self.round.as_ref().map_or(RoundNumber::FIRST, |round| round.number)
    }
}
