use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// Multihash code of sha2-256.
const SHA2_256: u64 = 0x12;

/// What the bytes behind a [`Cid`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Bytes without structure known to us (manifests, checkpoints, updates): multicodec `0x55`.
    Raw,
    /// Canonical DAG-CBOR: multicodec `0x71`.
    DagCbor,
}

impl Codec {
    const fn code(self) -> u64 {
        match self {
            Codec::Raw => 0x55,
            Codec::DagCbor => 0x71,
        }
    }

    const fn from_code(code: u64) -> Option<Self> {
        match code {
            0x55 => Some(Codec::Raw),
            0x71 => Some(Codec::DagCbor),
            _ => None,
        }
    }
}

/// Name of content: a CIDv1 with sha2-256 over the bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid {
    codec: Codec,
    digest: [u8; 32],
}

impl Cid {
    /// Names bytes without known structure.
    #[must_use]
    pub fn of_raw(bytes: &[u8]) -> Self {
        Self { codec: Codec::Raw, digest: Sha256::digest(bytes).into() }
    }

    /// Names the canonical DAG-CBOR bytes of a message.
    #[must_use]
    pub fn of_cbor(bytes: &[u8]) -> Self {
        Self { codec: Codec::DagCbor, digest: Sha256::digest(bytes).into() }
    }

    /// Whether these are the bytes that this id names.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        <[u8; 32]>::from(Sha256::digest(bytes)) == self.digest
    }

    /// What the named bytes are.
    #[must_use]
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// The sha2-256 digest of the named bytes.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// The 36 bytes of the binary form: version, codec, hash function, hash length, digest.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 36] {
        let mut bytes = [0; 36];
        let (prefix, digest) = bytes.split_at_mut(4);
        let codec = match self.codec {
            Codec::Raw => 0x55,
            Codec::DagCbor => 0x71,
        };
        prefix.copy_from_slice(&[0x01, codec, 0x12, 0x20]);
        digest.copy_from_slice(&self.digest);
        bytes
    }

    fn to_library(self) -> Result<::cid::Cid, CidError> {
        let hash = ::cid::multihash::Multihash::wrap(SHA2_256, &self.digest)
            .map_err(|error| CidError::Malformed(error.to_string()))?;
        Ok(::cid::Cid::new_v1(self.codec.code(), hash))
    }
}

/// Why something is not a [`Cid`] of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CidError {
    /// Not a content id at all.
    #[error("not a content id: {0}")]
    Malformed(String),
    /// A content id of another version than 1.
    #[error("content id is not of version 1")]
    Version,
    /// A codec other than raw and dag-cbor.
    #[error("content id has codec {0:#x}, expected raw (0x55) or dag-cbor (0x71)")]
    Codec(u64),
    /// A hash other than sha2-256 with 32 bytes.
    #[error("content id has hash function {0:#x}, expected sha2-256 (0x12) with 32 bytes")]
    Hash(u64),
    /// Text that names the content, but is not base32 lower case without a prefix.
    #[error("content id is not written in base32 lower case")]
    Text,
}

impl TryFrom<&::cid::Cid> for Cid {
    type Error = CidError;

    fn try_from(cid: &::cid::Cid) -> Result<Self, CidError> {
        if cid.version() != ::cid::Version::V1 {
            return Err(CidError::Version);
        }
        let codec = Codec::from_code(cid.codec()).ok_or(CidError::Codec(cid.codec()))?;
        let hash = cid.hash();
        if hash.code() != SHA2_256 {
            return Err(CidError::Hash(hash.code()));
        }
        let digest = hash.digest().try_into().map_err(|_short| CidError::Hash(hash.code()))?;
        Ok(Self { codec, digest })
    }
}

impl TryFrom<&[u8]> for Cid {
    type Error = CidError;

    fn try_from(bytes: &[u8]) -> Result<Self, CidError> {
        let cid = ::cid::Cid::try_from(bytes).map_err(|error| CidError::Malformed(error.to_string()))?;
        let cid = Self::try_from(&cid)?;
        if cid.to_bytes() != bytes {
            return Err(CidError::Malformed("not the shortest binary form".to_string()));
        }
        Ok(cid)
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cid = self.to_library().map_err(|_unreachable| fmt::Error)?;
        fmt::Display::fmt(&cid, f)
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        let cid = ::cid::Cid::from_str(text).map_err(|error| CidError::Malformed(error.to_string()))?;
        let cid = Self::try_from(&cid)?;
        // The library also reads other bases and `/ipfs/` paths: one id must have one text.
        if cid.to_string() != text {
            return Err(CidError::Text);
        }
        Ok(cid)
    }
}

impl Serialize for Cid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        self.to_library().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Cid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(de::Error::custom);
        }
        Self::try_from(&::cid::Cid::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
