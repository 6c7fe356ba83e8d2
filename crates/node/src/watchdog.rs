//! Notices that nothing goes on any more, by one rule for everything a tab waits for.
//!
//! Every stage has a time that it may take by the campaign's own rules, and an interval in which something should move
//! after that. Where nothing moves for [`PATIENCE`] such intervals, the stage has stalled. Time counts only while the device
//! is awake, and only in the stage itself: a tab that alternates between two stages stalls as well.

/// How many times the expected interval may pass without progress.
const PATIENCE: u64 = 3;

/// Longest time between two looks that counts in full, in milliseconds: beyond it the device slept or was blocked.
const AWAKE_MS: u64 = 10_000;

/// What a tab waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The relay to be reached.
    Connecting,
    /// The log to be read.
    Reading,
    /// The model or the data to come.
    Fetching,
    /// The log to say that this account takes part.
    Joining,
    /// Training steps.
    Training,
    /// The update to be taken.
    Sending,
    /// The open round to close.
    Closing,
    /// The closed round to settle.
    Settling,
    /// The next round to open.
    Opening,
}

impl Stage {
    /// All of them, in the order in which they are declared.
    pub(crate) const ALL: [Self; 9] = [
        Self::Connecting,
        Self::Reading,
        Self::Fetching,
        Self::Joining,
        Self::Training,
        Self::Sending,
        Self::Closing,
        Self::Settling,
        Self::Opening,
    ];
}

/// How many stages there are.
const STAGES: usize = Stage::ALL.len();

/// What a look finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    /// What the stage waits for.
    pub(crate) stage: Stage,
    /// How far it is; any other value than before is progress.
    pub(crate) mark: [u64; 3],
    /// The time that the rules allow it, in milliseconds.
    pub(crate) allowed_ms: u64,
    /// In which something should move beyond that, in milliseconds.
    pub(crate) interval_ms: u64,
}

impl Sight {
    /// How long nothing may move, in milliseconds.
    pub(crate) const fn limit_ms(&self) -> u64 {
        self.allowed_ms.saturating_add(self.interval_ms.saturating_mul(PATIENCE))
    }
}

/// Adds up, for each stage, the time in which nothing moved.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    looked: Option<u64>,
    idle: [Idle; STAGES],
}

#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    mark: [u64; 3],
    for_ms: u64,
}

impl Watchdog {
    /// Looks, at this time of a clock that never goes back, in milliseconds; with nothing to wait for, there is no sight.
    pub(crate) fn look(&mut self, now: u64, sight: Option<Sight>) {
        let passed = now.saturating_sub(self.looked.replace(now).unwrap_or(now));
        let Some(sight) = sight else { return };
        let Some(idle) = self.idle.get_mut(sight.stage as usize) else { return };
        if idle.mark != sight.mark {
            *idle = Idle { mark: sight.mark, for_ms: 0 };
        } else if passed <= AWAKE_MS {
            idle.for_ms = idle.for_ms.saturating_add(passed);
        }
    }

    /// Whether the current stage has stalled.
    pub(crate) fn has_stalled(&self, sight: &Sight) -> bool {
        let idle = self.idle.get(sight.stage as usize);
        idle.is_some_and(|idle| idle.mark == sight.mark && idle.for_ms > sight.limit_ms())
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
