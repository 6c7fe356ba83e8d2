//! How long a round waits, and when that is enough.

use super::{Round, Stage};
use crate::Rules;
use crate::codec::coded;

/// What a round has waited for already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// Log time since which it waits for those that it waits for now, in milliseconds.
    from: u64,
    extensions: u32,
    /// Whether it ended without a result.
    is_skipped: bool,
}

coded!(struct Waiting { from, extensions, is_skipped });

impl Waiting {
    pub(super) const fn from(opened: u64) -> Self {
        Self { from: opened, extensions: 0, is_skipped: false }
    }
}

impl Round {
    /// Log time until which the open round waits for its cohort, in milliseconds.
    #[must_use]
    pub const fn deadline(&self, rules: &Rules) -> u64 {
        self.waiting.from.saturating_add(rules.deadline_ms)
    }

    /// Log time from which the round is overdue, in milliseconds: open, it has waited for more contributions for as long as it
    /// may at once; closed, for a result that the coordinator computes for longer than the open round at most. None where no time
    /// makes it so.
    #[must_use]
    pub fn overdue_from(&self, rules: &Rules) -> Option<u64> {
        let extensions = rules.extensions?;
        match (self.stage, rules.settlement) {
            (Stage::Open, _) => Some(self.deadline(rules)),
            (Stage::Closed { at }, lichen_campaign::Settlement::Coordinator) => {
                let whole = u64::from(extensions).saturating_add(2).saturating_mul(rules.deadline_ms);
                Some(at.saturating_add(whole))
            }
            // Where contributors settle, a closed round ends at its deadline.
            (Stage::Closed { .. }, lichen_campaign::Settlement::Contributors)
            | (Stage::Settled { .. }, _) => None,
        }
    }

    /// How often the round was extended.
    #[must_use]
    pub const fn extensions(&self) -> u32 {
        self.waiting.extensions
    }

    /// Whether the round ended without a result, as it had waited for as long as it may.
    #[must_use]
    pub const fn is_skipped(&self) -> bool {
        self.waiting.is_skipped
    }

    /// The round waits anew from this log time.
    pub(crate) const fn extend(&mut self, time: u64) {
        self.waiting.from = time;
        self.waiting.extensions = self.waiting.extensions.saturating_add(1);
    }

    /// The round ends on what it began with.
    pub(crate) const fn skip(&mut self) {
        self.waiting.is_skipped = true;
        self.stage = Stage::Settled { result: self.base, state: self.state };
    }
}
