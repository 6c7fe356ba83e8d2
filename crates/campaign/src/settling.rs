//! What a round's result must be worth to stand: `[guard]`.

use alloc::vec::Vec;

use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;

/// `[guard]`: when a round's result is turned down and the round settles on the checkpoint that it began with. The table
/// may be left out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guard {
    /// How many of the held-out samples base and result are measured on, the first ones: 512 unless given, fewer where
    /// there are fewer. 0 turns the guard off.
    pub samples: u32,
    /// The result's loss may be so many times the base's, and a little more: 2 unless given.
    pub loss_factor: f64,
    /// The result's accuracy may be so much below the base's: 0.1 unless given.
    pub accuracy_drop: f64,
}

impl Default for Guard {
    fn default() -> Self {
        Self { samples: 512, loss_factor: 2.0, accuracy_drop: 0.1 }
    }
}

pub(crate) fn read_guard(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Guard> {
    let unless_given = Guard::default();
    let mut reader = Reader::new("guard", table, faults);
    let samples = reader.optional_whole("samples", 0..=65_536);
    let loss_factor = reader.optional_number("loss_factor", 1.0..=1000.0);
    let accuracy_drop = reader.optional_number("accuracy_drop", 0.0..=1.0);
    reader.finish();
    Some(Guard {
        samples: samples?.unwrap_or(unless_given.samples),
        loss_factor: loss_factor?.unwrap_or(unless_given.loss_factor),
        accuracy_drop: accuracy_drop?.unwrap_or(unless_given.accuracy_drop),
    })
}
