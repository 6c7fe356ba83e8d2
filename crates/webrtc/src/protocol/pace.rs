//! How fast a remote may open streams: a token bucket, with the time as an argument.

/// Streams that may come at once.
pub const BURST: u32 = 2_000;

/// Streams that may come in a second for good; a peer that pulls 10 MB/s asks some 40 times.
pub const PER_SECOND: u32 = 200;

/// The streams that one remote opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Thousandths of a stream still to be had.
    left: u64,
    /// When that was so (milliseconds).
    at: u64,
}

impl Pace {
    /// A remote that has opened nothing yet, at `now` (milliseconds).
    #[must_use]
    pub fn start(now: u64) -> Self {
        Self { left: u64::from(BURST) * 1000, at: now }
    }

    /// Takes one stream at `now` (milliseconds); false where the remote goes too fast.
    pub fn take(&mut self, now: u64) -> bool {
        let gained = now.saturating_sub(self.at).saturating_mul(PER_SECOND.into());
        self.left = self.left.saturating_add(gained).min(u64::from(BURST) * 1000);
        // A clock that was set back starts anew.
        self.at = now;
        match self.left.checked_sub(1000) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_is_let_through_and_a_flood_is_not() {
        let mut pace = Pace::start(5);
        assert_eq!((0..10_000).filter(|_| pace.take(5)).count(), BURST as usize);
    }

    #[test]
    fn what_is_slow_enough_goes_on_for_good() {
        let mut pace = Pace::start(0);
        let step = u64::from(1000 / PER_SECOND);
        assert!((0..100_000).all(|index| pace.take(index * step)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_pace(gaps in prop::collection::vec(0_u64..50, 0..5_000)) {
            let mut pace = Pace::start(0);
            let (mut now, mut taken) = (0, 0);
            for gap in gaps {
                now += gap;
                taken += u64::from(pace.take(now));
            }
            prop_assert!(taken <= u64::from(BURST) + now * u64::from(PER_SECOND) / 1000);
        }

        #[test]
        fn no_clock_makes_it_panic(times in prop::collection::vec(any::<u64>(), 0..100)) {
            let mut pace = Pace::start(0);
            for time in times {
                let _either = pace.take(time);
            }
        }
    }
}
