//! A token bucket: how much may be had at once, and how fast it comes back.
//!
//! A [`Bucket`] is one number, the moment at which it will be full again, so that tables of many stay small. Moments are
//! durations since any fixed start that the caller chooses; a [`Rate`] is passed along, as many buckets share one.
#![no_std]
#![deny(missing_docs)]

use core::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What a bucket holds when full, and the time in which an empty one fills up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    whole: u32,
    /// In nanoseconds.
    interval: u64,
}

/// What is left of an allowance. The default is a full bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it is full again, in nanoseconds.
    full_at: u64,
}

impl Rate {
    /// As much as `whole` at once, and as much again in each interval.
    #[must_use]
    pub const fn new(whole: u32, interval: Duration) -> Self {
        Self { whole, interval: nanos(interval) }
    }

    /// How long this much takes to come back, in nanoseconds.
    fn time(self, amount: u64) -> u64 {
        let whole = u64::from(self.whole);
        // Division in two steps, as the product of amount and interval may not fit.
        let each = self.interval.checked_div(whole).unwrap_or(u64::MAX);
        let rest = self.interval.checked_rem(whole).unwrap_or(0).saturating_mul(amount);
        each.saturating_mul(amount).saturating_add(rest.checked_div(whole).unwrap_or(0))
    }
}

impl Bucket {
    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_full(self, now: Duration) -> bool {
        self.full_at <= nanos(now)
    }

    /// Whether this much is there.
    #[must_use]
    pub fn holds(self, rate: Rate, amount: u64, now: Duration) -> bool {
        self.after(rate, amount, now) <= nanos(now).saturating_add(rate.interval)
    }

    /// Takes this much, or nothing if there is less.
    pub fn take(&mut self, rate: Rate, amount: u64, now: Duration) -> bool {
        let is_there = self.holds(rate, amount, now);
        if is_there {
            self.full_at = self.after(rate, amount, now);
        }
        is_there
    }

    /// Takes this much even if there is less, and says how long it takes until nothing is owed.
    pub fn owe(&mut self, rate: Rate, amount: u64, now: Duration) -> Duration {
        self.full_at = self.after(rate, amount, now);
        Duration::from_nanos(self.full_at.saturating_sub(nanos(now)).saturating_sub(rate.interval))
    }

    /// When it would be full again if this much were taken now.
    fn after(self, rate: Rate, amount: u64, now: Duration) -> u64 {
        self.full_at.max(nanos(now)).saturating_add(rate.time(amount))
    }
}

const fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(time.subsec_nanos() as u64)
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
