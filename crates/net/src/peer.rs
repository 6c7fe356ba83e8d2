//! What tabs of a mesh say to each other: pulls of blobs, one stream each, and announcements of what one has.
//!
//! The stream's opener writes one [`Request`]; the other side writes [`Reply`] frames up to the credit asked for and ends
//! the stream. Whoever wants more grants new credit with a new request at the next offset, of this peer or of another:
//! browsers have no back-pressure on data channels, and a pull that broke off goes on where it was. A blob is believed
//! once its bytes have its id. Messages are canonical DAG-CBOR.

use lichen_record::{Cid, DecodeError, EncodeError, MAX_BLOB, MAX_ENVELOPE, decode, encode};
use serde::{Deserialize, Serialize};

use crate::{MAX_ANNOUNCEMENT, MAX_ASK, MAX_PEER_FRAME};

/// Names the peers' protocol when one tab opens a stream at another.
pub const PROTOCOL: &str = "/lichen/peer/1.0.0";

/// Most bytes of a blob that one request asks for.
pub const MAX_CREDIT: u32 = 256 * 1024;

/// Most bytes of a blob in one [`Reply::Chunk`], so that its frame fits [`MAX_PEER_FRAME`].
pub const MAX_CHUNK: usize = MAX_PEER_FRAME - 128;

/// Most blobs in one [`Announcement`].
pub const MAX_HAVE: usize = 64;

/// What a tab asks of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Asks for a part of a blob: chunks from an offset on, until its end or until the credit is used up.
    Pull {
        /// The blob.
        cid: Cid,
        /// Bytes of it that the asker has, or has from others.
        offset: u64,
        /// Most bytes wanted: 1 to [`MAX_CREDIT`].
        credit: u32,
    },
}

/// What the peer answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Reply {
    /// A part of the blob; the next one begins where it ends.
    Chunk {
        /// Length of the whole blob, in bytes: 1 to [`MAX_BLOB`].
        total: u64,
        /// Where in the blob the bytes are.
        offset: u64,
        /// 1 to [`MAX_CHUNK`] bytes.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The blob is not here.
    Absent,
}

/// What a tab tells all its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
pub enum Announcement {
    /// These blobs may be pulled from here.
    Have {
        /// 1 to [`MAX_HAVE`] of them.
        cids: Vec<Cid>,
    },
    /// The coordinator has signed this head of the log for me.
    Shown {
        /// A signed `Head` envelope, at most [`MAX_ENVELOPE`] bytes.
        #[serde(with = "serde_bytes")]
        head: Vec<u8>,
    },
}

/// Why bytes of a peer are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Too many bytes, or not the canonical form of a message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A number in it is out of its range.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
}

impl Request {
    /// The request as a frame's content.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: a request holds only ids and numbers.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    /// [`PeerError`] if the bytes are more than [`MAX_ASK`], not canonical, or ask for what no blob has.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerError> {
        let request = decode(bytes, MAX_ASK)?;
        let Request::Pull { offset, credit, .. } = request;
        in_range("the offset", offset < MAX_BLOB as u64)?;
        in_range("the credit", (1..=MAX_CREDIT).contains(&credit))?;
        Ok(request)
    }
}

impl Reply {
    /// The reply as a frame's content.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: a reply holds only numbers and a byte string.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads a frame's content.
    ///
    /// # Errors
    /// [`PeerError`] if the bytes are more than [`MAX_PEER_FRAME`], not canonical, or no part of any blob.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerError> {
        let reply = decode(bytes, MAX_PEER_FRAME)?;
        if let Reply::Chunk { total, offset, bytes } = &reply {
            in_range("the total", (1..=MAX_BLOB as u64).contains(total))?;
            in_range("the chunk's length", (1..=MAX_CHUNK).contains(&bytes.len()))?;
            let end = offset.checked_add(bytes.len() as u64);
            in_range("the chunk's end", end.is_some_and(|end| end <= *total))?;
        }
        Ok(reply)
    }

    /// The chunks that answer a pull of a blob that is at hand; none where the offset lies behind its end.
    pub fn chunks(blob: &[u8], offset: u64, credit: u32) -> impl Iterator<Item = Self> + '_ {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        let wanted = blob.len().min(start.saturating_add(credit as usize));
        let part = blob.get(start..wanted).unwrap_or_default();
        let total = blob.len() as u64;
        (start as u64..)
            .step_by(MAX_CHUNK)
            .zip(part.chunks(MAX_CHUNK))
            .map(move |(offset, bytes)| Self::Chunk { total, offset, bytes: bytes.to_vec() })
    }
}

impl Announcement {
    /// The announcement's bytes.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: an announcement holds only ids.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EncodeError> {
        encode(self)
    }

    /// Reads an announcement.
    ///
    /// # Errors
    /// [`PeerError`] if the bytes are more than [`MAX_ANNOUNCEMENT`], not canonical, name too few or too many blobs, or
    /// bring what is no envelope's size.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PeerError> {
        let announcement = decode(bytes, MAX_ANNOUNCEMENT)?;
        match &announcement {
            Self::Have { cids } => in_range("the number of blobs", (1..=MAX_HAVE).contains(&cids.len()))?,
            Self::Shown { head } => in_range("the head's length", (1..=MAX_ENVELOPE).contains(&head.len()))?,
        }
        Ok(announcement)
    }
}

const fn in_range(what: &'static str, is_in_range: bool) -> Result<(), PeerError> {
    if is_in_range { Ok(()) } else { Err(PeerError::OutOfRange(what)) }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
