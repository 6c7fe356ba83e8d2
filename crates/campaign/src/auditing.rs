//! How contributions are checked by repeating them, and what that earns: `[audit]`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toml::de::DeTable;

use crate::reader::Reader;
use crate::{Encoding, Fault, UpdateRule};

/// `[audit]`: how often trainings are repeated by others, and what an account has to show for before its updates weigh in
/// full. Without the table nothing is repeated, and everybody weighs in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auditing {
    /// How likely a contribution is drawn to be repeated: 0.1 unless given.
    pub share: Share,
    /// Contributions that have to be repeated with the same result before an account's updates weigh in full: 3 unless
    /// given.
    pub earn: u32,
    /// Most that all accounts which have not earned their weight weigh together in a round: a quarter unless given.
    pub newcomers: Share,
    /// Steps between two states that a contribution names, where the manifest says so: whoever trains so that anybody can
    /// repeat it has to name them then. [`Auditing::stride`] says how many there are otherwise.
    pub every: Option<u32>,
}

/// Most states that a contribution names.
const MOST_STATES: u32 = 256;

/// Steps between two states unless the manifest says: hashing a state takes a tab as long as a few steps, and is to cost
/// less than 3 % of a training (`crates/engine/PERFORMANCE.md`).
const STRIDE: u32 = 160;

/// A share from 0 to 1 in millionths, so that everybody computes with the same whole numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// As many millionths as a whole has.
    pub const WHOLE: u32 = 1_000_000;

    /// The nearest number of millionths; what is below 0 counts as 0, and what is above 1 as 1.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to a million fits")]
    pub const fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 1e6 + 0.5) as u32)
    }

    /// The share in millionths.
    #[must_use]
    pub const fn millionths(self) -> u32 {
        self.0
    }
}

impl Default for Auditing {
    fn default() -> Self {
        Self { share: Share(100_000), earn: 3, newcomers: Share(250_000), every: None }
    }
}

impl Auditing {
    /// Steps between two states that a contribution names, of a training with so many steps.
    #[must_use]
    pub fn stride(&self, steps: u32) -> u32 {
        self.every.unwrap_or_else(|| STRIDE.max(steps.div_ceil(MOST_STATES)))
    }

    /// How many states a contribution names of a training with so many steps; the last one is the state after all of them.
    #[must_use]
    pub fn states(&self, steps: u32) -> u32 {
        steps.div_ceil(self.stride(steps).max(1))
    }

    /// What is wrong with the number of states, if it is given.
    pub(crate) fn check_with_steps(&self, steps: u32) -> Option<String> {
        let least = steps.div_ceil(MOST_STATES);
        let too_small = self.every.filter(|every| *every < least)?;
        Some(format!(
            "is {too_small}: must be at least {least}, so that {steps} steps have at most {MOST_STATES} states"
        ))
    }

    /// Why trainings cannot be repeated where updates are packed by this rule, if they cannot.
    pub(crate) fn check_with_update(update: &UpdateRule) -> Option<&'static str> {
        let is_remembering = update.feedback.is_some_and(|feedback| feedback > 0.0);
        (update.encoding != Encoding::Dense && is_remembering).then_some(
            "must be 0 with [audit]: what a tab left out earlier is in its updates, and nobody else can repeat that",
        )
    }
}

/// None without the table.
pub(crate) fn read_auditing(
    table: Option<&DeTable<'_>>,
    faults: &mut Vec<Fault>,
) -> Option<Option<Auditing>> {
    if table.is_none() {
        return Some(None);
    }
    let unless_given = Auditing::default();
    let mut reader = Reader::new("audit", table, faults);
    let share = reader.optional_number("share", 0.0..=1.0);
    let earn = reader.optional_whole("earn", 1..=1000);
    let newcomers = reader.optional_number("newcomers", 0.01..=1.0);
    let every = reader.optional_whole("every", 1..=1_000_000);
    reader.finish();
    Some(Some(Auditing {
        share: share?.map_or(unless_given.share, Share::of),
        earn: earn?.unwrap_or(unless_given.earn),
        newcomers: newcomers?.map_or(unless_given.newcomers, Share::of),
        every: every?,
    }))
}
