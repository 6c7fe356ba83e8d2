//! One place in the log.

use alloc::vec::Vec;

use lichen_record::MAX_ENTRY;
use serde::{Deserialize, Serialize};

/// Most bytes an encoded [`Record`] may take.
pub const MAX_RECORD: usize = MAX_ENTRY + 128;

/// A record to begin with, and what the chain before it needs: whoever trusts the coordinator for what came before can go on
/// from there.
///
/// The record's hash follows from all of this, and the hashes of all later records from that: where these reach a signed
/// head, the coordinator has signed that the record is at its place, after that history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// The chain's hash before the record.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
    /// Time of the record before it, in milliseconds.
    pub time: u64,
    /// The record.
    pub record: Record,
}

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
