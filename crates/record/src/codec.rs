//! Canonical DAG-CBOR: exactly one encoding for each value, and no other is accepted.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value has no canonical DAG-CBOR form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot be encoded: {0}")]
pub struct EncodeError(String);

/// Why bytes are not the canonical DAG-CBOR form of the expected type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than allowed; nothing of them was read.
    #[error("{size} bytes, at most {cap} allowed")]
    TooLarge {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        cap: usize,
    },
    /// Not DAG-CBOR, or not of the expected type.
    #[error("malformed: {0}")]
    Malformed(String),
    /// The right value in another form than the canonical one (key order, integer width, float width, repeated,
    /// unknown or superfluous fields).
    #[error("not in canonical form")]
    NotCanonical,
}

/// Encodes a value as canonical DAG-CBOR.
///
/// # Errors
/// [`EncodeError`] if the value holds a float that is not finite, an integer wider than 64 bits or a map whose keys
/// are not text.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, EncodeError> {
    serde_ipld_dagcbor::to_vec(value).map_err(|error| EncodeError(error.to_string()))
}

/// Decodes a value from canonical DAG-CBOR of at most `cap` bytes.
///
/// # Errors
/// [`DecodeError`] if the bytes are too many, malformed, followed by others, or not the canonical form of the value.
pub fn decode<T: Serialize + DeserializeOwned>(bytes: &[u8], cap: usize) -> Result<T, DecodeError> {
    if bytes.len() > cap {
        return Err(DecodeError::TooLarge { size: bytes.len(), cap });
    }
    let value: T =
        serde_ipld_dagcbor::from_slice(bytes).map_err(|error| DecodeError::Malformed(error.to_string()))?;
    let canonical = encode(&value).map_err(|error| DecodeError::Malformed(error.0))?;
    if canonical != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}
