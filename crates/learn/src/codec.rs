//! How updates are packed: one wire format, with four encodings of the values.
//!
//! An update's blob is canonical DAG-CBOR of `{"count", "data", "encoding"}`: how many values there are, their packed form,
//! and the name of the encoding. The campaign's manifest says which encoding its updates have; others are refused. All
//! numbers are little-endian, bits are filled from the lowest, and bits after the last value are zero.
//!
//! | `codec` | `encoding` | `data` |
//! |---|---|---|
//! | `"dense"` | `dense-f32-le` | every value as `f32` |
//! | `"int8"` | `int8-256` | for every 256 values, a scale (`f32`, not negative) and a signed byte each, from -127 to 127 |
//! | `"sign"` | `sign-4096` | for every 4,096 values, a scale (`f32`, not negative) and a bit each, set for minus |
//! | `"sparse"` | `sparse-4096` | for every 4,096 values, four levels (bfloat16), the places of the `keep` largest values (12 bits each, ascending) and their levels (2 bits each) |
//!
//! A result's difference from its base is packed by `"int8"` as `int8-256-zeros`: as `int8-256`, but that a block whose scale is
//! negative holds a bit for every value and the byte of every one that is not 0. Blocks are packed so if that is shorter.
//!
//! The last block of an update is as long as there are values left, and has as many of the largest as it has values. A value
//! is its byte times the scale, the scale with its sign, or its level; those whose place is not named are 0.
//!
//! What is packed is the same on every machine: sums are of 64 bits and in the order of the values, ties go to the earlier
//! one, and halves are rounded to even.

mod bits;
mod blob;
mod int8;
mod sign;
mod sparse;
mod zeros;

use alloc::vec::Vec;

use lichen_campaign::Encoding;
use lichen_record::EncodeError;

use crate::update::{Update, UpdateError, to_f32};

/// How often an update that came out too long is packed again, a little shorter.
const MOST_ATTEMPTS: usize = 8;

/// How far below the bound it is aimed then, since packing rounds.
const ROOM: f64 = 0.99;

/// Packs and unpacks the updates of a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codec(Encoding);

/// A packed update.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    /// Its blob.
    pub bytes: Vec<u8>,
    /// What everybody reads from that.
    pub update: Update,
}

impl Codec {
    /// The codec of campaigns whose manifest says so.
    #[must_use]
    pub const fn new(encoding: Encoding) -> Self {
        Self(encoding)
    }

    /// Packs an update.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: the blob holds only a name, a number and bytes.
    pub fn encode(self, update: &Update) -> Result<Packed, EncodeError> {
        let (data, values) = self.pack(update.values());
        let bytes = blob::write(self.name(), values.len(), data)?;
        Ok(Packed { bytes, update: Update::of_finite(values) })
    }

    /// Packs an update so that what others read from it has at most this norm: it is shortened if need be.
    ///
    /// # Errors
    /// [`EncodeError`] as for [`Codec::encode`].
    pub fn encode_within(self, update: &Update, max_norm: f64) -> Result<Packed, EncodeError> {
        let mut packed = self.encode(&update.clone().clipped(max_norm))?;
        let mut bound = max_norm.min(update.norm());
        for _attempt in 0..MOST_ATTEMPTS {
            let norm = packed.update.norm();
            if norm <= max_norm {
                return Ok(packed);
            }
            bound *= max_norm / norm * ROOM;
            packed = self.encode(&update.clone().clipped(bound))?;
        }
        // Nothing is short enough in any case.
        self.encode(&update.clone().clipped(0.0))
    }

    /// Reads an update's blob, which comes from outside, for a model of so many parameters.
    ///
    /// # Errors
    /// [`UpdateError`] if the bytes are not the canonical form of a finite update of this model in this encoding.
    pub fn decode(self, bytes: &[u8], expected_count: usize) -> Result<Update, UpdateError> {
        let data = blob::read(bytes, self.name(), expected_count)?;
        let expected = self.data_len(expected_count);
        if data.len() != expected {
            return Err(UpdateError::Length { expected: expected as u64, actual: data.len() });
        }
        let values = match self.0 {
            Encoding::Dense => data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
            Encoding::Int8 => int8::unpack(&data, expected_count)?,
            Encoding::Sign => sign::unpack(&data, expected_count)?,
            Encoding::Sparse { keep } => sparse::unpack(&data, expected_count, keep.into())?,
        };
        Update::new(values)
    }

    /// [`Codec::decode`], with a bound on the update's [norm](Update::norm).
    ///
    /// # Errors
    /// Also [`UpdateError::TooLong`] if it is longer.
    pub fn decode_within(
        self,
        bytes: &[u8],
        expected_count: usize,
        max_norm: f64,
    ) -> Result<Update, UpdateError> {
        let update = self.decode(bytes, expected_count)?;
        let norm = update.norm();
        if norm > max_norm { Err(UpdateError::TooLong { norm, max_norm }) } else { Ok(update) }
    }

    /// Packs how a result differs from its base; where that has many zeros, it takes few bytes.
    pub(crate) fn encode_difference(self, difference: &Update) -> Result<Packed, EncodeError> {
        if self.0 != Encoding::Int8 {
            return self.encode(difference);
        }
        let (data, values) = self.pack(difference.values());
        let bytes = blob::write(zeros::NAME, values.len(), zeros::leave_out(&data))?;
        Ok(Packed { bytes, update: Update::of_finite(values) })
    }

    /// Reads what [`Codec::encode_difference`] gives, which comes from outside.
    pub(crate) fn decode_difference(
        self,
        bytes: &[u8],
        expected_count: usize,
    ) -> Result<Update, UpdateError> {
        if self.0 != Encoding::Int8 {
            return self.decode(bytes, expected_count);
        }
        let data = zeros::put_back(&blob::read(bytes, zeros::NAME, expected_count)?, expected_count)?;
        Update::new(int8::unpack(&data, expected_count)?)
    }

    /// How many bytes so many values take, without what the blob says beside them.
    #[must_use]
    pub const fn data_len(self, count: usize) -> usize {
        match self.0 {
            Encoding::Dense => count.saturating_mul(4),
            Encoding::Int8 => int8::len(count),
            Encoding::Sign => sign::len(count),
            Encoding::Sparse { keep } => sparse::len(count, keep as usize),
        }
    }

    /// The name of the encoding in the blob.
    pub(crate) const fn name(self) -> &'static str {
        match self.0 {
            Encoding::Dense => "dense-f32-le",
            Encoding::Int8 => "int8-256",
            Encoding::Sign => "sign-4096",
            Encoding::Sparse { .. } => "sparse-4096",
        }
    }

    /// The values' packed form, and what is read from it.
    fn pack(self, values: &[f32]) -> (Vec<u8>, Vec<f32>) {
        match self.0 {
            Encoding::Dense => (dense(values), values.to_vec()),
            Encoding::Int8 => int8::pack(values),
            Encoding::Sign => sign::pack(values),
            Encoding::Sparse { keep } => sparse::pack(values, keep.into()),
        }
    }
}

fn dense(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// So much for every whole block of this size, and something for the values that are left.
const fn by_block(count: usize, size: usize, whole: usize, rest: usize) -> usize {
    (count / size).saturating_mul(whole).saturating_add(rest)
}

/// A block's scale, which is never negative.
fn read_scale(bytes: Option<&[u8; 4]>) -> Option<f32> {
    let scale = f32::from_le_bytes(*bytes?);
    (scale.is_finite() && scale.is_sign_positive()).then_some(scale)
}

impl Update {
    /// The update's blob with every value as it is.
    ///
    /// # Errors
    /// [`EncodeError`] as for [`Codec::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        blob::write(Codec::new(Encoding::Dense).name(), self.values().len(), dense(self.values()))
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
