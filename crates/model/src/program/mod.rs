//! The static step program: what one training step (or one evaluation) does, as a flat list of kernels over
//! planned memory. The CPU and the WebGPU back end run the same program.
//!
//! # Memory
//! A program names **buffers** (typed, shaped views) that live in **slots** (pieces of memory, allocated once).
//! Every element is a 32-bit float; class labels and token numbers are whole floats (exact up to 2^24), a label
//! of `-1` is ignored. A buffer starts at `offset` elements into its slot; offsets are multiples of
//! [`ALIGNMENT`] elements (256 bytes, WebGPU's alignment of bindings), and slots are padded likewise.
//! - slot [`PARAMETERS`]: all trainable parameters, one behind the other in order of their names, gaps zero;
//! - slot [`GRADIENTS`]: their gradients at the same offsets; slots [`STATE0`] and [`STATE1`]: the optimiser's
//!   state at the same offsets (empty where the rule needs none);
//! - slot [`STATISTICS`]: parameters that are not trained (running means and variances);
//! - slot [`INPUT`], slot [`TARGET`]: what the host writes before each step;
//! - further slots: activations and scratch, reused by buffers whose lives do not overlap.
//!
//! A kernel never writes a slot that it also reads, except where its documentation says that it updates in
//! place (`Optimise`, `ScaleGradients`, `BatchNormalize`'s running statistics, accumulating products and
//! copies). The first `forward` kernels compute outputs and loss, the rest gradients and the update.
//! Memory of an activation slot is **not** cleared between steps: every kernel writes all of its output unless
//! it accumulates.
//!
//! # Per-step values
//! Everything that changes from step to step besides input and target is in [`StepValues`], one uniform block of
//! 16 words.

mod kernel;
mod map;
mod step_values;

pub use kernel::*;
pub use map::*;
pub use step_values::*;

use alloc::string::String;
use alloc::vec::Vec;

/// Elements to whose multiples buffers are aligned (256 bytes).
pub const ALIGNMENT: usize = 64;

/// Slot of all trainable parameters.
pub const PARAMETERS: usize = 0;
/// Slot of their gradients.
pub const GRADIENTS: usize = 1;
/// Slot of the optimiser's first state (momentum, first moment).
pub const STATE0: usize = 2;
/// Slot of the optimiser's second state (second moment).
pub const STATE1: usize = 3;
/// Slot of parameters that are not trained.
pub const STATISTICS: usize = 4;
/// Slot of the batch's inputs.
pub const INPUT: usize = 5;
/// Slot of the batch's labels or targets.
pub const TARGET: usize = 6;
/// First slot of activations.
pub const FIRST_ACTIVATION: usize = 7;

/// Index into [`Program::buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub u32);

impl BufferId {
    /// The index as one.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferKind {
    /// A trained parameter.
    Parameter,
    /// A parameter that is not trained (running mean or variance).
    Statistic,
    /// A parameter's gradient.
    Gradient,
    /// The batch's inputs.
    Input,
    /// The batch's labels (whole numbers, `-1` ignored) or targets.
    Target,
    /// An intermediate result.
    Activation,
    /// One number, such as the loss.
    Scalar,
}

/// A shaped view of planned memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Buffer {
    /// Extents, outermost first, contiguous.
    pub shape: Vec<usize>,
    /// What it holds.
    pub kind: BufferKind,
    /// Slot it lives in.
    pub slot: usize,
    /// Elements from the slot's start.
    pub offset: usize,
}

impl Buffer {
    /// Number of elements.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Where a named parameter lives.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterBinding {
    /// Name as in [`crate::Parameters`].
    pub name: String,
    /// Its values.
    pub value: BufferId,
    /// Its gradient, if it is trained.
    pub gradient: Option<BufferId>,
}

/// One training step or one evaluation, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// All buffers.
    pub buffers: Vec<Buffer>,
    /// Elements of each slot, multiples of [`ALIGNMENT`], possibly 0.
    pub slots: Vec<usize>,
    /// What is done, in order.
    pub kernels: Vec<Kernel>,
    /// How many of the kernels (from the first) compute output and loss only.
    pub forward: usize,
    /// The batch's inputs.
    pub input: BufferId,
    /// The batch's labels or targets.
    pub target: BufferId,
    /// The model's output.
    pub output: BufferId,
    /// The batch's mean loss (one element).
    pub loss: BufferId,
    /// All parameters in order of their names.
    pub parameters: Vec<ParameterBinding>,
    /// Samples per run.
    pub batch: usize,
    /// Classes of each input element that is a whole number (vocabulary), or 0 where inputs are real.
    pub vocabulary: usize,
    /// Classes of the targets if they are labels, or 0 where they are real.
    pub classes: usize,
    /// Label that is ignored, as the host sees it.
    pub ignore_label: Option<u32>,
}

impl Program {
    /// The buffer with this id.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "ids are made only by the lowering that made the buffers")]
    pub fn buffer(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.index()]
    }

    /// Elements of all slots together, four bytes each.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.slots.iter().sum()
    }
}
