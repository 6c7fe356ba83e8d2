//! Something that is tried again, with longer and longer waits, until it succeeds.

/// Wait after the first failure, in milliseconds; it doubles with each further one.
const FIRST_WAIT_MS: u64 = 500;

/// Longest wait after a failure, in milliseconds.
const LONGEST_WAIT_MS: u64 = 30_000;

/// Something asked of the driver until it succeeds, once at a time, with growing pauses after failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    failures: u32,
    pace: Pace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    Due { from: u64 },
    Running { since: u64 },
}

impl Attempt {
    pub(crate) const fn new() -> Self {
        Self { failures: 0, pace: Pace::Due { from: 0 } }
    }

    /// Starts it if it is due. Whoever gets `true` must ask the driver.
    pub(crate) fn start(&mut self, now: u64) -> bool {
        let is_due = matches!(self.pace, Pace::Due { from } if from <= now);
        if is_due {
            self.pace = Pace::Running { since: now };
        }
        is_due
    }

    /// It failed: it is due again after a pause.
    pub(crate) fn fail(&mut self, now: u64) {
        let pause = FIRST_WAIT_MS.saturating_mul(1 << self.failures.min(16)).min(LONGEST_WAIT_MS);
        self.failures = self.failures.saturating_add(1);
        self.pace = Pace::Due { from: now.saturating_add(pause) };
    }

    /// It fails if it has been running for this long without an answer.
    pub(crate) fn expire(&mut self, now: u64, after_ms: u64) {
        if matches!(self.pace, Pace::Running { since } if now >= since.saturating_add(after_ms)) {
            self.fail(now);
        }
    }

    /// Nobody will answer any more: it is due at once.
    pub(crate) fn interrupt(&mut self) {
        self.pace = Pace::Due { from: 0 };
    }

    /// When it is due, unless it is running.
    pub(crate) const fn due_from(&self) -> Option<u64> {
        match self.pace {
            Pace::Due { from } => Some(from),
            Pace::Running { .. } => None,
        }
    }

    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.pace, Pace::Running { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_once_until_it_fails_and_waits_longer_each_time() {
        let mut attempt = Attempt::new();
        assert!(attempt.start(10));
        assert!(!attempt.start(10), "it is running");
        attempt.fail(10);
        assert!(!attempt.start(509));
        assert!(attempt.start(510));
        attempt.fail(510);
        assert!(!attempt.start(1509));
        assert!(attempt.start(1510));
    }

    #[test]
    fn waits_half_a_minute_at_most() {
        let mut attempt = Attempt::new();
        for _ in 0..100 {
            attempt.fail(0);
        }
        assert!(!attempt.start(29_999));
        assert!(attempt.start(30_000));
    }

    #[test]
    fn expires_only_when_unanswered_for_long() {
        let mut attempt = Attempt::new();
        assert!(attempt.start(100));
        attempt.expire(199, 100);
        assert!(attempt.is_running());
        attempt.expire(200, 100);
        assert!(!attempt.is_running());
    }

    #[test]
    fn an_interrupted_attempt_is_due_at_once() {
        let mut attempt = Attempt::new();
        attempt.fail(0);
        attempt.interrupt();
        assert!(attempt.start(1));
    }
}
