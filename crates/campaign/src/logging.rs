//! How a campaign's log is kept: `[log]`.

use alloc::format;
use alloc::vec::Vec;

use lichen_record::{KeyKind, VerifierKey};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::Fault;
use crate::reader::Reader;

/// Entries from one snapshot to the next unless the manifest says: reading as many takes about as long as reading the state
/// of some hundred members.
const SNAPSHOTS: u32 = 256;

/// Most witnesses of a campaign: not every client of such logs reads more than 16 signatures, and one is the log's own.
const MOST_WITNESSES: usize = 15;

/// `[log]`: how the log is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// Fewest entries from one snapshot of the campaign's state to the next, so that nobody has to read the log from its
    /// beginning: 256 unless given. None where the log has none (`snapshots = 0`).
    pub snapshots: Option<u32>,
    /// Who has to have seen the log, so that nobody is shown another one; none unless given.
    pub witnesses: Option<Witnesses>,
}

/// Those who sign what they have seen of the log, and how many of them have to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// Their keys, each once: `witnesses`.
    pub keys: Vec<VerifierKey>,
    /// How many have to have signed: `cosignatures`, more than half of them unless given.
    pub quorum: u32,
}

pub(crate) fn read_logging(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<Logging> {
    if table.is_none() {
        return Some(Logging { snapshots: Some(SNAPSHOTS), witnesses: None });
    }
    let mut reader = Reader::new("log", table, faults);
    let snapshots = reader.optional_whole("snapshots", 0..=1_000_000);
    let witnesses = read_witnesses(&mut reader);
    reader.finish();
    let snapshots = Some(snapshots?.unwrap_or(SNAPSHOTS)).filter(|every| *every > 0);
    Some(Logging { snapshots, witnesses: witnesses? })
}

fn read_witnesses(reader: &mut Reader<'_, '_>) -> Option<Option<Witnesses>> {
    let quorum = reader.optional_whole::<u32>("cosignatures", 1..=i64::from(u32::MAX));
    let keys = reader.list("witnesses")?;
    if keys.is_empty() {
        return match quorum? {
            None => Some(None),
            Some(_count) => {
                reader.fault("cosignatures", "is of no use without witnesses: name them in witnesses")
            }
        };
    }
    if keys.len() > MOST_WITNESSES {
        return reader.fault("witnesses", &format!("are {}: give at most {MOST_WITNESSES}", keys.len()));
    }
    let read = |key: &Spanned<DeValue<'_>>| key.get_ref().as_str()?.parse::<VerifierKey>().ok();
    let Some(keys) = keys.iter().map(read).collect::<Option<Vec<_>>>() else {
        return reader
            .fault("witnesses", "must list keys of witnesses as `lichen witness` prints them (name+id+key)");
    };
    if keys.iter().any(|key| key.kind() != KeyKind::Cosignature) {
        return reader.fault(
            "witnesses",
            "has the key of a log, not of a witness: `lichen witness` prints the right one",
        );
    }
    let is_twice = |(place, key): (usize, &VerifierKey)| {
        keys.iter().skip(place + 1).any(|other| other.key() == key.key() || other.name() == key.name())
    };
    if keys.iter().enumerate().any(is_twice) {
        return reader.fault("witnesses", "names one witness twice: each counts once");
    }
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    match quorum?.unwrap_or(count / 2 + 1) {
        quorum if quorum > count => reader.fault(
            "cosignatures",
            &format!("is {quorum}, and there are {count} witnesses: ask for at most so many"),
        ),
        quorum => Some(Some(Witnesses { keys, quorum })),
    }
}
