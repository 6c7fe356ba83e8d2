//! What an outer optimiser carries over from round to round, as a blob beside the checkpoint.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::OuterOptimizer;
use lichen_record::{DecodeError, EncodeError, MAX_BLOB, decode, encode};
use serde::{Deserialize, Serialize};

use crate::aggregate::is_within;

/// Bytes of a state besides its moments, and more.
const FRAME: usize = 128;

/// The moments of an outer optimiser after some steps, one value for each of the model's parameters in their order.
///
/// A step takes them from the blob, computes in 64 bits and rounds them to 32 again.
#[derive(Clone, Debug, PartialEq)]
pub struct OuterState {
    pub(super) optimizer: &'static str,
    pub(super) steps: u64,
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
}

/// A state's bytes: canonical DAG-CBOR, moments as little-endian `f32`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    optimizer: String,
    steps: u64,
    #[serde(with = "serde_bytes")]
    first: Vec<u8>,
    #[serde(with = "serde_bytes")]
    second: Vec<u8>,
}

/// Why bytes are no state of this campaign's outer optimiser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OuterStateError {
    /// They are too many, or not one in its canonical form.
    #[error("the outer optimiser's state does not decode: {0}")]
    Decode(DecodeError),
    /// It is of another optimiser or model.
    #[error("the outer optimiser's state is of another optimiser or model")]
    Other,
    /// It is of no step, or a moment is infinite, not a number, or a negative square.
    #[error("the outer optimiser's state is broken")]
    Broken,
}

impl OuterState {
    /// Before the first step.
    pub(super) fn new(optimizer: &OuterOptimizer, elements: usize) -> Self {
        let moment = |number| vec![0.0; if optimizer.moments() < number { 0 } else { elements }];
        Self { optimizer: optimizer.word(), steps: 0, first: moment(1), second: moment(2) }
    }

    /// Most bytes of a state for a model of so many parameters; none where nothing is carried over.
    #[must_use]
    pub const fn most_bytes(optimizer: &OuterOptimizer, elements: usize) -> usize {
        match optimizer.moments() {
            0 => 0,
            moments => elements.saturating_mul(4 * moments).saturating_add(FRAME),
        }
    }

    /// Steps taken.
    #[must_use]
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// Reads the state of this optimiser for a model of so many parameters.
    ///
    /// # Errors
    /// [`OuterStateError`] if it is none.
    pub fn decode(
        bytes: &[u8],
        optimizer: &OuterOptimizer,
        elements: usize,
    ) -> Result<Self, OuterStateError> {
        let most = Self::most_bytes(optimizer, elements).min(MAX_BLOB);
        let stored: Stored = decode(bytes, most).map_err(OuterStateError::Decode)?;
        let empty = Self::new(optimizer, 0);
        let moments = optimizer.moments();
        let length = |number| if moments < number { 0 } else { elements.saturating_mul(4) };
        let is_same = stored.optimizer == empty.optimizer
            && stored.first.len() == length(1)
            && stored.second.len() == length(2);
        if !is_same {
            return Err(OuterStateError::Other);
        }
        let (first, second) = (numbers(&stored.first), numbers(&stored.second));
        let is_sound = stored.steps > 0
            && first.iter().chain(&second).all(|value| is_within(*value))
            && second.iter().all(|square| *square >= 0.0);
        if !is_sound {
            return Err(OuterStateError::Broken);
        }
        Ok(Self { optimizer: empty.optimizer, steps: stored.steps, first, second })
    }

    /// The blob.
    ///
    /// # Errors
    /// [`EncodeError`] never in practice: it holds only text, numbers and bytes.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        encode(&Stored {
            optimizer: self.optimizer.to_string(),
            steps: self.steps,
            first: bytes(&self.first),
            second: bytes(&self.second),
        })
    }
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (values, _rest) = bytes.as_chunks();
    values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
