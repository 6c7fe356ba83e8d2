//! Votes for results, counted as they come.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lichen_record::AccountId;

use crate::Outcome;

/// What one account says about a round's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attestation {
    /// This is the result.
    Result(Outcome),
    /// It said two things, so that neither counts.
    Void,
}

/// A round's attestations, with the votes for each result at hand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tally {
    attestations: BTreeMap<AccountId, Attestation>,
    votes: BTreeMap<Outcome, usize>,
    ranking: BTreeSet<(usize, Outcome)>,
    cast: usize,
}

impl Tally {
    pub(crate) const fn new() -> Self {
        Self { attestations: BTreeMap::new(), votes: BTreeMap::new(), ranking: BTreeSet::new(), cast: 0 }
    }

    pub(crate) fn get(&self, account: &AccountId) -> Option<Attestation> {
        self.attestations.get(account).copied()
    }

    pub(crate) fn has(&self, account: &AccountId) -> bool {
        self.attestations.contains_key(account)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.attestations.is_empty()
    }

    /// The accounts with their results, those that contradict themselves left out.
    pub(crate) fn results(&self) -> impl Iterator<Item = (AccountId, Outcome)> + '_ {
        self.attestations.iter().filter_map(|(account, attestation)| match attestation {
            Attestation::Result(result) => Some((*account, *result)),
            Attestation::Void => None,
        })
    }

    /// Votes that count.
    pub(crate) const fn cast(&self) -> usize {
        self.cast
    }

    pub(crate) fn votes(&self, result: &Outcome) -> usize {
        self.votes.get(result).copied().unwrap_or(0)
    }

    /// The result with the most votes, and how many.
    pub(crate) fn leader(&self) -> Option<(Outcome, usize)> {
        self.ranking.last().map(|(votes, result)| (*result, *votes))
    }

    pub(crate) fn vote(&mut self, account: AccountId, result: Outcome) {
        self.take_back(&account);
        self.attestations.insert(account, Attestation::Result(result));
        self.cast += 1;
        self.recount(result, |votes| votes + 1);
    }

    /// The account contradicts itself.
    pub(crate) fn void(&mut self, account: AccountId) {
        self.take_back(&account);
        self.attestations.insert(account, Attestation::Void);
    }

    /// Everybody's vote is taken back, and these are who may vote anew. Who contradicted itself stays without a vote.
    pub(crate) fn begin_anew(&mut self) -> Vec<AccountId> {
        if self.cast == 0 {
            return Vec::new();
        }
        let voters = self.results().map(|(account, _result)| account).collect();
        self.attestations.retain(|_account, attestation| *attestation == Attestation::Void);
        self.votes.clear();
        self.ranking.clear();
        self.cast = 0;
        voters
    }

    fn take_back(&mut self, account: &AccountId) {
        if let Some(Attestation::Result(result)) = self.attestations.remove(account) {
            self.cast -= 1;
            self.recount(result, |votes| votes.saturating_sub(1));
        }
    }

    fn recount(&mut self, result: Outcome, change: impl FnOnce(usize) -> usize) {
        let before = self.votes.remove(&result).unwrap_or(0);
        self.ranking.remove(&(before, result));
        let after = change(before);
        if after > 0 {
            self.votes.insert(result, after);
            self.ranking.insert((after, result));
        }
    }
}
