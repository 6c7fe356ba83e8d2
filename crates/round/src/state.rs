use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, CampaignId, Cid, Entry, Metrics, RoundNumber, Verified};

use crate::round::Attestation;
use crate::{Accepted, Change, Fault, FaultKind, Refusal, Round, Rules, Stage};

/// What a campaign has come to: a pure fold over its log. Equal logs give equal states.
#[derive(Clone, Debug, PartialEq)]
pub struct CampaignState {
    campaign: CampaignId,
    rules: Rules,
    time: u64,
    length: u64,
    published: Option<Published>,
}

/// What exists from the log's first entry on.
#[derive(Clone, Debug, PartialEq)]
struct Published {
    coordinator: AccountId,
    initial: Cid,
    members: BTreeMap<AccountId, Member>,
    round: Option<Round>,
    contributions: u64,
    faults: Vec<Fault>,
}

/// An account that joined at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    sequence: u64,
    presence: Presence,
    contributions: u64,
}

/// Whether an account takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It takes part, and rounds wait for it.
    Expected,
    /// It takes part, but missed its last round: rounds do not wait for it.
    Missed,
    /// It left.
    Absent,
}

impl Member {
    /// Whether the account takes part.
    #[must_use]
    pub const fn presence(&self) -> Presence {
        self.presence
    }

    /// Contributions of the account that were accepted.
    #[must_use]
    pub const fn contributions(&self) -> u64 {
        self.contributions
    }

    /// The account's last sequence number; its next joining or leaving needs a greater one.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    const fn is_present(self) -> bool {
        matches!(self.presence, Presence::Expected | Presence::Missed)
    }
}

impl CampaignState {
    /// The state of an empty log.
    #[must_use]
    pub const fn new(campaign: CampaignId, rules: Rules) -> Self {
        Self { campaign, rules, time: 0, length: 0, published: None }
    }

    /// Whether the entry may be the log's next, at this log time in milliseconds.
    ///
    /// # Errors
    /// [`Refusal`] saying why it may not.
    pub fn admit(&self, time: u64, entry: &Verified<Entry>) -> Result<(), Refusal> {
        self.admit_from(time, entry.account(), entry.get())
    }

    /// Folds the log's next entry into the state and says what it changed.
    ///
    /// # Errors
    /// [`Refusal`] if the entry may not be the log's next: the state stays as it was, and a log that holds the entry
    /// all the same is a false one.
    pub fn apply(&mut self, time: u64, entry: &Verified<Entry>) -> Result<Vec<Change>, Refusal> {
        self.admit(time, entry)?;
        self.time = time;
        self.length += 1;
        Ok(self.fold(time, entry.account(), entry.get()))
    }

    /// [`CampaignState::admit`] for an entry that this account is about to sign.
    ///
    /// # Errors
    /// [`Refusal`] saying why it may not stand in the log.
    pub fn admit_from(&self, time: u64, account: AccountId, entry: &Entry) -> Result<(), Refusal> {
        if entry.campaign() != self.campaign {
            return Err(Refusal::WrongCampaign);
        }
        if time < self.time {
            return Err(Refusal::TimeReversed);
        }
        let Some(published) = &self.published else {
            return admit_first(self.campaign, entry);
        };
        published.admit(&self.rules, time, account, entry)
    }

    fn fold(&mut self, time: u64, account: AccountId, entry: &Entry) -> Vec<Change> {
        match (&mut self.published, entry) {
            (Some(published), _) => published.fold(&self.rules, time, account, entry),
            (None, Entry::Published { base, .. }) => {
                self.published = Some(Published::new(account, *base));
                vec![Change::Published { coordinator: account, base: *base }]
            }
            (None, _) => Vec::new(),
        }
    }

    /// The campaign.
    #[must_use]
    pub const fn campaign(&self) -> CampaignId {
        self.campaign
    }

    /// The campaign's rules.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Log time of the last entry, in milliseconds.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Entries folded in.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Who orders the log, opens and closes rounds: whoever signed its first entry. Compare with the key that signs
    /// the log's heads.
    #[must_use]
    pub fn coordinator(&self) -> Option<AccountId> {
        self.published.as_ref().map(|published| published.coordinator)
    }

    /// The checkpoint that the campaign began with. Compare with what the manifest's model and seed give.
    #[must_use]
    pub fn initial(&self) -> Option<Cid> {
        self.published.as_ref().map(|published| published.initial)
    }

    /// The last settled checkpoint, at first the initial one: what an open round starts from.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Cid> {
        self.published.as_ref().map(Published::checkpoint)
    }

    /// The round that the campaign is at: the last one opened, even if it is settled.
    #[must_use]
    pub fn round(&self) -> Option<&Round> {
        self.published.as_ref()?.round.as_ref()
    }

    /// The round that takes contributions.
    #[must_use]
    pub fn open_round(&self) -> Option<&Round> {
        self.round().filter(|round| round.stage == Stage::Open)
    }

    /// Rounds settled so far.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.published.as_ref().map_or(0, Published::settled)
    }

    /// Whether the last round is settled.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.settled() >= self.rules.limit
    }

    /// An account that joined at some time.
    #[must_use]
    pub fn member(&self, account: &AccountId) -> Option<&Member> {
        self.published.as_ref()?.members.get(account)
    }

    /// Whether the account takes part.
    #[must_use]
    pub fn is_present(&self, account: &AccountId) -> bool {
        self.member(account).is_some_and(|member| member.is_present())
    }

    /// All accounts that joined at some time, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (AccountId, &Member)> + '_ {
        self.published.iter().flat_map(|published| published.members.iter().map(|(id, member)| (*id, member)))
    }

    /// Accounts that take part.
    #[must_use]
    pub fn present(&self) -> usize {
        self.members().filter(|(_account, member)| member.is_present()).count()
    }

    /// Contributions accepted in all rounds.
    #[must_use]
    pub fn contributions(&self) -> u64 {
        self.published.as_ref().map_or(0, |published| published.contributions)
    }

    /// The faults proven so far, in log order.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.published.as_ref().map_or(&[], |published| &published.faults)
    }

    /// Whether one more attestation of this result, by the coordinator at this log time, would settle the closed
    /// round.
    pub(crate) fn would_settle(&self, time: u64, result: Cid) -> bool {
        let Some(published) = &self.published else { return false };
        let Some(round) = &published.round else { return false };
        let mut with = round.clone();
        with.attestations.insert(published.coordinator, Attestation::Result(result));
        published.settlement(&self.rules, time, &with).is_some()
    }
}

fn admit_first(campaign: CampaignId, entry: &Entry) -> Result<(), Refusal> {
    match entry {
        Entry::Published { manifest, .. } if *manifest == campaign.0 => Ok(()),
        Entry::Published { .. } => Err(Refusal::WrongManifest),
        _ => Err(Refusal::NotPublished),
    }
}

/// What may stand in the log.
impl Published {
    fn new(coordinator: AccountId, initial: Cid) -> Self {
        Self {
            coordinator,
            initial,
            members: BTreeMap::new(),
            round: None,
            contributions: 0,
            faults: Vec::new(),
        }
    }

    fn admit(&self, rules: &Rules, time: u64, account: AccountId, entry: &Entry) -> Result<(), Refusal> {
        match entry {
            Entry::Published { .. } => Err(Refusal::NotFirst),
            Entry::Joined { sequence, .. } => self.admit_joined(rules, account, *sequence),
            Entry::Left { sequence, .. } => self.admit_left(account, *sequence),
            Entry::RoundOpened { round, base, .. } => self.admit_opened(rules, time, account, *round, *base),
            Entry::Contribution { round, base, samples, .. } => {
                self.admit_contribution(rules, account, *round, *base, *samples)
            }
            Entry::RoundClosed { round, .. } => self.admit_closed(rules, time, account, *round),
            Entry::Checkpointed { round, base, result, .. } => {
                self.admit_checkpointed(account, *round, *base, *result)
            }
        }
    }

    fn admit_joined(&self, rules: &Rules, account: AccountId, sequence: u64) -> Result<(), Refusal> {
        let member = self.members.get(&account);
        if member.is_some_and(|member| sequence <= member.sequence) {
            return Err(Refusal::StaleSequence);
        }
        if member.is_some_and(|member| member.presence == Presence::Expected) {
            return Err(Refusal::Duplicate);
        }
        if self.settled() >= rules.limit {
            return Err(Refusal::Finished);
        }
        Ok(())
    }

    fn admit_left(&self, account: AccountId, sequence: u64) -> Result<(), Refusal> {
        let member = self.members.get(&account).ok_or(Refusal::NotAMember)?;
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
        if account != self.coordinator {
            return Err(Refusal::NotCoordinator);
        }
        if self.settled() >= rules.limit {
            return Err(Refusal::Finished);
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
        if base != self.checkpoint() {
            return Err(Refusal::WrongBase);
        }
        if self.expected().next().is_none() {
            return Err(Refusal::NobodyExpected);
        }
        Ok(())
    }

    fn admit_contribution(
        &self,
        rules: &Rules,
        account: AccountId,
        round: RoundNumber,
        base: Cid,
        samples: u32,
    ) -> Result<(), Refusal> {
        let current = self.at_round(round)?;
        // Before anything else: who repeats an entry after losing its receipt shall learn that it stands.
        if current.has_contributed(&account) {
            return Err(Refusal::Duplicate);
        }
        if current.stage != Stage::Open {
            return Err(Refusal::RoundNotOpen);
        }
        if base != current.base {
            return Err(Refusal::WrongBase);
        }
        if !self.is_present(&account) {
            return Err(Refusal::NotAMember);
        }
        if samples == 0 || samples > rules.split.shard_len() {
            return Err(Refusal::WrongSamples);
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
        if account != self.coordinator {
            return Err(Refusal::NotCoordinator);
        }
        let current = self.at_round(round)?;
        if current.stage != Stage::Open {
            return Err(Refusal::RoundNotOpen);
        }
        if current.contributions.len() < rules.minimum.max(1) as usize {
            return Err(Refusal::TooFewContributions);
        }
        if !current.awaited.is_empty() && time < current.deadline(rules) {
            return Err(Refusal::DeadlinePending);
        }
        Ok(())
    }

    fn admit_checkpointed(
        &self,
        account: AccountId,
        round: RoundNumber,
        base: Cid,
        result: Cid,
    ) -> Result<(), Refusal> {
        let current = self.at_round(round)?;
        if current.stage == Stage::Open {
            return Err(Refusal::RoundNotClosed);
        }
        if base != current.base {
            return Err(Refusal::WrongBase);
        }
        match current.attestations.get(&account) {
            // A second, different result is let in once: it is the proof of the fault.
            Some(Attestation::Result(first)) if *first != result => return Ok(()),
            Some(_) => return Err(Refusal::Duplicate),
            None => {}
        }
        if account != self.coordinator && !self.is_present(&account) {
            return Err(Refusal::NotAMember);
        }
        Ok(())
    }
}

/// What the log's next entry changes, once it is admitted.
impl Published {
    fn fold(&mut self, rules: &Rules, time: u64, account: AccountId, entry: &Entry) -> Vec<Change> {
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
    fn settlement(&self, rules: &Rules, time: u64, round: &Round) -> Option<Cid> {
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

    fn at_round(&self, number: RoundNumber) -> Result<&Round, Refusal> {
        let round = self.round.as_ref().ok_or(Refusal::RoundNotOpen)?;
        if round.number == number { Ok(round) } else { Err(Refusal::WrongRound) }
    }

    fn next_round(&self) -> RoundNumber {
        self.round.as_ref().map_or(RoundNumber::FIRST, |round| round.number.next())
    }

    fn checkpoint(&self) -> Cid {
        match &self.round {
            None => self.initial,
            Some(round) => match round.stage {
                Stage::Settled { result } => result,
                Stage::Open | Stage::Closed { .. } => round.base,
            },
        }
    }

    fn settled(&self) -> u64 {
        self.round.as_ref().map_or(0, |round| match round.stage {
            Stage::Settled { .. } => round.number.0,
            Stage::Open | Stage::Closed { .. } => round.number.0.saturating_sub(1),
        })
    }

    fn is_present(&self, account: &AccountId) -> bool {
        self.members.get(account).is_some_and(|member| member.is_present())
    }

    fn expected(&self) -> impl Iterator<Item = AccountId> + '_ {
        let is_expected = |member: &Member| member.presence == Presence::Expected;
        self.members
            .iter()
            .filter(move |(_account, member)| is_expected(member))
            .map(|(account, _member)| *account)
    }
}
