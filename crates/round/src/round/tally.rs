//! Votes for results, counted as they come.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lichen_record::AccountId;

use crate::Outcome;
use crate::codec::{Coded, Reader, Writer};
use crate::say::Say;

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
    votes: BTreeMap<Outcome, Votes>,
    /// The results by what those have to say who have earned it, and by what newcomers have to say. Whichever has most of
    /// both together comes last in one of them.
    ranking: [BTreeSet<(u64, Outcome)>; 2],
    cast: Votes,
}

/// How many said the same, and what their word is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Votes {
    pub(crate) heads: usize,
    pub(crate) say: Say,
}

impl Votes {
    pub(crate) const NONE: Self = Self { heads: 0, say: Say::NONE };

    /// With the word of one more.
    pub(crate) const fn with(mut self, say: Say) -> Self {
        self.heads += 1;
        self.say.add(say);
        self
    }

    const fn without(mut self, say: Say) -> Self {
        self.heads = self.heads.saturating_sub(1);
        self.say.remove(say);
        self
    }
}

/// An attestation's result; none where it is void.
impl Coded for Attestation {
    fn write(&self, to: &mut Writer) {
        match self {
            Self::Result(outcome) => Some(*outcome).write(to),
            Self::Void => None::<Outcome>.write(to),
        }
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Option::read(from)?.map_or(Self::Void, Self::Result))
    }
}

impl Tally {
    /// The attestations alone: how they count follows from them.
    pub(crate) fn write(&self, to: &mut Writer) {
        let Self { attestations, votes: _, ranking: _, cast: _ } = self;
        attestations.write(to);
    }

    /// Reads attestations of accounts whose word is worth this.
    pub(crate) fn read(from: &mut Reader<'_>, say_of: impl Fn(&AccountId) -> Say) -> Option<Self> {
        let mut tally = Self::new();
        for (account, attestation) in BTreeMap::<AccountId, _>::read(from)? {
            match attestation {
                Attestation::Result(result) => tally.vote(account, say_of(&account), result),
                Attestation::Void => {
                    tally.attestations.insert(account, Attestation::Void);
                }
            }
        }
        Some(tally)
    }

    pub(crate) const fn new() -> Self {
        let ranking = [BTreeSet::new(), BTreeSet::new()];
        Self { attestations: BTreeMap::new(), votes: BTreeMap::new(), ranking, cast: Votes::NONE }
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
    pub(crate) const fn cast(&self) -> Votes {
        self.cast
    }

    pub(crate) fn votes(&self, result: &Outcome) -> Votes {
        self.votes.get(result).copied().unwrap_or(Votes::NONE)
    }

    /// The results that may have most of the say, with their votes.
    pub(crate) fn leaders(&self) -> impl Iterator<Item = (Outcome, Votes)> + '_ {
        let last = self.ranking.iter().filter_map(BTreeSet::last);
        last.map(|(_say, result)| (*result, self.votes(result)))
    }

    /// An account that said nothing yet says this.
    pub(crate) fn vote(&mut self, account: AccountId, say: Say, result: Outcome) {
        self.attestations.insert(account, Attestation::Result(result));
        self.cast = self.cast.with(say);
        self.recount(result, self.votes(&result).with(say));
    }

    /// The account, whose word is worth this, contradicts itself.
    pub(crate) fn void(&mut self, account: AccountId, say: Say) {
        if let Some(Attestation::Result(result)) = self.attestations.insert(account, Attestation::Void) {
            self.cast = self.cast.without(say);
            self.recount(result, self.votes(&result).without(say));
        }
    }

    /// Everybody's vote is taken back, and these are who may vote anew. Who contradicted itself stays without a vote.
    pub(crate) fn begin_anew(&mut self) -> Vec<AccountId> {
        if self.cast.heads == 0 {
            return Vec::new();
        }
        let voters = self.results().map(|(account, _result)| account).collect();
        self.attestations.retain(|_account, attestation| *attestation == Attestation::Void);
        self.votes.clear();
        self.ranking.iter_mut().for_each(BTreeSet::clear);
        self.cast = Votes::NONE;
        voters
    }

    // The new count comes as a value. Made by a closure that takes the old one, it overwrote the old one before that was used:
    // a fault of rustc 1.95 (rust-lang/rust#155241).
    fn recount(&mut self, result: Outcome, after: Votes) {
        let before = self.votes(&result);
        let worth = |votes: Votes| [votes.say.earned, votes.say.new];
        for ((ranking, before), after) in self.ranking.iter_mut().zip(worth(before)).zip(worth(after)) {
            ranking.remove(&(before, result));
            if after > 0 {
                ranking.insert((after, result));
            }
        }
        if after.heads > 0 {
            self.votes.insert(result, after);
        } else {
            self.votes.remove(&result);
        }
    }
}

#[cfg(test)]
mod tests {
    use lichen_record::{Cid, SigningKey};

    use super::*;

    #[test]
    fn a_result_stands_in_the_ranking_once() {
        let result = Outcome { result: Cid::of_raw(b"result"), state: None };
        let mut tally = Tally::new();
        for (number, new) in [(1, 64), (2, 128)] {
            let account = SigningKey::generate([number; 32]).account();
            tally.vote(account, Say { earned: 0, new }, result);
        }
        assert_eq!(tally.ranking[1].iter().copied().collect::<Vec<_>>(), [(192, result)]);
        assert!(tally.ranking[0].is_empty());
    }
}
