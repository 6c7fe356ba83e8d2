//! How much one account, or one network, may ask in a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use lichen_bucket::{Bucket, Rate};

/// Buckets kept before full ones are looked for and forgotten.
const REMEMBERED: usize = 4096;

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket for each, all of one rate.
pub(crate) struct Quota<K> {
    rate: Rate,
    start: Instant,
    held: Mutex<Held<K>>,
}

struct Held<K> {
    buckets: HashMap<K, Bucket>,
    /// So many have to be here before they are looked through again: looking costs as much as there are.
    look_at: usize,
}

impl<K: Copy + Eq + Hash> Quota<K> {
    pub(crate) fn per_minute(amount: u32) -> Self {
        Self::per(amount, MINUTE)
    }

    pub(crate) fn per(amount: u32, interval: Duration) -> Self {
        let held = Held { buckets: HashMap::new(), look_at: REMEMBERED };
        Self { rate: Rate::new(amount, interval), start: Instant::now(), held: Mutex::new(held) }
    }

    /// Takes this much of somebody's allowance, or nothing if there is less.
    pub(crate) fn take(&self, whose: K, amount: usize, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.start);
        // The map is whole whatever happened to another thread: each change is one call.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.buckets.len() >= held.look_at {
            held.buckets.retain(|_, bucket| !bucket.is_full(now));
            held.look_at = (held.buckets.len() * 2).max(REMEMBERED);
        }
        held.buckets.entry(whose).or_default().take(self.rate, amount as u64, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let (quota, start) = (Quota::per_minute(60), Instant::now());
        assert!(quota.take(1, 60, start));
        assert!(!quota.take(1, 1, start));
        assert!(quota.take(2, 1, start));
        assert!(!quota.take(1, 31, start + Duration::from_secs(30)));
        assert!(quota.take(1, 29, start + Duration::from_secs(30)));
        assert!(quota.take(1, 60, start + Duration::from_secs(3600)));
        assert!(!quota.take(1, 1, start + Duration::from_secs(3600)));
    }

    #[test]
    fn who_has_a_full_allowance_again_is_forgotten() {
        let (quota, start) = (Quota::per_minute(60), Instant::now());
        for minute in 0..20 {
            let now = start + Duration::from_secs(60) * minute;
            for whose in 0..1000 {
                assert!(quota.take((minute, whose), 1, now));
            }
        }
        assert!(quota.held.lock().unwrap().buckets.len() <= REMEMBERED);
    }
}
