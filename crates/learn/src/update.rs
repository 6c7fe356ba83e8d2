//! What a contributor's training changed, and why something is no such update.

use alloc::string::String;
use alloc::vec::Vec;

use lichen_model::Parameters;
use lichen_record::DecodeError;

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
    /// The values are packed in another way than the campaign's updates are.
    #[error("the update's encoding is \"{actual}\", the campaign's \"{expected}\"")]
    Encoding {
        /// The campaign's.
        expected: &'static str,
        /// The beginning of what the update says.
        actual: String,
    },
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
    /// A block of packed values is not as one is packed.
    #[error("block {block} of the update {fault}")]
    Block {
        /// Its place among the blocks.
        block: usize,
        /// What is wrong with it.
        fault: BlockFault,
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

/// What is wrong with a block of packed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// The scale, or a level, is negative where it may not be, infinite or not a number.
    #[error("has a scale that is none")]
    Scale,
    /// A value is beyond the largest step.
    #[error("has a value beyond its scale")]
    Step,
    /// The places of values do not ascend, or lie outside.
    #[error("names places that do not ascend or lie outside")]
    Place,
    /// Zeros are left out, or not, where the other way is the one.
    #[error("is not in its shortest form")]
    Form,
    /// Bits are set after the last value.
    #[error("has bits set after its last value")]
    Padding,
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

    /// An update of values that are finite for certain.
    pub(crate) const fn of_finite(values: Vec<f32>) -> Self {
        Self { values }
    }
}

/// The nearest 32-bit number, as sums of 64 bits become values again.
#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
pub(crate) const fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;

    use lichen_model::Tensor;

    use super::*;

    fn parameters(values: &[f32]) -> Parameters {
        let mut parameters = Parameters::new();
        parameters.insert("w".into(), Tensor::new(vec![values.len()], values.to_vec()).unwrap()).unwrap();
        parameters
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
}
