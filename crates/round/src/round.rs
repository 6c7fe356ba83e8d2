//! One round: who contributed, who attested what, and what is still awaited.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use lichen_campaign::Auditing;
use lichen_record::{AccountId, Cid, EngineVersion, Metrics, RoundNumber};

use crate::Outcome;
use crate::codec::coded;
use crate::roll::Roll;
use crate::say::Say;
use crate::weights::{Claim, weights};

mod committee;
mod differences;
mod reports;
mod stored;
mod tally;
mod turns;
mod voices;
mod waiting;

pub use differences::Difference;
pub(crate) use differences::Differences;
pub(crate) use reports::{MAX_REPORTS, Reports};
pub(crate) use tally::{Attestation, Tally, Votes};
pub(crate) use turns::Turns;
pub(crate) use voices::{Voice, Voices};
pub(crate) use waiting::Waiting;

/// One round, from its opening to its settlement.
///
/// What an entry costs does not grow with the contributions: whatever is asked for is counted, or found in an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    pub(crate) number: RoundNumber,
    pub(crate) base: Cid,
    /// What the outer optimiser carries over with the base.
    pub(crate) state: Option<Cid>,
    /// How the base differs from what the round before started from, if it is that round's result.
    pub(crate) base_difference: Option<Difference>,
    pub(crate) opened: u64,
    pub(crate) waiting: Waiting,
    pub(crate) cohort: usize,
    pub(crate) awaited: BTreeSet<AccountId>,
    /// Whose turn it is; none where everybody may contribute.
    pub(crate) turns: Option<Turns>,
    pub(crate) newcomers: Newcomers,
    contributions: Vec<Accepted>,
    by_account: BTreeMap<AccountId, usize>,
    by_update: BTreeMap<Cid, Owners>,
    excluded: usize,
    pub(crate) stage: Stage,
    pub(crate) tally: Tally,
    pub(crate) differences: Differences,
    pub(crate) reports: Reports,
    /// Members whose connection is gone, and who were not heard of since.
    pub(crate) departed: BTreeSet<AccountId>,
    pub(crate) voices: Voices,
    /// Those who attest; none where everybody may, or before the closing.
    committee: Option<BTreeSet<AccountId>>,
    /// How weight is earned, where it has to be.
    auditing: Option<Auditing>,
}

/// Those of the cohort whom the round waits for on trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Newcomers {
    pub(crate) accounts: BTreeSet<AccountId>,
    /// Whether one of them went after it had held the round up.
    pub(crate) are_vain: bool,
}

/// Who contributed one and the same update.
#[derive(Clone, Debug, PartialEq)]
struct Owners {
    /// Their places among the contributions.
    places: Vec<usize>,
    /// What those of them have to say who have a voice.
    say: Say,
}

/// How far a round has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It takes contributions.
    Open,
    /// It takes attestations of its result.
    Closed {
        /// Log time of the closing, in milliseconds.
        at: u64,
    },
    /// Its result stands.
    Settled {
        /// The checkpoint that enough attestations agree on.
        result: Cid,
        /// What the outer optimiser carries over with it.
        state: Option<Cid>,
    },
}

/// What of a contribution goes into the round's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Whose.
    pub account: AccountId,
    /// The weight of the update: samples trained on, or where weight has to be earned, what they count.
    pub weight: u32,
    /// The update's bytes.
    pub update: Cid,
    /// Optimiser steps that it says it took.
    pub steps: u32,
}

/// A contribution that was accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accepted {
    /// Whose.
    pub account: AccountId,
    /// The update's bytes.
    pub update: Cid,
    /// How many samples its author says the training used.
    pub samples: u32,
    /// What its author reports of the training; nobody has checked it.
    pub metrics: Metrics,
    /// Which engine trained, where the entry says so.
    pub engine: Option<EngineVersion>,
    /// The states that the training went through (raw), where the entry names them.
    pub trace: Option<Cid>,
    /// How many trainings of its author had come out the same at somebody else's when this one was accepted.
    pub audited: u32,
    /// Whether it was excluded since, as too many contributors could not get its update: then it does not count.
    pub is_excluded: bool,
}

coded!(struct Newcomers { accounts, are_vain });
coded!(enum Stage { 0 = Open, 1 = Closed { at }, 2 = Settled { result, state } });
coded!(struct Accepted { account, update, samples, metrics, engine, trace, audited, is_excluded });

impl Round {
    pub(crate) fn open(
        number: RoundNumber,
        base: Outcome,
        opened: u64,
        expected: BTreeSet<AccountId>,
        newcomers: BTreeSet<AccountId>,
        turns: Option<Turns>,
        auditing: Option<Auditing>,
    ) -> Self {
        let mut awaited = expected;
        awaited.extend(&newcomers);
        Self {
            number,
            base: base.result,
            state: base.state,
            base_difference: None,
            opened,
            waiting: Waiting::from(opened),
            cohort: awaited.len(),
            awaited,
            turns,
            newcomers: Newcomers { accounts: newcomers, are_vain: false },
            contributions: Vec::new(),
            by_account: BTreeMap::new(),
            by_update: BTreeMap::new(),
            excluded: 0,
            stage: Stage::Open,
            tally: Tally::new(),
            differences: Differences::new(),
            reports: Reports::new(),
            departed: BTreeSet::new(),
            voices: Voices::new(),
            committee: None,
            auditing,
        }
    }

    /// The round's number.
    #[must_use]
    pub const fn number(&self) -> RoundNumber {
        self.number
    }

    /// The checkpoint that the round starts from.
    #[must_use]
    pub const fn base(&self) -> Cid {
        self.base
    }

    /// What the outer optimiser carries over with the base; none where it carries nothing over, and before its first step.
    #[must_use]
    pub const fn outer_state(&self) -> Option<Cid> {
        self.state
    }

    /// What the round comes to if it changes nothing.
    pub(crate) const fn unchanged(&self) -> Outcome {
        Outcome { result: self.base, state: self.state }
    }

    /// Log time of the opening, in milliseconds.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// How far the round has come.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// Members that the round was opened for.
    #[must_use]
    pub const fn cohort(&self) -> usize {
        self.cohort
    }

    /// Members that the round still waits for, in the order of their ids.
    pub fn awaited(&self) -> impl Iterator<Item = AccountId> + '_ {
        self.awaited.iter().copied()
    }

    /// The contributions in log order, the excluded ones among them.
    #[must_use]
    pub fn contributions(&self) -> &[Accepted] {
        &self.contributions
    }

    /// The contributions that count, in log order.
    pub fn counted(&self) -> impl Iterator<Item = &Accepted> + '_ {
        self.contributions.iter().filter(|accepted| !accepted.is_excluded)
    }

    /// How many contributions count.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.contributions.len() - self.excluded
    }

    /// What is aggregated: the contributions that count, in the order of their accounts' ids; none in a round that was skipped.
    ///
    /// Sums of floating-point numbers depend on their order. This one does not depend on who was faster, so that the
    /// same contributions give the same checkpoint whichever way they came. An update that several accounts contributed is
    /// aggregated once, as that of whom weighs most: no two trainings of different accounts give the same.
    #[must_use]
    pub fn inputs(&self) -> Vec<Input> {
        if self.is_skipped() {
            return Vec::new();
        }
        let places = self.by_account.values().copied();
        let counted: Vec<_> =
            places.filter(|place| self.at(*place).is_some_and(|it| !it.is_excluded)).collect();
        let mut by_place = vec![0; self.contributions.len()];
        for (place, weight) in counted.iter().zip(self.weights(&counted)) {
            if let Some(slot) = by_place.get_mut(*place) {
                *slot = weight;
            }
        }
        let rank = |place: usize| (by_place.get(place).copied().unwrap_or(0), Reverse(place));
        let input = |place: usize| {
            let Accepted { account, update, metrics, .. } = *self.at(place)?;
            let owners = self.by_update.get(&update)?;
            let is_first = owners.places.iter().all(|other| rank(*other) <= rank(place));
            is_first.then_some(Input { account, weight: rank(place).0, update, steps: metrics.steps() })
        };
        counted.into_iter().filter_map(input).collect()
    }

    fn weights(&self, counted: &[usize]) -> Vec<u32> {
        let accepted = counted.iter().filter_map(|place| self.at(*place));
        match self.auditing {
            Some(auditing) => weights(auditing, &accepted.map(claim).collect::<Vec<_>>()),
            None => accepted.map(|accepted| accepted.samples).collect(),
        }
    }

    fn at(&self, place: usize) -> Option<&Accepted> {
        self.contributions.get(place)
    }

    /// How many contributions were excluded.
    #[must_use]
    pub fn excluded(&self) -> u32 {
        u32::try_from(self.excluded).unwrap_or(u32::MAX)
    }

    /// The account's contribution.
    #[must_use]
    pub fn contribution_of(&self, account: &AccountId) -> Option<&Accepted> {
        self.contributions.get(*self.by_account.get(account)?)
    }

    /// Whether the account's contribution counts.
    #[must_use]
    pub fn counts(&self, account: &AccountId) -> bool {
        self.contribution_of(account).is_some_and(|accepted| !accepted.is_excluded)
    }

    /// Whether the account said that it could get this update from nobody, and has not got it since.
    #[must_use]
    pub fn has_reported(&self, account: &AccountId, update: &Cid) -> bool {
        self.reports.has(account, update)
    }

    /// Whether the account contributed to this round.
    #[must_use]
    pub fn has_contributed(&self, account: &AccountId) -> bool {
        self.by_account.contains_key(account)
    }

    /// Whether the account attested this round's result, whatever it said.
    #[must_use]
    pub fn has_attested(&self, account: &AccountId) -> bool {
        self.tally.has(account)
    }

    /// The results that accounts attest and do not contradict themselves about.
    pub fn attestations(&self) -> impl Iterator<Item = (AccountId, Outcome)> + '_ {
        self.tally.results()
    }

    /// The accounts that attest this result.
    #[must_use]
    pub fn agreeing(&self, result: Outcome) -> usize {
        self.tally.votes(&result).heads
    }

    /// How the settled result differs from the base, where those who attest it name that.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        let Stage::Settled { result, .. } = self.stage else { return None };
        let base = self.base;
        self.differences.of(result).filter(|_packed| result != base).map(|packed| Difference { base, packed })
    }

    /// Whether a contribution that counts has this update.
    pub(crate) fn counts_update(&self, update: &Cid) -> bool {
        self.by_update.contains_key(update)
    }

    /// Takes in a contribution.
    pub(crate) fn contribute(&mut self, accepted: Accepted, has_voice: bool) {
        let place = self.contributions.len();
        self.by_account.insert(accepted.account, place);
        let owners = self.by_update.entry(accepted.update);
        let owners = owners.or_insert(Owners { places: Vec::new(), say: Say::NONE });
        owners.places.push(place);
        if has_voice {
            owners.say.add(Say::of(self.auditing, accepted.audited));
        }
        self.contributions.push(accepted);
        self.awaited.remove(&accepted.account);
        self.departed.remove(&accepted.account);
    }

    /// Takes the contributions with this update out, and says whose they are.
    pub(crate) fn exclude(&mut self, update: &Cid) -> Vec<AccountId> {
        let places = self.by_update.remove(update).map_or(Vec::new(), |owners| owners.places);
        let mut accounts = Vec::with_capacity(places.len());
        for place in places {
            if let Some(accepted) = self.contributions.get_mut(place) {
                accepted.is_excluded = true;
                self.excluded += 1;
                accounts.push(accepted.account);
            }
        }
        accounts
    }

    /// An update that those with more than half of the say among the other contributors could get from nobody: of several,
    /// the first in log order.
    pub(crate) fn unavailable(&self) -> Option<Cid> {
        let lacking = self.reports.updates().filter(|update| self.is_unavailable(update));
        let place = |update: &&Cid| self.by_update.get(*update).and_then(|owners| owners.places.first());
        lacking.min_by_key(place).copied()
    }

    /// Whether [`Round::unavailable`] is this update, given that it was none before this update's last report.
    pub(crate) fn is_unavailable(&self, update: &Cid) -> bool {
        let Some(owners) = self.by_update.get(update) else { return false };
        self.reports.about(update).is_most_of(self.voices.counted().without(owners.say), self.auditing)
    }

    /// What the account's word is worth in this round: where that has to be earned, by what it had to show for when it
    /// contributed.
    pub(crate) fn say_of(&self, account: &AccountId) -> Say {
        Say::of(self.auditing, self.contribution_of(account).map_or(0, |accepted| accepted.audited))
    }

    /// Whether waiting longer for a closed round that contributors settle is in vain: whoever of them has neither left nor
    /// departed attested, or reported what it misses while nobody attested who could give it.
    pub(crate) fn is_heard_out(&self) -> bool {
        self.voices.unheard() == 0 && (self.voices.stuck() == 0 || self.tally.is_empty())
    }

    /// Brings the account's voice in line with what is known of it.
    pub(crate) fn recount(&mut self, account: &AccountId, roll: &Roll) {
        if !self.has_contributed(account) {
            return;
        }
        let voice = Voice {
            say: self.say_of(account),
            counts: self.counts(account) && self.is_drawn(account) && !roll.is_barred(account, self.number),
            is_present: roll.is_present(account),
            is_expected: roll.is_expected(account),
            has_departed: self.departed.contains(account),
            has_attested: self.tally.has(account),
            has_reported: self.reports.by(account) > 0,
        };
        self.voices.set(*account, voice);
    }
}

/// What was trained where nobody else gets the same bits earns no weight: nobody could have checked it.
fn claim(accepted: &Accepted) -> Claim {
    let is_reproducible = accepted.engine.is_some_and(EngineVersion::is_reproducible);
    Claim { samples: accepted.samples, audited: if is_reproducible { accepted.audited } else { 0 } }
}
