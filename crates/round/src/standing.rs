//! What an account's past rounds say of its next: whether a round waits for it.

use crate::codec::coded;

/// Misses after which a member owes most contributions before it is waited for again: 2⁶ of them.
const MOST_MISSES: u8 = 7;

/// Contributions without a miss that make an account's misses forgotten.
const FORGOTTEN_AFTER: u8 = 64;

/// How an account has behaved in the rounds that waited for it.
///
/// Waiting costs everybody time, and accounts cost nothing. So an account that was waited for in vain is waited for again
/// once it has contributed, then twice, then four times, and so on; one that never contributed, or left since, has one
/// chance, which only a contribution renews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    misses: u8,
    /// Contributions since the last miss.
    streak: u8,
    is_tried: bool,
}

coded!(struct Standing { misses, streak, is_tried } where |it: &Self| it.misses <= MOST_MISSES);

impl Standing {
    /// That of a newcomer.
    pub(crate) const fn new() -> Self {
        Self { misses: 0, streak: 0, is_tried: false }
    }

    /// It contributed.
    pub(crate) const fn contribute(&mut self) {
        self.is_tried = false;
        self.streak = self.streak.saturating_add(1);
        if self.streak >= FORGOTTEN_AFTER {
            self.misses = 0;
        }
    }

    /// A round waited for it in vain, though it had earned that.
    pub(crate) fn miss(&mut self) {
        self.misses = self.misses.saturating_add(1).min(MOST_MISSES);
        self.streak = 0;
    }

    /// A round waits for it on trial.
    pub(crate) const fn take_chance(&mut self) {
        self.is_tried = true;
    }

    /// It went before it held anybody up.
    pub(crate) const fn return_chance(&mut self) {
        self.is_tried = false;
    }

    /// Whether rounds may wait for it on trial, though it has yet to contribute.
    pub(crate) const fn has_chance(self) -> bool {
        !self.is_tried && self.misses <= 1
    }

    /// Whether it has contributed as often as it owes.
    pub(crate) const fn is_reliable(self) -> bool {
        match self.misses {
            0 => true,
            misses => self.streak >= 1 << (misses - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contributions_owed(mut standing: Standing) -> u32 {
        let mut owed = 0;
        while !standing.is_reliable() {
            standing.contribute();
            owed += 1;
        }
        owed
    }

    #[test]
    fn each_miss_costs_twice_as_many_contributions_up_to_a_bound() {
        let mut standing = Standing::new();
        for owed in [0, 1, 2, 4, 8, 16, 32, 64, 64, 64] {
            assert_eq!(contributions_owed(standing), owed);
            standing.miss();
        }
    }

    #[test]
    fn a_chance_is_renewed_by_contributing_alone() {
        let mut standing = Standing::new();
        assert!(standing.has_chance());
        standing.take_chance();
        assert!(!standing.has_chance());
        standing.contribute();
        assert!(standing.has_chance());
        standing.miss();
        assert!(standing.has_chance(), "anybody may miss one round");
        standing.miss();
        assert!(!standing.has_chance());
    }

    #[test]
    fn misses_are_forgotten_after_long_good_work() {
        let mut standing = Standing::new();
        for _ in 0..10 {
            standing.miss();
        }
        for _ in 0..FORGOTTEN_AFTER {
            assert!(!standing.is_reliable());
            standing.contribute();
        }
        standing.miss();
        assert_eq!(contributions_owed(standing), 1);
    }
}
