//! How slow a transfer may be: whoever moves bytes too slowly holds memory that others could have.

use std::time::{Duration, Instant};

/// Time that any transfer has before its speed counts, and longest time in which nothing moves.
pub(crate) const GRACE: Duration = Duration::from_secs(20);

/// Least bytes in a second after that, on average.
pub(crate) const LEAST: u64 = 8 * 1024;

/// One transfer's pace.
pub(crate) struct Pace {
    began: Instant,
    moved: u64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), moved: 0 }
    }

    /// Counts bytes that moved.
    pub(crate) fn moved(&mut self, bytes: usize) {
        self.moved = self.moved.saturating_add(bytes as u64);
    }

    /// How long the next part may take.
    pub(crate) fn patience(&self) -> Duration {
        left(self.began.elapsed(), self.moved)
    }
}

/// Time left after `past`, in which `moved` bytes moved.
fn left(past: Duration, moved: u64) -> Duration {
    let earned = Duration::from_secs(moved / LEAST);
    GRACE.saturating_add(earned).saturating_sub(past).min(GRACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_moves_too_little_has_no_time_left() {
        let second = Duration::from_secs(1);
        assert_eq!(left(Duration::ZERO, 0), GRACE);
        assert_eq!(left(GRACE, 0), Duration::ZERO);
        assert_eq!(left(GRACE + 10 * second, 10 * LEAST), Duration::ZERO);
        assert_eq!(left(GRACE + 10 * second, 15 * LEAST), 5 * second);
        assert_eq!(left(second, 1_000 * LEAST), GRACE, "what moved fast does not let the rest stand still");
    }
}
