//! The relay's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds of Unix time.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Sleeps until the clock shows at least this time, in milliseconds, also if somebody sets it back meanwhile; for
/// ever if there is no such time.
pub(crate) async fn sleep_until(time: Option<u64>) {
    let Some(time) = time else { return std::future::pending().await };
    while let Some(left) = time.checked_sub(now()).filter(|left| *left > 0) {
        tokio::time::sleep(Duration::from_millis(left)).await;
    }
}
