use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid, Metrics, RoundNumber};

use crate::Rules;

/// One round, from its opening to its settlement.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    pub(crate) number: RoundNumber,
    pub(crate) base: Cid,
    pub(crate) opened: u64,
    pub(crate) cohort: usize,
    pub(crate) awaited: BTreeSet<AccountId>,
    pub(crate) contributions: Vec<Accepted>,
    pub(crate) stage: Stage,
    pub(crate) attestations: BTreeMap<AccountId, Attestation>,
    /// Accounts that could get an update from nobody, by update.
    pub(crate) reports: BTreeMap<Cid, BTreeSet<AccountId>>,
    /// Members whose connection is gone, and who were not heard of since.
    pub(crate) departed: BTreeSet<AccountId>,
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
        /// The checkpoint that the next round starts from.
        result: Cid,
    },
}

/// A contribution that was accepted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accepted {
    /// Whose.
    pub account: AccountId,
    /// The update's bytes.
    pub update: Cid,
    /// Samples trained on: the update's weight.
    pub samples: u32,
    /// What the training looked like.
    pub metrics: Metrics,
    /// Whether it was excluded since, as too many contributors could not get its update: then it does not count.
    pub is_excluded: bool,
}

/// What one account says about a round's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attestation {
    /// This is the result.
    Result(Cid),
    /// It said two things, so that neither counts.
    Void,
}

impl Round {
    pub(crate) fn open(number: RoundNumber, base: Cid, opened: u64, cohort: BTreeSet<AccountId>) -> Self {
        Self {
            number,
            base,
            opened,
            cohort: cohort.len(),
            awaited: cohort,
            contributions: Vec::new(),
            stage: Stage::Open,
            attestations: BTreeMap::new(),
            reports: BTreeMap::new(),
            departed: BTreeSet::new(),
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

    /// Log time of the opening, in milliseconds.
    #[must_use]
    pub const fn opened(&self) -> u64 {
        self.opened
    }

    /// Log time until which the round waits for its cohort, in milliseconds.
    #[must_use]
    pub const fn deadline(&self, rules: &Rules) -> u64 {
        self.opened.saturating_add(rules.deadline_ms)
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

    /// Weights and updates of the contributions that count, in the order of aggregation: that of their accounts' ids.
    ///
    /// Sums of floating-point numbers depend on their order. This one does not depend on who was faster, so that the
    /// same contributions give the same checkpoint whichever way they came.
    #[must_use]
    pub fn accepted(&self) -> Vec<(u32, Cid)> {
        let mut counted: Vec<&Accepted> = self.counted().collect();
        counted.sort_by_key(|accepted| accepted.account);
        counted.into_iter().map(|accepted| (accepted.samples, accepted.update)).collect()
    }

    /// How many contributions were excluded.
    #[must_use]
    pub fn excluded(&self) -> u32 {
        let excluded = self.contributions.iter().filter(|accepted| accepted.is_excluded).count();
        u32::try_from(excluded).unwrap_or(u32::MAX)
    }

    /// Whether the account's contribution counts.
    #[must_use]
    pub fn counts(&self, account: &AccountId) -> bool {
        self.counted().any(|accepted| accepted.account == *account)
    }

    /// Whether the account said that it could get this update from nobody, and has not got it since.
    #[must_use]
    pub fn has_reported(&self, account: &AccountId, update: &Cid) -> bool {
        self.reports.get(update).is_some_and(|reporters| reporters.contains(account))
    }

    /// Whether the account contributed to this round.
    #[must_use]
    pub fn has_contributed(&self, account: &AccountId) -> bool {
        self.contributions.iter().any(|accepted| accepted.account == *account)
    }

    /// Whether the account attested this round's result, whatever it said.
    #[must_use]
    pub fn has_attested(&self, account: &AccountId) -> bool {
        self.attestations.contains_key(account)
    }

    /// The results that accounts attest and do not contradict themselves about.
    pub fn attestations(&self) -> impl Iterator<Item = (AccountId, Cid)> + '_ {
        self.attestations.iter().filter_map(|(account, attestation)| match attestation {
            Attestation::Result(result) => Some((*account, *result)),
            Attestation::Void => None,
        })
    }

    /// The accounts that attest this result.
    #[must_use]
    pub fn agreeing(&self, result: Cid) -> usize {
        self.attestations().filter(|(_account, attested)| *attested == result).count()
    }
}
