//! What can be wrong with a model, its parameters or their files.

use alloc::string::String;
use alloc::vec::Vec;

/// A fault in a model or its parameters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// A layer cannot take the shape it is given.
    #[error("layer {layer} takes {expected}, but gets {}", Shape(.found))]
    Shape {
        /// The layer's name.
        layer: String,
        /// What it takes.
        expected: String,
        /// The shape it gets, without the batch.
        found: Vec<usize>,
    },
    /// The output does not go with the loss.
    #[error("the loss {expected}, but the last layer gives {}", Shape(.found))]
    Loss {
        /// What the loss takes.
        expected: &'static str,
        /// The model's output, without the batch.
        found: Vec<usize>,
    },
    /// The model needs more memory than is allowed.
    #[error("layer {layer} makes the model larger than {limit} elements")]
    TooLarge {
        /// The layer that exceeds the limit.
        layer: String,
        /// The limit.
        limit: usize,
    },
    /// Two parameters have one name.
    #[error("the parameter name {name} is used twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A parameter that the model needs is missing or one is there that it does not know.
    #[error("parameter {name} {problem}")]
    Mismatch {
        /// The parameter's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The specification itself is at fault.
    #[error("{0}")]
    Spec(String),
    /// Bytes that are no safetensors file, or none that is accepted here.
    #[error("safetensors: {0}")]
    File(&'static str),
    /// A tensor of a safetensors file cannot be used.
    #[error("safetensors: tensor {name}: {problem}")]
    FileTensor {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Writes a shape as `[2, 3]`.
pub(crate) struct Shape<'a>(pub(crate) &'a [usize]);

impl core::fmt::Display for Shape<'_> {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("[")?;
        for (index, extent) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(formatter, "{separator}{extent}")?;
        }
        formatter.write_str("]")
    }
}
