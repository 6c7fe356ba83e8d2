//! What the organiser may change while the campaign is under way: `[changes]`.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lichen_record::Settings;
use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;
use crate::rounds::to_milliseconds;

/// `[changes]`: the settings that the organiser may change between rounds, each within bounds. What is not there stays as the
/// manifest says for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Changes {
    /// Bounds of `rounds.deadline_seconds`, in milliseconds.
    pub deadline_ms: Option<Bounds<u64>>,
    /// Bounds of `campaign.target_accuracy`.
    pub target_accuracy: Option<Bounds<f64>>,
    /// Bounds of `train.learning_rate`.
    pub learning_rate: Option<Bounds<f64>>,
}

/// How far a setting may be changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds<T> {
    /// Its least value.
    pub least: T,
    /// Its largest value.
    pub most: T,
}

/// Why settings may not be changed so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeFault {
    /// Nothing is changed, or something that the manifest leaves as it is.
    Fixed,
    /// A setting would lie beyond its bounds.
    OutOfBounds,
}

impl<T: PartialOrd> Bounds<T> {
    /// Whether the value lies between them. What is not a number does not.
    pub fn contain(&self, value: &T) -> bool {
        (&self.least..=&self.most).contains(&value)
    }
}

impl Changes {
    /// Nothing may be changed.
    pub const NONE: Self = Self { deadline_ms: None, target_accuracy: None, learning_rate: None };

    /// Whether the organiser may change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// Whether the organiser may change these settings so.
    ///
    /// # Errors
    /// [`ChangeFault`] saying why not.
    pub fn check(&self, settings: &Settings) -> Result<(), ChangeFault> {
        if settings.is_empty() {
            return Err(ChangeFault::Fixed);
        }
        check(self.deadline_ms.as_ref(), settings.deadline_ms.as_ref())?;
        check(self.target_accuracy.as_ref(), settings.target_accuracy.as_ref())?;
        check(self.learning_rate.as_ref(), settings.learning_rate.as_ref())
    }
}

fn check<T: PartialOrd>(bounds: Option<&Bounds<T>>, value: Option<&T>) -> Result<(), ChangeFault> {
    match (bounds, value) {
        (_, None) => Ok(()),
        (None, Some(_)) => Err(ChangeFault::Fixed),
        (Some(bounds), Some(value)) if bounds.contain(value) => Ok(()),
        (Some(_), Some(_)) => Err(ChangeFault::OutOfBounds),
    }
}

pub(crate) fn read_changes(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Changes> {
    let mut reader = Reader::new("changes", table, faults);
    let names = ["deadline_seconds", "target_accuracy", "learning_rate"];
    let [deadline, target, rate] = names.map(|name| reader.optional_table(name));
    reader.finish();
    let deadline = read_bounds(names[0], deadline?, 0.1..=86_400.0, faults);
    let target = read_bounds(names[1], target?, 0.0..=1.0, faults);
    let rate = read_bounds(names[2], rate?, 1e-22..=1e22, faults);
    let whole =
        |Bounds { least, most }| Bounds { least: to_milliseconds(least), most: to_milliseconds(most) };
    Some(Changes { deadline_ms: deadline?.map(whole), target_accuracy: target?, learning_rate: rate? })
}

/// `Some(None)` without the table.
fn read_bounds(
    name: &'static str,
    table: Option<&DeTable<'_>>,
    range: core::ops::RangeInclusive<f64>,
    faults: &mut Vec<Fault>,
) -> Option<Option<Bounds<f64>>> {
    if table.is_none() {
        return Some(None);
    }
    let mut reader = Reader::new(&format!("changes.{name}"), table, faults);
    let least = reader.number("least", range.clone());
    let most = reader.number("most", range);
    let (least, most) = match (least, most) {
        (Some(least), Some(most)) if least > most => {
            (reader.fault("least", &format!("is {least}: more than the {most} of most")), Some(most))
        }
        both => both,
    };
    reader.finish();
    Some(Some(Bounds { least: least?, most: most? }))
}

/// Why a setting cannot have these bounds beside the value that it begins with, if it cannot.
pub(crate) fn check_beginning<T: PartialOrd + core::fmt::Display>(
    bounds: Option<Bounds<T>>,
    value: &T,
) -> Option<String> {
    let Bounds { least, most } = bounds.filter(|bounds| !bounds.contain(value))?;
    Some(format!("are {least} to {most}: {value}, which the campaign begins with, must lie between them"))
}
