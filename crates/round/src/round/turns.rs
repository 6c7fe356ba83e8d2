//! Whose turn it is to contribute where the manifest says how many do: drawn by lot when the round opens.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use lichen_campaign::places_for_newcomers;
use lichen_record::{AccountId, Cid, CidHasher, Codec, RoundNumber};

use super::{Round, Stage};
use crate::codec::coded;
use crate::lot;
use crate::roll::Roll;

/// What the hash of the lot begins with, so that it is no other hash.
const DOMAIN: &[u8] = b"lichen-cohort-1";

/// The members whose turn it is, and who takes the place of one that goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Turns {
    /// How many the manifest asks for.
    size: usize,
    drawn: BTreeSet<AccountId>,
    /// Those of them who took somebody's place after the opening.
    replacing: BTreeSet<AccountId>,
    /// Who is next if one of them goes, the first one last.
    reserve: Vec<AccountId>,
    /// Whether members were left out.
    is_scarce: bool,
}

coded!(struct Turns { size, drawn, replacing, reserve, is_scarce });

impl Turns {
    /// Draws from the members who are there, each with a chance in proportion to the rounds since its last turn.
    ///
    /// Members whom rounds wait for take the places, and others what is left of them. A quarter more is for who has yet to
    /// contribute, and for who is back and has waited as long as members wait for their turns on average: leaving and joining
    /// again brings no turn nearer.
    pub(crate) fn draw(size: u32, lot: &Cid, roll: &Roll, number: RoundNumber) -> Self {
        let new = places_for_newcomers(size) as usize;
        let size = size as usize;
        let chance = |account: AccountId| (account, roll.waited(&account, number));
        let expected = roll.expected().iter().copied().map(chance).collect();
        let mut drawn = lot::draw(lot, expected, size + size.div_ceil(2));
        let mut reserve = drawn.split_off(size.min(drawn.len()));
        reserve.reverse();
        let places = size - drawn.len();
        drawn.extend(lot::draw(lot, roll.unproven().map(chance).collect(), places));
        let is_due = |account: &AccountId| {
            let waited = roll.waited(account, number) as usize;
            let is_new = roll.get(account).is_some_and(|member| member.contributions() == 0);
            !drawn.contains(account) && (is_new || waited.saturating_mul(size) >= roll.here_count())
        };
        let more = roll.unproven().filter(is_due).map(chance).collect();
        let more = lot::draw(lot, more, new);
        drawn.extend(more);
        let is_scarce = drawn.len() < roll.here_count();
        Self { size, drawn: drawn.into_iter().collect(), replacing: BTreeSet::new(), reserve, is_scarce }
    }

    /// What nobody knows before the coordinator has signed the opening, which it does after the last of the members joined.
    pub(crate) fn lot(seed: u64, number: RoundNumber, opening: &Cid) -> Cid {
        let mut hash = CidHasher::default();
        hash.update(DOMAIN);
        hash.update(&seed.to_be_bytes());
        hash.update(&number.0.to_be_bytes());
        hash.update(&opening.to_bytes());
        hash.finish(Codec::Raw)
    }

    pub(crate) const fn drawn(&self) -> &BTreeSet<AccountId> {
        &self.drawn
    }

    /// Whether the account was drawn after the opening, so that it has had less time than others.
    pub(crate) fn is_replacing(&self, account: &AccountId) -> bool {
        self.replacing.contains(account)
    }

    /// The next member whom rounds wait for takes the place of one that goes.
    pub(crate) fn replace(&mut self, roll: &Roll) -> Option<AccountId> {
        while let Some(next) = self.reserve.pop() {
            if roll.is_expected(&next) && self.drawn.insert(next) {
                self.replacing.insert(next);
                return Some(next);
            }
        }
        None
    }
}

impl Round {
    /// Whether the account may contribute to this round: it is among those drawn, where some are.
    #[must_use]
    pub fn has_turn(&self, account: &AccountId) -> bool {
        self.turns.as_ref().is_none_or(|turns| turns.drawn.contains(account))
    }

    /// How many members were drawn to contribute to this round; none where everybody may.
    #[must_use]
    pub fn drawn(&self) -> Option<usize> {
        self.turns.as_ref().map(|turns| turns.drawn.len())
    }

    /// Gives an open place to a member that comes after the opening; whether there was one.
    pub(crate) fn take_place(&mut self, account: &AccountId) -> bool {
        let is_open = self.stage == Stage::Open;
        let turns = self.turns.as_mut().filter(|turns| is_open && turns.drawn.len() < turns.size);
        turns.is_some_and(|turns| turns.drawn.insert(*account))
    }

    /// Those whose turn it is and who have not contributed, where others could have had it.
    pub(crate) fn unused_turns(&self) -> Vec<AccountId> {
        let turns = self.turns.iter().filter(|turns| turns.is_scarce);
        let drawn = turns.flat_map(|turns| turns.drawn.iter().copied());
        drawn.filter(|account| !self.has_contributed(account)).collect()
    }
}
