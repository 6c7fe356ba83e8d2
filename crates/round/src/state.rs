//! A campaign's state, folded from its log.

use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, CampaignId, Cid, Entry, RoundNumber, Settings, Verified};

use crate::audits::{Audit, Audits};
use crate::course::Course;
use crate::patience::Patience;
use crate::roll::{Member, Roll};
use crate::say::Say;
use crate::{Change, Difference, Fault, Outcome, Refusal, Reported, Round, Rules, Stage};

mod admission;
mod auditing;
mod departure;
mod ending;
mod fold;
mod history;
mod overdue;
mod settlement;
mod snapshot;
mod steering;
mod turns;

use history::History;
pub use snapshot::{MAX_SNAPSHOT, SnapshotError};
pub use steering::Applied;
use steering::Steering;

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
    history: History,
    roll: Roll,
    patience: Patience,
    round: Option<Round>,
    /// Whether the coordinator ended the campaign at its goal, and did not go back since.
    is_at_goal: bool,
    contributions: u64,
    faults: Vec<Fault>,
    audits: Audits,
    /// What all entries so far come to, where trainings are drawn to be repeated.
    beacon: Cid,
    /// What contributors reported of the rounds so far.
    course: Course,
    /// Place of the log's last snapshot; 0 before the first.
    snapshot: u64,
    /// What the organiser decided. It is nothing where the manifest names no organiser's account.
    steering: Steering,
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
        if let (Some(_audit), Some(published)) = (self.rules.audit, &mut self.published) {
            published.stir(&entry.id());
        }
        Ok(self.fold(time, entry))
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
        match (&self.published, entry) {
            (None, _) => admission::admit_first(self.campaign, entry),
            (Some(published), _) if published.steering.is_retired => Err(Refusal::Retired),
            (Some(published), Entry::Snapshot { state, .. }) => {
                self.admit_snapshot(published, account, *state)
            }
            (Some(published), _) => published.admit(&self.rules, time, account, entry),
        }
    }

    fn fold(&mut self, time: u64, entry: &Verified<Entry>) -> Vec<Change> {
        let account = entry.account();
        match (&mut self.published, entry.get()) {
            (Some(published), Entry::Snapshot { .. }) => {
                published.snapshot = self.length.saturating_sub(1);
                Vec::new()
            }
            (Some(published), Entry::RoundOpened { round, .. }) => {
                let changed = published.steering.take_effect(*round, time, &self.rules);
                published.steering.steer(&mut self.rules);
                let opened = published.fold(&self.rules, time, entry);
                changed.into_iter().chain(opened).collect()
            }
            (Some(published), Entry::Decided { sequence, decision, .. }) => {
                let changes = published.decide_course(&self.rules, *sequence, *decision);
                published.steering.steer(&mut self.rules);
                changes
            }
            (Some(published), _) => published.fold(&self.rules, time, entry),
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

    /// The campaign's rules: the manifest's, with the settings that the organiser changed since.
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
        self.published.as_ref().map(|published| published.history.initial())
    }

    /// The last settled checkpoint, at first the initial one: what an open round starts from.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Cid> {
        self.published.as_ref().map(|published| published.outcome().result)
    }

    /// What the outer optimiser carries over with that checkpoint; none where it carries nothing over, and before its first
    /// step.
    #[must_use]
    pub fn outer_state(&self) -> Option<Cid> {
        self.published.as_ref()?.outcome().state
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

    /// Whether no round opens until the organiser resumes the campaign. One may still be under way.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.published.as_ref().is_some_and(|published| published.steering.is_paused) && !self.is_finished()
    }

    /// Whether the campaign is paused and no round is under way.
    #[must_use]
    pub fn is_on_hold(&self) -> bool {
        let is_running = |round: &Round| !matches!(round.stage, Stage::Settled { .. });
        self.is_paused() && !self.round().is_some_and(is_running)
    }

    /// Whether the organiser ended the campaign for good: nothing more may stand in its log.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.published.as_ref().is_some_and(|published| published.steering.is_retired)
    }

    /// The sequence number of the organiser's last decision; 0 before the first.
    #[must_use]
    pub fn decided(&self) -> u64 {
        self.published.as_ref().map_or(0, |published| published.steering.sequence)
    }

    /// Settings that change with the next round that opens.
    #[must_use]
    pub fn planned(&self) -> Settings {
        self.published.as_ref().map_or(Settings::default(), |published| published.steering.planned)
    }

    /// The last 64 changes of settings that took effect, the latest last.
    #[must_use]
    pub fn applied(&self) -> &[Applied] {
        self.published.as_ref().map_or(&[], |published| &published.steering.applied)
    }

    /// The learning rate that the round's contributors train with: of one of the last rounds, or of the next one to open as far
    /// as is known now.
    #[must_use]
    pub fn learning_rate(&self, round: RoundNumber) -> f64 {
        let Some(published) = &self.published else { return self.rules.learning_rate };
        let is_opened = published.round.as_ref().is_some_and(|last| round <= last.number);
        published.steering.learning_rate(&self.rules, round, is_opened)
    }

    /// Whether the campaign is over: its last round is settled, it ended at its goal, or its organiser ended it.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.published.as_ref().is_some_and(|published| published.is_finished(&self.rules))
    }

    /// Whether the coordinator ended the campaign, as its goal is reached.
    #[must_use]
    pub fn is_at_goal(&self) -> bool {
        self.published.as_ref().is_some_and(|published| published.is_at_goal)
    }

    /// The results that the next round may be opened on instead of the last one, the latest first: those of the last 64
    /// rounds, and the initial checkpoint as that of round 0.
    pub fn results(&self) -> impl Iterator<Item = (RoundNumber, Cid)> + '_ {
        let all = self.published.iter().flat_map(|published| published.history.all());
        all.map(|(round, outcome)| (round, outcome.result))
    }

    /// How [`CampaignState::checkpoint`] differs from the one before it, where those who attested it named that.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        let round = self.round()?;
        match round.stage {
            Stage::Settled { .. } => round.difference(),
            Stage::Open | Stage::Closed { .. } => round.base_difference,
        }
    }

    /// An account that joined at some time.
    #[must_use]
    pub fn member(&self, account: &AccountId) -> Option<&Member> {
        self.published.as_ref()?.roll.get(account)
    }

    /// Whether the account takes part.
    #[must_use]
    pub fn is_present(&self, account: &AccountId) -> bool {
        self.member(account).is_some_and(|member| member.is_present())
    }

    /// All accounts that joined at some time, in the order of their ids.
    pub fn members(&self) -> impl Iterator<Item = (AccountId, &Member)> + '_ {
        self.published
            .iter()
            .flat_map(|published| published.roll.members().iter().map(|(id, member)| (*id, member)))
    }

    /// Accounts that take part.
    #[must_use]
    pub fn present(&self) -> usize {
        self.published.as_ref().map_or(0, |published| published.roll.present())
    }

    /// Accounts that take part as far as one can tell: those that rounds wait for, and newcomers.
    pub fn active(&self) -> impl Iterator<Item = AccountId> + '_ {
        let rolls = self.published.iter().map(|published| &published.roll);
        rolls.flat_map(|roll| roll.expected().iter().chain(roll.newcomers())).copied()
    }

    /// How many accounts [`CampaignState::active`] has, at once.
    #[must_use]
    pub fn active_count(&self) -> usize {
        let roll = self.published.as_ref().map(|published| &published.roll);
        roll.map_or(0, |roll| roll.expected().len() + roll.newcomers().len())
    }

    /// How many members are there, as far as one can tell: those who joined or contributed since they were last waited for in
    /// vain.
    #[must_use]
    pub fn here_count(&self) -> usize {
        self.published.as_ref().map_or(0, |published| published.roll.here_count())
    }

    /// Whether the lot leaves nobody out of the next round, as far as one can tell before it opens.
    pub(crate) fn all_have_turns(&self) -> bool {
        self.rules.cohort.is_none_or(|size| self.here_count() <= size as usize)
    }

    /// The number of the round that is open, or closed and not settled, or else of the next one to open.
    pub(crate) fn current_round(&self) -> RoundNumber {
        RoundNumber(self.settled()).next()
    }

    /// Contributions accepted in all rounds.
    #[must_use]
    pub fn contributions(&self) -> u64 {
        self.published.as_ref().map_or(0, |published| published.contributions)
    }

    /// The last 64 faults proven so far, in log order.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        self.published.as_ref().map_or(&[], |published| &published.faults)
    }

    /// What contributors reported of the rounds settled so far, evenly spread over them if they are many.
    #[must_use]
    pub fn reported(&self) -> &[Reported] {
        self.published.as_ref().map_or(&[], |published| published.course.rounds())
    }

    /// The training that this account has to repeat next, if there is one: of which round, whose, and what is claimed of it.
    #[must_use]
    pub fn audit_duty(&self, account: &AccountId) -> Option<(RoundNumber, AccountId, &Audit)> {
        let published = self.published.as_ref().filter(|published| !published.steering.is_retired)?;
        published.audits.duty_of(account)
    }

    /// Trainings that were drawn to be repeated, and of which nothing is decided yet.
    #[must_use]
    pub fn audits_waiting(&self) -> usize {
        self.published.as_ref().map_or(0, |published| published.audits.len())
    }

    /// Whether one more attestation of this result, by the coordinator at this log time, would settle the closed
    /// round.
    pub(crate) fn would_settle(&self, time: u64, result: Outcome) -> bool {
        let Some(published) = &self.published else { return false };
        published.round.as_ref().is_some_and(|round| {
            let Stage::Closed { at } = round.stage else { return false };
            let is_late = time >= at.saturating_add(self.rules.deadline_ms);
            let say = Say::whole();
            let (agreeing, cast) = (round.tally.votes(&result).with(say), round.tally.cast().with(say));
            published.is_enough(&self.rules, is_late, round, agreeing, cast)
        })
    }
}

impl Published {
    fn new(coordinator: AccountId, initial: Cid) -> Self {
        Self {
            coordinator,
            history: History::new(initial),
            roll: Roll::new(),
            patience: Patience::new(),
            round: None,
            is_at_goal: false,
            contributions: 0,
            faults: Vec::new(),
            audits: Audits::new(),
            beacon: initial,
            course: Course::new(),
            snapshot: 0,
            steering: Steering::default(),
        }
    }

    fn at_round(&self, number: RoundNumber) -> Result<&Round, Refusal> {
        let round = self.round.as_ref().ok_or(Refusal::RoundNotOpen)?;
        if round.number == number { Ok(round) } else { Err(Refusal::WrongRound) }
    }

    fn next_round(&self) -> RoundNumber {
        self.round.as_ref().map_or(RoundNumber::FIRST, |round| round.number.next())
    }

    fn checkpoint(&self) -> Cid {
        self.outcome().result
    }

    /// What settled last.
    fn outcome(&self) -> Outcome {
        match &self.round {
            None => self.history.initial().into(),
            Some(round) => match round.stage {
                Stage::Settled { result, state } => Outcome { result, state },
                Stage::Open | Stage::Closed { .. } => round.unchanged(),
            },
        }
    }

    fn settled(&self) -> u64 {
        self.round.as_ref().map_or(0, |round| match round.stage {
            Stage::Settled { .. } => round.number.0,
            Stage::Open | Stage::Closed { .. } => round.number.0.saturating_sub(1),
        })
    }

    fn is_finished(&self, rules: &Rules) -> bool {
        self.settled() >= rules.limit || self.is_at_goal || self.steering.is_retired
    }

    fn is_present(&self, account: &AccountId) -> bool {
        self.roll.is_present(account)
    }
}
