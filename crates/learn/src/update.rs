//! The wire format of an update: what a contributor's training changed.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use lichen_model::Parameters;
use lichen_record::{DecodeError, EncodeError, MAX_BLOB, decode, encode};
use serde::{Deserialize, Serialize};

/// How a training changed a model: one finite difference per parameter, tensors in the order of their names and each
/// row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    values: Vec<f32>,
}

/// Why something is no update of this model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UpdateError {
    /// The bytes are too many or not the canonical form of an update.
    #[error("the update does not decode: {0}")]
    Decode(DecodeError),
    /// The values are not packed in a way known here.
    #[error("the update's encoding \"{0}\" is unknown")]
    Encoding(String),
    /// The update has another number of values than the model has parameters.
    #[error("the update has {actual} values, the model {expected} parameters")]
    Count {
        /// Parameters of the model.
        expected: usize,
        /// Values of the update.
        actual: u64,
    },
    /// The number of bytes is not that of the values.
    #[error("the update has {actual} bytes of values, expected {expected}")]
    Length {
        /// Bytes that so many values take.
        expected: u64,
        /// Bytes that are there.
        actual: usize,
    },
    /// A value is infinite or not a number.
    #[error("value {index} of the update is not finite")]
    NotFinite {
        /// Index of the first such value.
        index: usize,
    },
    /// The update is longer than the campaign allows.
    #[error("the update's norm is {norm}, at most {max_norm} is allowed")]
    TooLong {
        /// Its L2 norm.
        norm: f64,
        /// The largest one allowed.
        max_norm: f64,
    },
    /// The two sets of parameters do not have the same names and shapes.
    #[error("the trained parameters have other names or shapes than the base")]
    Shapes,
}

/// The only encoding so far: every value as little-endian `f32`.
const DENSE_F32_LE: &str = "dense-f32-le";

/// What an update's blob looks like: a map in canonical DAG-CBOR.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBlob {
    encoding: String,
    count: u64,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
}

/// What training changed: trained minus base.
///
/// # Errors
/// [`UpdateError::Shapes`] if the two are not the same model; [`UpdateError::NotFinite`] if training diverged.
pub fn difference(base: &Parameters, trained: &Parameters) -> Result<Update, UpdateError> {
    if !base.same_shapes(trained) {
        return Err(UpdateError::Shapes);
    }
    let pairs = base.iter().zip(trained.iter());
    let values = pairs
        .flat_map(|((_, base), (_, trained))| {
            base.data().iter().zip(trained.data()).map(|(from, to)| to - from)
        })
        .collect();
    Update::new(values)
}

impl Update {
    /// An update of these values.
    ///
    /// # Errors
    /// [`UpdateError::NotFinite`] if one is infinite or not a number.
    pub fn new(values: Vec<f32>) -> Result<Self, UpdateError> {
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(Self { values }),
            Some(index) => Err(UpdateError::NotFinite { index }),
        }
    }

    /// The values, one for each parameter.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The update's blob: canonical DAG-CBOR of `{"count", "data", "encoding": "dense-f32-le"}`, the data being the
    /// values as little-endian `f32`.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: the blob holds only a name, a number and bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(&UpdateBlob {
            encoding: DENSE_F32_LE.to_string(),
            count: self.values.len() as u64,
            data: self.values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
    }

    /// Reads an update's blob, which comes from outside, for a model of so many parameters.
    ///
    /// # Errors
    /// [`UpdateError`] if the bytes are not the canonical form of a finite update of this model.
    pub fn decode(bytes: &[u8], expected_count: usize) -> Result<Self, UpdateError> {
        let blob: UpdateBlob = decode(bytes, MAX_BLOB).map_err(UpdateError::Decode)?;
        if blob.encoding != DENSE_F32_LE {
            return Err(UpdateError::Encoding(blob.encoding.chars().take(32).collect()));
        }
        if blob.count != expected_count as u64 {
            return Err(UpdateError::Count { expected: expected_count, actual: blob.count });
        }
        let (values, rest) = blob.data.as_chunks::<4>();
        if values.len() != expected_count || !rest.is_empty() {
            let expected = blob.count.saturating_mul(4);
            return Err(UpdateError::Length { expected, actual: blob.data.len() });
        }
        Self::new(values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
    }

    /// [`Update::decode`], with a bound on the update's [norm](Update::norm).
    ///
    /// # Errors
    /// Also [`UpdateError::TooLong`] if it is longer.
    pub fn decode_within(bytes: &[u8], expected_count: usize, max_norm: f64) -> Result<Self, UpdateError> {
        let update = Self::decode(bytes, expected_count)?;
        let norm = update.norm();
        if norm > max_norm { Err(UpdateError::TooLong { norm, max_norm }) } else { Ok(update) }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;

    use lichen_model::Tensor;
    use proptest::prelude::*;

    use super::*;

    fn parameters(values: &[f32]) -> Parameters {
        let mut parameters = Parameters::new();
        parameters.insert("w".into(), Tensor::new(vec![values.len()], values.to_vec()).unwrap()).unwrap();
        parameters
    }

    fn blob(encoding: &str, count: u64, data: &[u8]) -> Vec<u8> {
        encode(&UpdateBlob { encoding: encoding.into(), count, data: data.to_vec() }).unwrap()
    }

    #[test]
    fn the_difference_is_trained_minus_base() {
        let update = difference(&parameters(&[1.0, 2.0]), &parameters(&[1.5, -1.0])).unwrap();
        assert_eq!(update.values(), [0.5, -3.0]);
    }

    #[test]
    fn other_shapes_have_no_difference() {
        assert_eq!(difference(&parameters(&[1.0]), &parameters(&[1.0, 2.0])), Err(UpdateError::Shapes));
    }

    #[test]
    fn a_diverged_training_gives_no_update() {
        let diverged = difference(&parameters(&[1.0, f32::MIN]), &parameters(&[1.0, f32::MAX]));
        assert_eq!(diverged, Err(UpdateError::NotFinite { index: 1 }));
    }

    #[test]
    fn bytes_are_as_documented() {
        let bytes = Update::new(vec![1.0, -2.0]).unwrap().encode().unwrap();
        let mut expected = vec![0xa3, 0x64];
        expected.extend(b"data");
        expected.extend([0x48, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0x65]);
        expected.extend(b"count");
        expected.extend([0x02, 0x68]);
        expected.extend(b"encoding");
        expected.push(0x6c);
        expected.extend(b"dense-f32-le");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        for hostile in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut data = 1f32.to_le_bytes().to_vec();
            data.extend(hostile.to_le_bytes());
            let refused = Update::decode(&blob(DENSE_F32_LE, 2, &data), 2);
            assert_eq!(refused, Err(UpdateError::NotFinite { index: 1 }));
        }
    }

    #[test]
    fn another_number_of_values_is_refused() {
        let eight = [0; 8];
        let other_model = Update::decode(&blob(DENSE_F32_LE, 2, &eight), 3);
        assert_eq!(other_model, Err(UpdateError::Count { expected: 3, actual: 2 }));
        let lying = Update::decode(&blob(DENSE_F32_LE, 3, &eight), 3);
        assert_eq!(lying, Err(UpdateError::Length { expected: 12, actual: 8 }));
        let ragged = Update::decode(&blob(DENSE_F32_LE, 2, &[0; 9]), 2);
        assert_eq!(ragged, Err(UpdateError::Length { expected: 8, actual: 9 }));
        let endless = Update::decode(&blob(DENSE_F32_LE, u64::MAX, &eight), 2);
        assert_eq!(endless, Err(UpdateError::Count { expected: 2, actual: u64::MAX }));
    }

    #[test]
    fn what_is_longer_than_allowed_is_refused() {
        let bytes = Update::new(vec![3.0, -4.0]).unwrap().encode().unwrap();
        assert!(Update::decode_within(&bytes, 2, 5.0).is_ok());
        let refused = Update::decode_within(&bytes, 2, 4.999);
        assert_eq!(refused, Err(UpdateError::TooLong { norm: 5.0, max_norm: 4.999 }));
    }

    #[test]
    fn an_unknown_encoding_is_refused() {
        let refused = Update::decode(&blob("sparse", 1, &[0; 4]), 1);
        assert_eq!(refused, Err(UpdateError::Encoding("sparse".into())));
    }

    #[test]
    fn more_bytes_than_a_blob_may_have_are_refused() {
        let refused = Update::decode(&vec![0; MAX_BLOB + 1], 1);
        assert!(matches!(refused, Err(UpdateError::Decode(_))));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(values in proptest::collection::vec(proptest::num::f32::NORMAL | proptest::num::f32::ZERO | proptest::num::f32::SUBNORMAL, 0..200)) {
            let update = Update::new(values).unwrap();
            let bytes = update.encode().unwrap();
            let decoded = Update::decode(&bytes, update.values().len()).unwrap();
            let bits = |update: &Update| update.values().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&decoded), bits(&update));
        }

        #[test]
        fn whatever_decodes_is_canonical_and_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), count in 0usize..8) {
            if let Ok(update) = Update::decode(&bytes, count) {
                prop_assert_eq!(update.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn a_changed_byte_changes_or_spoils_the_update(values in proptest::collection::vec(-1e3f32..1e3, 1..20), at in any::<prop::sample::Index>(), with in 1u8..) {
            let update = Update::new(values).unwrap();
            let mut bytes = update.encode().unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= with;
            if let Ok(changed) = Update::decode(&bytes, update.values().len()) {
                prop_assert_eq!(changed.encode().unwrap(), bytes);
            }
        }

        #[test]
        fn a_truncated_update_is_refused(values in proptest::collection::vec(-1e3f32..1e3, 1..20), at in any::<prop::sample::Index>()) {
            let update = Update::new(values).unwrap();
            let bytes = update.encode().unwrap();
            let kept = at.index(bytes.len());
            prop_assert!(Update::decode(&bytes[..kept], update.values().len()).is_err());
        }
    }
}
