//! What can go wrong while training.

use lichen_model::ModelError;

/// A fault of the engine or of what it was given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The model or its parameters are at fault.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The training specification is at fault.
    #[error("{0}")]
    Train(String),
    /// A batch has not as many numbers as the model takes.
    #[error("the {what} has {found} numbers, but the model takes {expected}")]
    Length {
        /// `input`, `labels` or `targets`.
        what: &'static str,
        /// Numbers that the model takes.
        expected: usize,
        /// Numbers that were given.
        found: usize,
    },
    /// A number of the batch is infinite or none; the step is refused and nothing has changed.
    #[error("element {index} of the {what} is not a finite number")]
    NotFinite {
        /// `input` or `targets`.
        what: &'static str,
        /// Its position.
        index: usize,
    },
    /// A label or token is outside its range; the step is refused and nothing has changed.
    #[error("element {index} of the {what} is {found}, not a whole number below {limit}")]
    OutOfRange {
        /// `input` or `labels`.
        what: &'static str,
        /// Its position.
        index: usize,
        /// Its value.
        found: f64,
        /// How many values there are, from 0.
        limit: usize,
    },
    /// Labels were given for a loss that takes numbers, or the other way round.
    #[error("the model's loss takes {0}")]
    TargetKind(&'static str),
    /// There is no data to evaluate.
    #[error("no samples were given")]
    Empty,
    /// An executor in another place failed.
    #[error("the threads failed: {0}")]
    Elsewhere(String),
    /// The GPU failed or cannot run this model.
    #[error("GPU: {0}")]
    Gpu(String),
}

#[cfg(feature = "gpu")]
impl From<crate::gpu::GpuError> for EngineError {
    fn from(error: crate::gpu::GpuError) -> Self {
        Self::Gpu(error.to_string())
    }
}
