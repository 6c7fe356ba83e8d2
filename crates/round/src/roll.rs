//! Everybody who ever joined, and at hand those whom rounds may wait for.

use alloc::collections::{BTreeMap, BTreeSet};

use lichen_record::{AccountId, RoundNumber};

use crate::codec::{Coded, Reader, Writer, coded};
use crate::standing::Standing;

/// Rounds for which a fault bars its account double with each further one, up to 2⁶.
const MOST_DOUBLINGS: u32 = 6;

/// Faults from which on an account may not even contribute while it is barred.
const FAULTS_TO_REFUSE: u32 = 3;

/// An account that joined at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub(crate) sequence: u64,
    pub(crate) presence: Presence,
    pub(crate) contributions: u64,
    pub(crate) standing: Standing,
    /// The last round that drew it, or the one before it joined.
    pub(crate) turn: RoundNumber,
    faults: u32,
    /// The rounds after the first and up to the second.
    barred: Option<(RoundNumber, RoundNumber)>,
    /// Trainings of the account that came out the same at somebody else's.
    audited: u32,
    /// Whether it contributed what no training gave.
    is_expelled: bool,
}

/// Whether an account takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It takes part and has contributed, and rounds wait for it.
    Expected,
    /// It takes part, and has yet to contribute since it joined: one round may wait for it on trial.
    Newcomer,
    /// It takes part, and has said or shown that it is there since it was waited for in vain; rounds do not wait for it until it
    /// has contributed as often as it owes.
    Returned,
    /// It takes part, but was waited for in vain, or its connection is gone, or it is barred for a fault: rounds do not
    /// wait for it.
    Missed,
    /// It left.
    Absent,
}

coded!(struct Member {
    sequence, presence, contributions, standing, turn, faults, barred, audited, is_expelled
});
coded!(enum Presence { 0 = Expected, 1 = Newcomer, 2 = Returned, 3 = Missed, 4 = Absent });

impl Member {
    pub(crate) const fn new() -> Self {
        Self {
            sequence: 0,
            presence: Presence::Absent,
            contributions: 0,
            standing: Standing::new(),
            turn: RoundNumber(0),
            faults: 0,
            barred: None,
            audited: 0,
            is_expelled: false,
        }
    }

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

    /// Faults proven of the account, as far as they were not forgiven.
    #[must_use]
    pub const fn faults(&self) -> u32 {
        self.faults
    }

    /// Trainings of the account that came out the same when somebody else repeated them: what its updates weigh grows
    /// with them.
    #[must_use]
    pub const fn audited(&self) -> u32 {
        self.audited
    }

    /// Whether the account contributed what no training gave, and so has no part in the campaign any more.
    #[must_use]
    pub const fn is_expelled(&self) -> bool {
        self.is_expelled
    }

    /// Whether the account is barred from this round's attestations, for what it attested before, and so is not waited
    /// for.
    #[must_use]
    pub fn is_barred(&self, round: RoundNumber) -> bool {
        self.is_expelled || self.barred.is_some_and(|(after, until)| round > after && round <= until)
    }

    /// Whether the account may not contribute to this round either.
    #[must_use]
    pub fn is_shut_out(&self, round: RoundNumber) -> bool {
        self.is_expelled || self.faults >= FAULTS_TO_REFUSE && self.is_barred(round)
    }

    pub(crate) const fn is_present(self) -> bool {
        !matches!(self.presence, Presence::Absent)
    }

    /// Whether joining (again) before this round has it waited for on trial.
    pub(crate) fn has_chance(&self, round: RoundNumber) -> bool {
        self.standing.has_chance() && !self.is_barred(round)
    }

    /// It joins, and the next round to open is this one.
    pub(crate) fn join(&mut self, sequence: u64, next: RoundNumber) {
        self.sequence = sequence;
        self.turn = RoundNumber(next.0.saturating_sub(1));
        self.presence = match self.has_chance(next) {
            true => Presence::Newcomer,
            false if self.is_shut_out(next) => Presence::Missed,
            false => Presence::Returned,
        };
    }

    /// It contributes to this round.
    pub(crate) fn contribute(&mut self, round: RoundNumber) {
        self.contributions = self.contributions.saturating_add(1);
        self.standing.contribute();
        let is_relied_on = self.standing.is_reliable() && !self.is_barred(round);
        self.presence = if is_relied_on { Presence::Expected } else { Presence::Returned };
    }

    /// What it attested about this round is proven false: it is barred from the next ones, longer each time.
    pub(crate) fn fault(&mut self, round: RoundNumber) {
        self.faults = self.faults.saturating_add(1);
        let until = round.0.saturating_add(1 << self.faults.min(MOST_DOUBLINGS));
        self.barred = Some((round, RoundNumber(until)));
        if self.is_present() {
            self.presence = Presence::Missed;
        }
    }

    /// One of its trainings came out the same at somebody else's.
    pub(crate) const fn confirm(&mut self) {
        self.audited = self.audited.saturating_add(1);
    }

    /// What it had to show for counts no longer.
    pub(crate) const fn lose_audited(&mut self) {
        self.audited = 0;
    }

    /// It contributed what no training gave.
    pub(crate) const fn expel(&mut self) {
        self.audited = 0;
        self.is_expelled = true;
        self.contributions = self.contributions.saturating_sub(1);
    }

    /// What it contradicted stands no longer.
    pub(crate) const fn forgive(&mut self) {
        self.faults = 0;
        self.barred = None;
    }
}

/// The members, with an index of those whom rounds may wait for: what an entry costs does not grow with their number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Roll {
    members: BTreeMap<AccountId, Member>,
    expected: BTreeSet<AccountId>,
    newcomers: BTreeSet<AccountId>,
    returned: BTreeSet<AccountId>,
    present: usize,
}

impl Roll {
    pub(crate) const fn new() -> Self {
        Self {
            members: BTreeMap::new(),
            expected: BTreeSet::new(),
            newcomers: BTreeSet::new(),
            returned: BTreeSet::new(),
            present: 0,
        }
    }

    pub(crate) fn get(&self, account: &AccountId) -> Option<&Member> {
        self.members.get(account)
    }

    pub(crate) fn is_present(&self, account: &AccountId) -> bool {
        self.get(account).is_some_and(|member| member.is_present())
    }

    pub(crate) fn is_expected(&self, account: &AccountId) -> bool {
        self.expected.contains(account)
    }

    pub(crate) fn is_barred(&self, account: &AccountId, round: RoundNumber) -> bool {
        self.get(account).is_some_and(|member| member.is_barred(round))
    }

    /// All members, in the order of their ids.
    pub(crate) const fn members(&self) -> &BTreeMap<AccountId, Member> {
        &self.members
    }

    /// Members whom rounds wait for, in the order of their ids.
    pub(crate) const fn expected(&self) -> &BTreeSet<AccountId> {
        &self.expected
    }

    /// Members whom a round may wait for on trial, in the order of their ids.
    pub(crate) const fn newcomers(&self) -> &BTreeSet<AccountId> {
        &self.newcomers
    }

    /// Members who have yet to contribute before rounds wait for them, as far as one can tell that they are there.
    pub(crate) fn unproven(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.newcomers.iter().chain(&self.returned).copied()
    }

    /// Members who are there, as far as one can tell.
    pub(crate) fn here(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.expected.iter().copied().chain(self.unproven())
    }

    /// How many [`Roll::here`] are, at once.
    pub(crate) fn here_count(&self) -> usize {
        self.expected.len() + self.newcomers.len() + self.returned.len()
    }

    /// How many rounds ago the member had its turn, or joined: one at least.
    pub(crate) fn waited(&self, account: &AccountId, now: RoundNumber) -> u32 {
        let turn = self.get(account).map_or(now, |member| member.turn);
        u32::try_from(now.0.saturating_sub(turn.0).max(1)).unwrap_or(u32::MAX)
    }

    /// How many members take part.
    pub(crate) const fn present(&self) -> usize {
        self.present
    }

    /// Changes a member, if there is one of this id, and keeps the index in line.
    pub(crate) fn change(&mut self, account: &AccountId, change: impl FnOnce(&mut Member)) {
        let Some(member) = self.members.get_mut(account) else { return };
        let was_present = member.is_present();
        change(member);
        let member = *member;
        self.present -= usize::from(was_present);
        self.present += usize::from(member.is_present());
        mark(&mut self.expected, account, member.presence == Presence::Expected);
        mark(&mut self.newcomers, account, member.presence == Presence::Newcomer);
        mark(&mut self.returned, account, member.presence == Presence::Returned);
    }

    /// Changes a member, who is made if there is none of this id.
    pub(crate) fn enter(&mut self, account: AccountId, change: impl FnOnce(&mut Member)) {
        self.members.entry(account).or_insert(Member::new());
        self.change(&account, change);
    }

    /// Nothing that was proven before counts any longer.
    pub(crate) fn forgive_all(&mut self) {
        self.members.values_mut().for_each(Member::forgive);
    }
}

/// The members alone: the index follows from them.
impl Coded for Roll {
    fn write(&self, to: &mut Writer) {
        let Self { members, expected: _, newcomers: _, returned: _, present: _ } = self;
        members.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut roll = Self { members: BTreeMap::read(from)?, ..Self::new() };
        for (account, member) in &roll.members {
            roll.present += usize::from(member.is_present());
            mark(&mut roll.expected, account, member.presence == Presence::Expected);
            mark(&mut roll.newcomers, account, member.presence == Presence::Newcomer);
            mark(&mut roll.returned, account, member.presence == Presence::Returned);
        }
        Some(roll)
    }
}

fn mark(set: &mut BTreeSet<AccountId>, account: &AccountId, is_in: bool) {
    if is_in {
        set.insert(*account);
    } else {
        set.remove(account);
    }
}
