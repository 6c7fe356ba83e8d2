//! How much one account, or one network, may ask in a while.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Whoever is remembered at least before those with a full allowance are forgotten.
const REMEMBERED: usize = 4096;

const MINUTE: Duration = Duration::from_secs(60);

/// An allowance for each, that fills up within an interval (a token bucket).
pub(crate) struct Quota<K> {
    whole: f64,
    interval: Duration,
    held: Mutex<Held<K>>,
}

struct Held<K> {
    allowances: HashMap<K, Allowance>,
    /// So many have to be here before they are looked through again: looking costs as much as there are.
    look_at: usize,
}

/// What is left of an allowance, and when that was.
#[derive(Clone, Copy)]
pub(crate) struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    /// A whole one.
    pub(crate) fn full(whole: u32, now: Instant) -> Self {
        Self { left: whole.into(), at: now }
    }

    /// Lets it fill up since it was looked at last, and says what is left.
    pub(crate) fn refill(&mut self, whole: f64, interval: Duration, now: Instant) -> f64 {
        let share = now.saturating_duration_since(self.at).as_secs_f64() / interval.as_secs_f64();
        *self = Self { left: (self.left + share * whole).min(whole), at: self.at.max(now) };
        self.left
    }

    /// Takes so much.
    pub(crate) fn spend(&mut self, amount: f64) {
        self.left -= amount;
    }
}

impl<K: Copy + Eq + Hash> Quota<K> {
    pub(crate) fn per_minute(amount: u32) -> Self {
        Self::per(amount, MINUTE)
    }

    pub(crate) fn per(amount: u32, interval: Duration) -> Self {
        let held = Held { allowances: HashMap::new(), look_at: REMEMBERED };
        Self { whole: amount.into(), interval, held: Mutex::new(held) }
    }

    /// Takes this much of somebody's allowance, or nothing if there is less.
    pub(crate) fn take(&self, whose: K, amount: usize, now: Instant) -> bool {
        // The map is whole whatever happened to another thread: each change is one call.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.allowances.len() >= held.look_at {
            held.allowances
                .retain(|_, allowance| allowance.refill(self.whole, self.interval, now) < self.whole);
            held.look_at = (held.allowances.len() * 2).max(REMEMBERED);
        }
        let full = Allowance { left: self.whole, at: now };
        let allowance = held.allowances.entry(whose).or_insert(full);
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
        let amount = amount as f64;
        if allowance.refill(self.whole, self.interval, now) < amount {
            return false;
        }
        allowance.spend(amount);
        true
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
        assert!(quota.held.lock().unwrap().allowances.len() <= REMEMBERED);
    }
}
