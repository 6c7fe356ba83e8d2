//! One place in the log.

use alloc::vec::Vec;

use lichen_record::MAX_ENTRY;
use serde::{Deserialize, Serialize};

/// Most bytes an encoded [`Record`] may take.
pub const MAX_RECORD: usize = MAX_ENTRY + 128;

/// One place in the log: an entry, when it was ordered and the chain up to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Place in the log, from 0.
    pub index: u64,
    /// When the coordinator ordered it, in milliseconds of Unix time; never less than the record's before.
    pub time: u64,
    /// The signed entry: the bytes of its envelope.
    #[serde(with = "serde_bytes")]
    pub entry: Vec<u8>,
    /// The chain's hash up to and with this record.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
}
