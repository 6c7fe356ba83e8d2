//! A bucket gives what its rate allows, whatever is asked of it and when.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rates() -> impl Strategy<Value = Rate> {
    (1..10_000_u32, 1..3_600_u64).prop_map(|(whole, seconds)| Rate::new(whole, Duration::from_secs(seconds)))
}

#[test]
fn what_was_taken_comes_back_bit_by_bit() {
    let (mut bucket, rate) = (Bucket::default(), Rate::new(60, 60 * SECOND));
    assert!(bucket.take(rate, 60, Duration::ZERO));
    assert!(!bucket.take(rate, 1, SECOND - Duration::from_nanos(1)));
    assert!(bucket.holds(rate, 1, SECOND));
    assert!(bucket.take(rate, 1, SECOND));
    assert!(!bucket.take(rate, 31, 31 * SECOND));
    assert!(bucket.take(rate, 30, 31 * SECOND), "what was refused took nothing");
    assert!(!bucket.is_full(90 * SECOND));
    assert!(bucket.is_full(91 * SECOND));
}

#[test]
fn what_is_owed_is_waited_for() {
    let (mut bucket, rate) = (Bucket::default(), Rate::new(4, 2 * SECOND));
    assert_eq!(bucket.owe(rate, 4, SECOND), Duration::ZERO);
    assert_eq!(bucket.owe(rate, 3, SECOND), SECOND + SECOND / 2);
    assert!(!bucket.take(rate, 1, 2 * SECOND));
    assert_eq!(bucket.owe(rate, 0, 2 * SECOND), SECOND / 2);
    assert_eq!(bucket.owe(rate, 5, 100 * SECOND), SECOND / 2, "no more is saved than a bucket holds");
}

#[test]
fn an_empty_rate_gives_nothing() {
    let (mut bucket, rate) = (Bucket::default(), Rate::new(0, SECOND));
    assert!(!bucket.take(rate, 1, 1_000 * SECOND));
    assert!(bucket.take(rate, 0, 1_000 * SECOND));
}

proptest! {
    #[test]
    fn a_full_bucket_gives_all_that_it_holds_and_no_more(rate in rates(), now in 0..u64::MAX / 2) {
        let now = Duration::from_nanos(now);
        let mut bucket = Bucket::default();
        prop_assert!((0..rate.whole).all(|_| bucket.take(rate, 1, now)));
        prop_assert!(!bucket.take(rate, 1, now));
        let mut at_once = Bucket::default();
        prop_assert!(!at_once.take(rate, u64::from(rate.whole) + 1, now));
        prop_assert!(at_once.take(rate, rate.whole.into(), now));
    }

    #[test]
    fn never_more_than_the_burst_and_the_rate(
        rate in rates(), asked in prop::collection::vec((0..5_000_000_000_u64, 0..20_u64), 0..2_000),
    ) {
        let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, 0_u128);
        for (gap, amount) in asked {
            now += gap;
            if bucket.take(rate, amount, Duration::from_nanos(now)) {
                taken += u128::from(amount);
            }
        }
        let whole = u128::from(rate.whole);
        // One more, as times are whole nanoseconds.
        prop_assert!(taken <= whole + u128::from(now) * whole / u128::from(rate.interval) + 1);
    }

    #[test]
    fn whoever_is_slow_enough_is_never_refused(rate in rates(), amount in 1..100_u64) {
        let mut bucket = Bucket::default();
        let amount = amount.min(rate.whole.into());
        let gap = rate.time(amount);
        prop_assert!((0..1_000).all(|index| bucket.take(rate, amount, Duration::from_nanos(index * gap))));
        // What is left is all but what was taken last.
        let now = Duration::from_nanos(999 * gap);
        prop_assert!(bucket.take(rate, u64::from(rate.whole) - amount, now));
    }

    #[test]
    fn no_clock_and_no_amount_makes_it_panic(
        whole: u32, interval: Duration, asked in prop::collection::vec(any::<(Duration, u64)>(), 0..100),
    ) {
        let (mut bucket, rate) = (Bucket::default(), Rate::new(whole, interval));
        for (now, amount) in asked {
            let (_either, _full) = (bucket.take(rate, amount, now), bucket.is_full(now));
            let _wait = bucket.owe(rate, amount, now);
        }
    }
}
