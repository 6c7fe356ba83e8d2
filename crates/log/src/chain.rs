//! Appends records to the hash chain, and checks that a record comes next.

use lichen_record::{CampaignId, Entry, Verified, VerifyError, verify};
use sha2::{Digest, Sha256};

use crate::head::{Head, Receipt};
use crate::record::Record;

const DOMAIN: &[u8] = b"lichen/log/v1\0";

/// Why a record does not continue a chain; each names the record's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A record is missing, repeated or out of order.
    #[error("record {expected}: found the record of index {found} in its place")]
    Index {
        /// Index that comes next.
        expected: u64,
        /// Index that the record claims.
        found: u64,
    },
    /// The record is older than the one before.
    #[error("record {index}: its time {found} ms is before {previous} ms, the time of the record before")]
    Time {
        /// Place of the record.
        index: u64,
        /// Time of the record before, in milliseconds.
        previous: u64,
        /// Time of the record, in milliseconds.
        found: u64,
    },
    /// The record's hash does not follow from its content and the chain before it.
    #[error("record {index}: its hash does not follow from the chain")]
    Hash {
        /// Place of the record.
        index: u64,
    },
    /// The record's entry is not a well-formed, rightly signed one.
    #[error("record {index}: {error}")]
    Entry {
        /// Place of the record.
        index: u64,
        /// What is wrong with the entry.
        error: VerifyError,
    },
    /// The record's entry is rightly signed, and of a later version than this program.
    #[error("record {index}: its entry is of a later version than this program")]
    Later {
        /// Place of the record.
        index: u64,
    },
    /// The entry belongs to another campaign's log.
    #[error("record {index}: its entry belongs to campaign {found}")]
    Campaign {
        /// Place of the record.
        index: u64,
        /// Campaign that the entry names.
        found: CampaignId,
    },
}

impl ChainError {
    /// Place of the record at fault.
    #[must_use]
    pub const fn index(&self) -> u64 {
        match self {
            ChainError::Index { expected: index, .. }
            | ChainError::Time { index, .. }
            | ChainError::Hash { index }
            | ChainError::Entry { index, .. }
            | ChainError::Later { index }
            | ChainError::Campaign { index, .. } => *index,
        }
    }
}

/// The end of a log: what is needed to append to it or to check what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    head: Head,
    time: u64,
}

impl Chain {
    /// The chain of a campaign without records.
    #[must_use]
    pub fn new(campaign: CampaignId) -> Self {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(campaign.0.to_bytes()).finalize();
        Self { head: Head { campaign, length: 0, hash: hash.into() }, time: 0 }
    }

    /// The chain after the records that such a head covers, the last of them of this time: nothing is known here of those.
    pub(crate) const fn at(head: Head, time: u64) -> Self {
        Self { head, time }
    }

    /// The current head.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// Number of records.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.head.length
    }

    /// Time of the last record in milliseconds, 0 before the first.
    #[must_use]
    pub const fn time(&self) -> u64 {
        self.time
    }

    /// Orders an entry next: gives its record and the receipt to sign for its author.
    ///
    /// # Errors
    /// [`ChainError::Time`] if `time` is before the last record's and
    /// [`ChainError::Campaign`] if the entry belongs to another log; the chain is then unchanged.
    pub fn append(&mut self, time: u64, entry: &Verified<Entry>) -> Result<(Record, Receipt), ChainError> {
        self.check_place(time, entry.get())?;
        let record = Record {
            index: self.head.length,
            time,
            entry: entry.envelope_bytes().to_vec(),
            hash: self.next_hash(time, entry.envelope_bytes()),
        };
        self.advance(&record);
        let receipt = Receipt { entry: entry.id(), head: self.head };
        Ok((record, receipt))
    }

    /// Checks that a record from outside comes next, its entry's signature included, and moves on to it.
    ///
    /// # Errors
    /// [`ChainError`] naming the place and the first check that failed; the chain is then unchanged.
    pub fn verify_next(&mut self, record: &Record) -> Result<Verified<Entry>, ChainError> {
        self.next(record, || verify(&record.entry))
    }

    /// [`Chain::verify_next`] with an entry whose signature was checked already, or was found to be wrong.
    ///
    /// # Errors
    /// The same, and in the same order; an entry that is not the record's is a wrong hash.
    pub fn take_next(
        &mut self,
        record: &Record,
        entry: Result<Verified<Entry>, VerifyError>,
    ) -> Result<Verified<Entry>, ChainError> {
        if entry.as_ref().is_ok_and(|entry| entry.envelope_bytes() != record.entry) {
            return Err(ChainError::Hash { index: self.head.length });
        }
        self.next(record, || entry)
    }

    fn next(
        &mut self,
        record: &Record,
        entry: impl FnOnce() -> Result<Verified<Entry>, VerifyError>,
    ) -> Result<Verified<Entry>, ChainError> {
        let index = self.head.length;
        if record.index != index {
            return Err(ChainError::Index { expected: index, found: record.index });
        }
        if record.hash != self.next_hash(record.time, &record.entry) {
            return Err(ChainError::Hash { index });
        }
        let entry = entry().map_err(|error| match error {
            VerifyError::Later => ChainError::Later { index },
            error => ChainError::Entry { index, error },
        })?;
        self.check_place(record.time, entry.get())?;
        self.advance(record);
        Ok(entry)
    }

    fn check_place(&self, time: u64, entry: &Entry) -> Result<(), ChainError> {
        let index = self.head.length;
        if time < self.time {
            return Err(ChainError::Time { index, previous: self.time, found: time });
        }
        if entry.campaign() != self.head.campaign {
            return Err(ChainError::Campaign { index, found: entry.campaign() });
        }
        Ok(())
    }

    fn next_hash(&self, time: u64, entry: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(DOMAIN)
            .chain_update(self.head.hash)
            .chain_update(self.head.length.to_be_bytes())
            .chain_update(time.to_be_bytes())
            .chain_update(Sha256::digest(entry))
            .finalize()
            .into()
    }

    fn advance(&mut self, record: &Record) {
        self.head.length = record.index.saturating_add(1);
        self.head.hash = record.hash;
        self.time = record.time;
    }
}
