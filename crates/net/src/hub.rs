//! What a tab and its relay say to each other: one stream per request.
//!
//! The stream's opener writes one request frame; the relay writes reply frames and ends the stream. A frame is
//! its length as a big-endian `u32`, then that many bytes: the canonical DAG-CBOR of a [`Request`] or a [`Reply`],
//! at most [`MAX_FRAME`](crate::MAX_FRAME) long. Nothing here is believed by whoever receives it: entries are
//! verified, blobs are checked against their ids, receipts against the receiver's own chain.

use lichen_log::{Beginning, Record, Witnessed};
use lichen_record::{AccountId, CampaignId, Cid, DecodeError, EncodeError, decode, encode};
use serde::{Deserialize, Serialize};

mod notice;
pub mod parts;
mod reason;

pub use notice::{Cause, Notice};
pub use reason::Reason;

use crate::MAX_FRAME;

/// Names the hub's protocol when a tab opens a stream at its relay.
pub const PROTOCOL: &str = "/lichen/hub/1.0.0";

/// Longest request other than [`Request::PutBlob`], in bytes.
pub const MAX_SMALL_REQUEST: usize = 8 * 1024;

/// Most records in one [`Reply::Records`].
pub const MAX_RECORDS: usize = 128;

/// A relay that follows a log sends a frame at least this often, empty where nothing happened, in milliseconds.
pub const FOLLOW_KEEP_ALIVE: u32 = 10_000;

/// What a tab asks of its relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Says which account this session acts for; needed once per connection before `Append` and `PutBlob`.
    Hello {
        /// A signed `SessionCertificate` over the peer id of this very connection.
        #[serde(with = "serde_bytes")]
        certificate: Vec<u8>,
    },
    /// Asks for records from an index on, and for every later one as it is appended; the stream stays open.
    Follow {
        /// Whose log.
        campaign: CampaignId,
        /// Index of the first record wanted.
        from: u64,
    },
    /// As [`Request::Follow`], and tells besides how the relay is doing, by a [`Reply::Notice`] whenever that changes.
    /// A relay of an earlier version calls it malformed.
    Watch {
        /// Whose log.
        campaign: CampaignId,
        /// Index of the first record wanted.
        from: u64,
    },
    /// Asks where the log may be begun instead of at its first record: at its newest snapshot. The state that it names is a blob.
    /// A relay of an earlier version calls it malformed.
    Snapshot {
        /// Whose log.
        campaign: CampaignId,
    },
    /// Asks for the newest of the log's checkpoints that as many witnesses have signed as the campaign's manifest wants; there is
    /// none where it names no witnesses. A relay of an earlier version calls it malformed.
    Witnessed {
        /// Whose log.
        campaign: CampaignId,
    },
    /// Asks for an entry to be appended; answered by a receipt or a refusal.
    Append {
        /// Whose log.
        campaign: CampaignId,
        /// A signed `Entry` envelope.
        #[serde(with = "serde_bytes")]
        entry: Vec<u8>,
    },
    /// Asks for a blob.
    GetBlob {
        /// Its content id.
        cid: Cid,
    },
    /// Hands over a blob, pinned once an entry in a log names it and dropped after a while otherwise.
    PutBlob {
        /// The blob.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
}

/// What the relay answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// The session is known now.
    Welcome {
        /// The account that signs the relay's entries, heads and receipts.
        coordinator: AccountId,
        /// The account this session acts for.
        account: AccountId,
        /// The relay's clock, in milliseconds since 1970.
        time: u64,
        /// Whether it only follows the campaign's own relay: it serves all there is to read, and takes nothing.
        #[serde(default, skip_serializing_if = "is_not")]
        is_following: bool,
    },
    /// Consecutive records, from the index asked for on.
    Records(Records),
    /// The newest snapshot's record, and what the chain before it needs.
    Snapshot(Beginning),
    /// What enough witnesses have signed last.
    Witnessed(Witnessed),
    /// How the relay is doing from now on; only for whoever watches.
    Notice(Notice),
    /// The entry is in the log, durably.
    Receipt {
        /// A signed `Receipt` envelope.
        #[serde(with = "serde_bytes")]
        receipt: Vec<u8>,
    },
    /// The request is refused and has changed nothing.
    Refused {
        /// Why.
        reason: Reason,
    },
    /// The blob asked for.
    Blob {
        /// Its bytes, to be checked against the id.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The blob is stored.
    Stored {
        /// Its content id.
        cid: Cid,
    },
}

/// Consecutive records of a log, and how far the log went at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Records {
    /// At most [`MAX_RECORDS`]; none at the log's end.
    pub records: Vec<Record>,
    /// A `Head` envelope signed by the coordinator; it may be ahead of the records.
    #[serde(with = "serde_bytes")]
    pub head: Vec<u8>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_not(is: &bool) -> bool {
    !*is
}

impl Request {
    /// The request as a frame's content.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: a request holds only ids, numbers and byte strings.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads a frame's content. The cap for a blob holds for [`Request::PutBlob`] alone.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are too many or not the canonical form of a request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let request = decode(bytes, MAX_FRAME)?;
        if bytes.len() > MAX_SMALL_REQUEST && !matches!(request, Request::PutBlob { .. }) {
            return Err(DecodeError::TooLarge { size: bytes.len(), cap: MAX_SMALL_REQUEST });
        }
        Ok(request)
    }
}

impl Reply {
    /// The reply as a frame's content.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: a reply holds only ids, numbers and byte strings.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are too many or not the canonical form of a reply.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, MAX_FRAME)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
