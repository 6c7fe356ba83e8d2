//! Who has a turn in a round where some members are drawn to contribute.

use lichen_record::{AccountId, Cid, RoundNumber};

use super::Published;
use crate::Rules;
use crate::roll::Presence;
use crate::round::{Round, Turns};

impl Published {
    /// Draws those whose turn it is, if the rules want so.
    pub(super) fn draw_turns(&mut self, rules: &Rules, number: RoundNumber, opening: &Cid) -> Option<Turns> {
        let lot = Turns::lot(rules.seed, number, opening);
        let turns = Turns::draw(rules.cohort?, &lot, &self.roll, number);
        for account in turns.drawn() {
            self.roll.change(account, |member| member.turn = number);
        }
        Some(turns)
    }

    /// The account comes after the opening, and has a turn if there is a place.
    pub(super) fn give_place(&mut self, account: &AccountId) {
        let is_here = self.roll.get(account).is_some_and(|member| member.presence != Presence::Missed);
        let Some(round) = self.round.as_mut().filter(|_round| is_here) else { return };
        if round.take_place(account) {
            let number = round.number;
            self.roll.change(account, |member| member.turn = number);
        }
    }

    /// So many of those drawn have gone, or are waited for no longer: others take their places, as far as there are any.
    pub(super) fn replace(&mut self, count: usize) {
        let Some(round) = &mut self.round else { return };
        let Some(turns) = &mut round.turns else { return };
        for _place in 0..count {
            let Some(account) = turns.replace(&self.roll) else { return };
            round.awaited.insert(account);
            self.roll.change(&account, |member| member.turn = round.number);
        }
    }

    /// Whether the account has a turn since another went.
    pub(super) fn is_replacing(&self, account: &AccountId) -> bool {
        let turns = self.round.as_ref().and_then(|round| round.turns.as_ref());
        turns.is_some_and(|turns| turns.is_replacing(account))
    }

    /// Who had a turn and did not use it has to say that it is there, before it has another that somebody else could use.
    pub(super) fn miss_unused_turns(&mut self) {
        for account in self.round.as_ref().map(Round::unused_turns).unwrap_or_default() {
            if self.is_present(&account) {
                self.change(&account, |member| member.presence = Presence::Missed);
            }
        }
    }
}
