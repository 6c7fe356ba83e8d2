//! How contributions are checked by repeating them, and what that earns: `[audit]`.

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
}

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
        Self { share: Share(100_000), earn: 3, newcomers: Share(250_000) }
    }
}

impl Auditing {
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
    reader.finish();
    Some(Some(Auditing {
        share: share?.map_or(unless_given.share, Share::of),
        earn: earn?.unwrap_or(unless_given.earn),
        newcomers: newcomers?.map_or(unless_given.newcomers, Share::of),
    }))
}
