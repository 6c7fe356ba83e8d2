//! What the coordinator signs about its log: heads, and receipts for single entries.

use lichen_record::{AccountId, CampaignId, Cid, Signable, Verified};
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// A log's length and the hash of its chain: equal heads mean equal logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The campaign that the log belongs to.
    pub campaign: CampaignId,
    /// Number of records.
    pub length: u64,
    /// The chain's hash after the last record.
    #[serde(with = "serde_bytes")]
    pub hash: [u8; 32],
}

/// Signed by the coordinator: "the log is this".
impl Signable for Head {
    const DOMAIN: &'static str = "head";
}

/// Signed by the coordinator: "your entry is in the log, as its last record up to here".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The entry's id, that of its envelope.
    pub entry: Cid,
    /// The head right after the entry's record.
    pub head: Head,
}

impl Receipt {
    /// The campaign in whose log the entry is.
    #[must_use]
    pub const fn campaign(&self) -> CampaignId {
        self.head.campaign
    }

    /// Place of the entry's record.
    #[must_use]
    pub const fn index(&self) -> u64 {
        self.head.length.saturating_sub(1)
    }
}

impl Signable for Receipt {
    const DOMAIN: &'static str = "receipt";
}

/// Why a signed head does not confirm a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Signed by another than the coordinator.
    #[error("the head is signed by {0}, not by the coordinator")]
    Signer(AccountId),
    /// Of another campaign's log.
    #[error("the head is of campaign {0}'s log")]
    Campaign(CampaignId),
    /// Of another length than the chain.
    #[error("the head is of a log of {signed} records, the log at hand has {found}")]
    Length {
        /// Records that the coordinator signed.
        signed: u64,
        /// Records at hand.
        found: u64,
    },
    /// Of equal length but with another hash: the coordinator signed another log.
    #[error("the coordinator signed another log of {length} records")]
    Hash {
        /// Records of both logs.
        length: u64,
    },
}

/// Why a receipt is not for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Signed by another than the coordinator.
    #[error("the receipt is signed by {0}, not by the coordinator")]
    Signer(AccountId),
    /// For a record at another place.
    #[error("the receipt is for record {receipt}, not for record {record}")]
    Index {
        /// Place that the receipt names.
        receipt: u64,
        /// Place of the record.
        record: u64,
    },
    /// For another entry.
    #[error("the receipt is for another entry than the one in record {index}")]
    Entry {
        /// Place of the record.
        index: u64,
    },
    /// For the same place in another log: the coordinator shows different logs to different people.
    #[error("the receipt is for record {index} of another log")]
    Hash {
        /// Place of the record.
        index: u64,
    },
}

/// Checks that a receipt was kept: that `record`, which a [`Chain`] has verified, holds the entry at the place and
/// after the history that the coordinator signed.
///
/// # Errors
/// [`ReceiptError`] naming the difference.
pub fn check_receipt(
    receipt: &Verified<Receipt>,
    record: &Record,
    coordinator: &AccountId,
) -> Result<(), ReceiptError> {
    let (account, receipt) = (receipt.account(), receipt.get());
    if account != *coordinator {
        return Err(ReceiptError::Signer(account));
    }
    if receipt.head.length.checked_sub(1) != Some(record.index) {
        return Err(ReceiptError::Index { receipt: receipt.index(), record: record.index });
    }
    if receipt.entry != Cid::of_cbor(&record.entry) {
        return Err(ReceiptError::Entry { index: record.index });
    }
    if receipt.head.hash != record.hash {
        return Err(ReceiptError::Hash { index: record.index });
    }
    Ok(())
}
