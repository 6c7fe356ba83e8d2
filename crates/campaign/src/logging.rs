//! How a campaign's log is kept: `[log]`.

use alloc::vec::Vec;

use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;

/// Entries from one snapshot to the next unless the manifest says: reading as many takes about as long as reading the state
/// of some hundred members.
const SNAPSHOTS: u32 = 256;

/// `[log]`: how the log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Fewest entries from one snapshot of the campaign's state to the next, so that nobody has to read the log from its
    /// beginning: 256 unless given. None where the log has none (`snapshots = 0`).
    pub snapshots: Option<u32>,
}

pub(crate) fn read_logging(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Logging> {
    if table.is_none() {
        return Some(Logging { snapshots: Some(SNAPSHOTS) });
    }
    let mut reader = Reader::new("log", table, faults);
    let snapshots = reader.optional_whole("snapshots", 0..=1_000_000);
    reader.finish();
    Some(Logging { snapshots: Some(snapshots?.unwrap_or(SNAPSHOTS)).filter(|every| *every > 0) })
}
