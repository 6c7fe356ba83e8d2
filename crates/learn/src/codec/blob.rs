//! The blob around an update's values.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use lichen_record::{EncodeError, MAX_BLOB, decode, encode};
use serde::{Deserialize, Serialize};

use crate::update::UpdateError;

/// Longest part of an unknown encoding's name that is told.
const TOLD: usize = 32;

/// What an update's blob looks like: a map in canonical DAG-CBOR.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBlob {
    encoding: String,
    count: u64,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
}

pub(super) fn write(encoding: &str, count: usize, data: Vec<u8>) -> Result<Vec<u8>, EncodeError> {
    encode(&UpdateBlob { encoding: encoding.to_string(), count: count as u64, data })
}

/// The packed values, of which as many must be said to be there as the model has parameters.
pub(super) fn read(bytes: &[u8], encoding: &'static str, expected: usize) -> Result<Vec<u8>, UpdateError> {
    let blob: UpdateBlob = decode(bytes, MAX_BLOB).map_err(UpdateError::Decode)?;
    if blob.encoding != encoding {
        let actual = blob.encoding.chars().take(TOLD).collect();
        return Err(UpdateError::Encoding { expected: encoding, actual });
    }
    if blob.count != expected as u64 {
        return Err(UpdateError::Count { expected, actual: blob.count });
    }
    Ok(blob.data)
}
