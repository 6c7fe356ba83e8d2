//! How much one account may ask in a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lichen_record::AccountId;

/// Accounts remembered before those with a full allowance are forgotten.
const REMEMBERED: usize = 4096;

/// An allowance per account that fills up within a minute (a token bucket).
pub(crate) struct Quota {
    per_minute: f64,
    accounts: Mutex<HashMap<AccountId, Allowance>>,
}

#[derive(Clone, Copy)]
struct Allowance {
    left: f64,
    at: Instant,
}

impl Quota {
    pub(crate) fn per_minute(amount: u32) -> Self {
        Self { per_minute: amount.into(), accounts: Mutex::default() }
    }

    /// Takes this much of the account's allowance, or nothing if there is less.
    pub(crate) fn take(&self, account: AccountId, amount: usize, now: Instant) -> bool {
        // The map is whole whatever happened to another thread: each change is one call.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= REMEMBERED {
            accounts.retain(|_, allowance| self.refilled(*allowance, now) < self.per_minute);
        }
        let full = Allowance { left: self.per_minute, at: now };
        let allowance = accounts.entry(account).or_insert(full);
        *allowance = Allowance { left: self.refilled(*allowance, now), at: now };
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
        let amount = amount as f64;
        if allowance.left < amount {
            return false;
        }
        allowance.left -= amount;
        true
    }

    fn refilled(&self, allowance: Allowance, now: Instant) -> f64 {
        let minutes = now.saturating_duration_since(allowance.at).as_secs_f64() / 60.0;
        (allowance.left + minutes * self.per_minute).min(self.per_minute)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lichen_record::SigningKey;

    use super::*;

    #[test]
    fn an_allowance_is_used_up_and_comes_back() {
        let account = SigningKey::generate([1; 32]).account();
        let other = SigningKey::generate([2; 32]).account();
        let (quota, start) = (Quota::per_minute(60), Instant::now());
        assert!(quota.take(account, 60, start));
        assert!(!quota.take(account, 1, start));
        assert!(quota.take(other, 1, start));
        assert!(!quota.take(account, 31, start + Duration::from_secs(30)));
        assert!(quota.take(account, 29, start + Duration::from_secs(30)));
        assert!(quota.take(account, 60, start + Duration::from_secs(3600)));
        assert!(!quota.take(account, 1, start + Duration::from_secs(3600)));
    }
}
