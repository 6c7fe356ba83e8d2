//! How long to wait before a connection is tried again.

use std::time::Duration;

/// Waits between attempts to reach the hub: the first and the longest.
const HUB: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How long to wait before attempt number `attempt` (from 1) to reach the hub.
pub(super) fn delay(attempt: u32, random: u32) -> Duration {
    between(HUB, attempt, random)
}

/// How long to wait before attempt number `attempt` (from 1): doubling from the first to the longest wait, of which a
/// random share between a half and the whole, so that the tabs of a relay that restarts do not all come at once.
pub(super) fn between((first, longest): (Duration, Duration), attempt: u32, random: u32) -> Duration {
    let doubled = first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
    let share = 0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX);
    doubled.min(longest).mul_f64(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_a_limit_and_never_leaves_the_band() {
        let (first, longest) = HUB;
        for attempt in [1, 2, 3, 6, 7, 31, 32, 33, 1000, u32::MAX] {
            let (least, most) = (delay(attempt, 0), delay(attempt, u32::MAX));
            assert_eq!(least * 2, most);
            assert!(most >= first && most <= longest);
        }
        assert_eq!(delay(1, u32::MAX), first);
        assert_eq!(delay(2, u32::MAX), first * 2);
        assert_eq!(delay(1000, u32::MAX), longest);
    }
}
