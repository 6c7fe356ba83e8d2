//! The relay's clocks. Only elapsed time moves them, so that whoever sets the machine's clock, or puts the machine to
//! sleep, makes no round end early, no password expire, and none wait for tomorrow.

use std::path::PathBuf;
use std::sync::{LazyLock, OnceLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A file with the seconds by which the machine's clock is to be off, for rehearsals; read each time.
static OFFSET: OnceLock<PathBuf> = OnceLock::new();

/// What the machine's clock showed when it was first asked, and when that was.
static START: LazyLock<(u64, Instant)> = LazyLock::new(|| (wall(), Instant::now()));

/// Lets the machine's clock be off by what this file says; to be called before any other function here.
pub(crate) fn rehearse(file: PathBuf) {
    // Called once, at the start.
    let _set_before = OFFSET.set(file);
}

/// What the machine's clock shows, in milliseconds of Unix time. It may jump: only for comparing with other machines.
pub(crate) fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    now.saturating_add_signed(offset().unwrap_or_default().saturating_mul(1_000))
}

fn offset() -> Option<i64> {
    std::fs::read_to_string(OFFSET.get()?).ok()?.trim().parse().ok()
}

/// Milliseconds of Unix time as they were at the start, moved on by elapsed time.
pub(crate) fn steady() -> u64 {
    let (start, since) = *START;
    start.saturating_add(millis(since.elapsed()))
}

/// By how many milliseconds the machine's clock was set forward since the start; below zero if it was set back. A
/// machine that slept counts as set forward.
pub(crate) fn jumped_by() -> i64 {
    i64::try_from(wall()).unwrap_or(i64::MAX).saturating_sub_unsigned(steady())
}

/// The log's time: the machine's at the start, but never before the log's last entry, and from there on elapsed time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogClock {
    ahead: u64,
}

impl LogClock {
    /// Makes a clock for a log whose last entry has this time.
    pub(crate) fn after(last: u64) -> Self {
        Self { ahead: last.saturating_sub(steady()) }
    }

    /// The log's time now, in milliseconds.
    pub(crate) fn now(self) -> u64 {
        steady().saturating_add(self.ahead)
    }

    /// By how many milliseconds the log was ahead of the machine's clock at the start.
    pub(crate) const fn ahead(self) -> u64 {
        self.ahead
    }

    /// Sleeps until the log's time is at least this; for ever if there is no such time.
    pub(crate) async fn sleep_until(self, time: Option<u64>) {
        let Some(time) = time else { return std::future::pending().await };
        while let Some(left) = time.checked_sub(self.now()).filter(|left| *left > 0) {
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A length of time in words, in its two largest units.
pub(crate) fn in_words(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_ahead_goes_on_from_its_last_entry() {
        let tomorrow = steady() + 86_400_000;
        let clock = LogClock::after(tomorrow);
        assert!(clock.ahead() > 86_000_000);
        let now = clock.now();
        assert!(now >= tomorrow && now < tomorrow + 60_000, "{now} after {tomorrow}");
    }

    #[test]
    fn a_log_that_is_behind_goes_on_now() {
        let clock = LogClock::after(1);
        assert_eq!(clock.ahead(), 0);
        assert!(clock.now() >= START.0);
    }

    #[test]
    fn lengths_of_time_are_said_in_two_units() {
        assert_eq!(in_words(4_999), "4 s");
        assert_eq!(in_words(61_000), "1 min 1 s");
        assert_eq!(in_words(86_399_000), "23 h 59 min");
        assert_eq!(in_words(90_000_000), "1 d 1 h");
    }
}
