//! How far a training is, and how fast its steps go.

use std::cell::Cell;

use lichen_bridge::Phase;

/// How long the first step may take, in milliseconds: shaders may have to be compiled for it.
const FIRST_STEP_MS: f64 = 20_000.0;

/// How far the training has come, told by the training itself.
pub(crate) struct Progress {
    at: Cell<(u64, u32, u32)>,
    /// Steps taken in this session, those of trainings that came to nothing among them.
    taken: Cell<u64>,
    step_ms: Cell<f64>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { at: Cell::new((0, 0, 0)), taken: Cell::new(0), step_ms: Cell::new(FIRST_STEP_MS) }
    }

    /// A training begins, or goes on where it was stopped.
    pub(crate) fn begin(&self, round: u64, steps: u32) {
        let (known, step, _) = self.at.get();
        self.at.set((round, if known == round { step } else { 0 }, steps));
    }

    /// So many of so many steps are taken.
    pub(crate) fn advance(&self, step: u32, steps: u32) {
        let (round, _, _) = self.at.get();
        self.at.set((round, step, steps));
    }

    /// Records that `steps` took this many milliseconds.
    pub(crate) fn took(&self, steps: u32, ms: f64) {
        self.taken.set(self.taken.get().wrapping_add(steps.into()));
        self.step_ms.set(ms / f64::from(steps.max(1)));
    }

    /// Steps taken in this session.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// How long the last step took, in milliseconds; before the first, how long that may take.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "milliseconds of one step")]
    pub(crate) fn step_ms(&self) -> u64 {
        self.step_ms.get() as u64
    }

    pub(crate) fn phase(&self) -> Phase {
        let (round, step, steps) = self.at.get();
        Phase::Training { round, step, steps }
    }
}
