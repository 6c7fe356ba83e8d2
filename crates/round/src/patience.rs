//! How long ago newcomers were waited for in vain.

use lichen_record::RoundNumber;

use crate::codec::coded;

/// Rounds without waiting for newcomers double up to 2⁶.
const MOST_DOUBLINGS: u32 = 6;

/// Whether rounds wait for newcomers: not for a while after one that did so in vain, and for twice as long each time.
///
/// A newcomer is a fresh account, which costs nothing. Without this, whoever makes new ones all the time would hold up
/// every round; with it, one round in 65. Newcomers may contribute all the same, and are waited for once they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    doublings: u32,
    /// The first round that waits for newcomers again.
    from: RoundNumber,
}

coded!(struct Patience { doublings, from } where |it: &Self| it.doublings <= MOST_DOUBLINGS);

impl Patience {
    pub(crate) const fn new() -> Self {
        Self { doublings: 0, from: RoundNumber::FIRST }
    }

    /// Whether this round waits for newcomers.
    pub(crate) fn lasts(self, round: RoundNumber) -> bool {
        round >= self.from
    }

    /// The round that waited for newcomers is over: in vain, if one of them did not contribute.
    pub(crate) fn judge(&mut self, round: RoundNumber, is_vain: bool) {
        if !is_vain {
            *self = Self::new();
            return;
        }
        self.from = RoundNumber(round.0.saturating_add(1).saturating_add(1 << self.doublings));
        self.doublings = self.doublings.saturating_add(1).min(MOST_DOUBLINGS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vain_round_doubles_the_time_without_waiting_up_to_a_bound() {
        let mut patience = Patience::new();
        let mut round = RoundNumber::FIRST;
        for without in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            assert!(patience.lasts(round));
            patience.judge(round, true);
            for _ in 0..without {
                round = round.next();
                assert!(!patience.lasts(round));
            }
            round = round.next();
        }
        patience.judge(round, false);
        assert!(patience.lasts(round.next()));
        patience.judge(round.next(), true);
        assert!(patience.lasts(RoundNumber(round.0 + 3)), "patience is new");
    }

    #[test]
    fn the_last_round_number_is_no_overflow() {
        let mut patience = Patience::new();
        patience.judge(RoundNumber(u64::MAX), true);
        assert!(patience.lasts(RoundNumber(u64::MAX)));
    }
}
