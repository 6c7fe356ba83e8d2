//! Content ids: the hash of some bytes, as CIDv1.

use alloc::string::String;
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
            .map_err(|_opaque| CidError::Malformed)?;
        Ok(::cid::Cid::new_v1(self.codec.code(), hash))
    }
}

/// Names bytes that come in parts.
#[derive(Clone, Default)]
pub struct CidHasher(Sha256);

impl CidHasher {
    /// Takes the next part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The id of all parts together.
    #[must_use]
    pub fn finish(self, codec: Codec) -> Cid {
        Cid { codec, digest: self.0.finalize().into() }
    }
}

/// Why something is not a [`Cid`] of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CidError {
    /// Not a content id at all, or not in its shortest binary form.
    #[error("not a content id")]
    Malformed,
    /// A content id of another version than 1.
    #[error("content id is not of version 1")]
    Version,
    /// A codec other than raw and dag-cbor.
    #[error("content id has codec {0:#x}, expected raw (0x55) or dag-cbor (0x71)")]
    Codec(u64),
    /// A hash other than sha2-256 with 32 bytes.
    #[error("content id has hash function {0:#x}, expected sha2-256 (0x12) with 32 bytes")]
    Hash(u64),
    /// Text that is not `b` followed by 58 digits of base32 lower case.
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
        let cid = ::cid::Cid::try_from(bytes).map_err(|_opaque| CidError::Malformed)?;
        let cid = Self::try_from(&cid)?;
        if cid.to_bytes() == bytes { Ok(cid) } else { Err(CidError::Malformed) }
    }
}

/// Multibase prefix of base32 lower case.
const BASE32_LOWER: char = 'b';

// The general libraries for multibase carry every base there is into each tab: this is the only one we write and read.
impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Write::write_char(f, BASE32_LOWER)?;
        for five in self.to_bytes().chunks(5) {
            let mut block = [0; 8];
            for (to, byte) in block.iter_mut().skip(3).zip(five) {
                *to = *byte;
            }
            let bits = u64::from_be_bytes(block);
            for digit in 0..(five.len() * 8).div_ceil(5) {
                let [.., last] = (bits >> (35 - 5 * digit)).to_be_bytes();
                fmt::Write::write_char(f, base32_digit(last & 31))?;
            }
        }
        Ok(())
    }
}

/// A digit of base32 lower case (RFC 4648, section 6): five bits.
fn base32_digit(value: u8) -> char {
    char::from(if value < 26 { b'a' + value } else { b'2' + (value - 26) })
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cid {
    type Err = CidError;

    fn from_str(text: &str) -> Result<Self, CidError> {
        let digits = text.strip_prefix(BASE32_LOWER).ok_or(CidError::Text)?;
        let mut bytes = [0; 36];
        let mut filled = 0;
        let mut bits = 0u32;
        let mut waiting = 0;
        for digit in digits.bytes() {
            let value = match digit {
                b'a'..=b'z' => digit - b'a',
                b'2'..=b'7' => digit - b'2' + 26,
                _ => return Err(CidError::Text),
            };
            bits = (bits << 5) | u32::from(value);
            waiting += 5;
            if waiting >= 8 {
                waiting -= 8;
                let [.., byte] = (bits >> waiting).to_be_bytes();
                *bytes.get_mut(filled).ok_or(CidError::Malformed)? = byte;
                bits &= (1 << waiting) - 1;
                filled += 1;
            }
        }
        // What is left over fills the last digit with zeros: one id has one text.
        if filled != bytes.len() || waiting >= 5 || bits != 0 {
            return Err(CidError::Malformed);
        }
        Self::try_from(bytes.as_slice())
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
