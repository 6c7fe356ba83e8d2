//! The kernels.
//!
//! Shapes are row-major. "Rows" are everything but the last axis. Where a kernel lists `gradient`, it is the
//! loss's gradient with respect to the forward kernel's output.

use alloc::vec::Vec;

use super::{BufferId, Map};

mod norms;
mod optimise;
mod products;
mod recurrent;

pub use norms::*;
pub use optimise::*;
pub use products::*;
pub use recurrent::*;

/// One kernel of a step program.
#[derive(Clone, Debug, PartialEq)]
pub enum Kernel {
    /// Batched matrix product.
    Gemm(Gemm),
    /// Convolution, or its gradient by input or weight.
    Convolution(Convolution),
    /// Pooling.
    Pool(Pool),
    /// Pooling's gradient.
    PoolBackward(PoolBackward),
    /// Fused elementwise expression with broadcasting.
    Map(Map),
    /// Reduction of one axis.
    Reduce(Reduce),
    /// Strided copy: transpose, concatenate, split, slice, pad.
    Copy(Copy),
    /// Sets every element of `output` to `value`.
    Fill {
        /// What is written.
        output: BufferId,
        /// The value.
        value: f32,
    },
    /// Softmax over the last axis.
    Softmax(Softmax),
    /// Softmax's gradient.
    SoftmaxBackward(SoftmaxBackward),
    /// Cross entropy of softmax, with its gradient.
    CrossEntropy(CrossEntropy),
    /// Layer, group or root-mean-square normalisation.
    Normalize(Normalize),
    /// Its gradient by input.
    NormalizeBackward(NormalizeBackward),
    /// Its gradient by scale and bias.
    NormalizeParameters(NormalizeParameters),
    /// Batch normalisation.
    BatchNormalize(BatchNormalize),
    /// Its gradient by input, scale and bias.
    BatchNormalizeBackward(BatchNormalizeBackward),
    /// Embedding lookup.
    Gather(Gather),
    /// Its gradient by the table.
    GatherBackward(GatherBackward),
    /// Dropout, forward and backward.
    Dropout(Dropout),
    /// Gated recurrent unit over a sequence.
    Gru(Gru),
    /// Its gradient.
    GruBackward(GruBackward),
    /// Long short-term memory over a sequence.
    Lstm(Lstm),
    /// Its gradient.
    LstmBackward(LstmBackward),
    /// Scales gradients that are too long.
    ScaleGradients(ScaleGradients),
    /// Changes all parameters by their gradients.
    Optimise(Optimise),
}

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Largest of the window; padding does not take part.
    Max,
    /// Mean of the window; padding does not count.
    Average,
}

/// `output[n, c, o] = pool(input[n, c, window of o])`.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Which pool.
    pub kind: PoolKind,
    /// Geometry.
    pub window: Window,
    /// `[batch, channels, input]`.
    pub input: BufferId,
    /// `[batch, channels, output]`.
    pub output: BufferId,
}

/// Gradient of [`Pool`] by its input. For `Max` the gradient goes to the first largest element of the window in
/// row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolBackward {
    /// Which pool.
    pub kind: PoolKind,
    /// Geometry.
    pub window: Window,
    /// Forward's input (read for `Max` only).
    pub input: BufferId,
    /// Forward's output (read for `Max` only).
    pub output: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the pool's input: written.
    pub result: BufferId,
}

/// How a [`Reduce`] combines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReduceKind {
    /// Sum.
    Sum,
    /// Largest.
    Max,
}

/// `output[o, i] = scale · reduce over r of input[o, r, i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reduce {
    /// How.
    pub kind: ReduceKind,
    /// Extent before the axis.
    pub outer: usize,
    /// Extent of the axis.
    pub length: usize,
    /// Extent behind the axis.
    pub inner: usize,
    /// Factor of the result (1 for `Max`).
    pub scale: f32,
    /// Whether the result is also multiplied by the step's loss scale.
    pub loss_scaled: bool,
    /// `[outer, length, inner]`.
    pub input: BufferId,
    /// `[outer, inner]`.
    pub output: BufferId,
}

/// `output[output_offset + Σ i_d output_strides_d] (=, +=) input[input_offset + Σ i_d input_strides_d]` for all
/// indices of `shape` (at most 6 dimensions). Offsets are relative to the buffers' starts.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Extents of what is copied.
    pub shape: Vec<usize>,
    /// What is read.
    pub input: BufferId,
    /// First element read.
    pub input_offset: usize,
    /// Elements between neighbours; may be negative (reversed slices).
    pub input_strides: Vec<isize>,
    /// What is written.
    pub output: BufferId,
    /// First element written.
    pub output_offset: usize,
    /// Elements between neighbours; may be negative.
    pub output_strides: Vec<isize>,
    /// Adds instead of replacing.
    pub accumulate: bool,
}

/// Softmax (or its logarithm) over the last axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax {
    /// Rows.
    pub rows: usize,
    /// Extent of the last axis.
    pub width: usize,
    /// Logarithm of it.
    pub log: bool,
    /// If not 0: row r is position `r mod causal` of a sequence of that length, and columns behind
    /// `position + width - causal` are masked (probability 0).
    pub causal: usize,
    /// `[rows, width]`.
    pub input: BufferId,
    /// `[rows, width]`.
    pub output: BufferId,
}

/// Gradient of [`Softmax`]: `y (g − Σ g y)`, or for the logarithm `g − e^y Σ g`.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxBackward {
    /// Rows.
    pub rows: usize,
    /// Extent of the last axis.
    pub width: usize,
    /// Logarithm of it.
    pub log: bool,
    /// As in [`Softmax`]; masked columns get gradient 0.
    pub causal: usize,
    /// Forward's output y.
    pub output: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the input: written.
    pub result: BufferId,
}

/// `losses[r] = −log softmax(logits[r])[labels[r]]`, and `gradient = (softmax − one-hot) · loss scale`; both 0
/// for rows with label −1.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossEntropy {
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// `[rows, classes]`.
    pub logits: BufferId,
    /// `[rows]`, whole numbers.
    pub labels: BufferId,
    /// `[rows]`: written.
    pub losses: BufferId,
    /// `[rows, classes]`: written, if wanted.
    pub gradient: Option<BufferId>,
}

/// `output[i] = table[indices[i]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gather {
    /// Number of indices.
    pub count: usize,
    /// Rows of the table.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// `[rows, width]`.
    pub table: BufferId,
    /// `[count]`, whole numbers below `rows`, checked by the host.
    pub indices: BufferId,
    /// `[count, width]`: written.
    pub output: BufferId,
}

/// `result[r] = Σ over i with indices[i] = r of gradient[i]`, summed in order of i; rows nobody names become 0.
#[derive(Clone, Debug, PartialEq)]
pub struct GatherBackward {
    /// Number of indices.
    pub count: usize,
    /// Rows of the table.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// `[count]`.
    pub indices: BufferId,
    /// `[count, width]`.
    pub gradient: BufferId,
    /// `[rows, width]`: written.
    pub result: BufferId,
}

/// `output[i] = random_bits(stream_key(seed, stream), i) >> 8 >= threshold ? input[i] · scale : 0`; the same
/// kernel with the gradient as input is the backward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Number of elements.
    pub elements: usize,
    /// Number of the random stream.
    pub stream: u32,
    /// Rate in units of 2^-24.
    pub threshold: u32,
    /// `1 / (1 − rate)`.
    pub scale: f32,
    /// What is read.
    pub input: BufferId,
    /// What is written.
    pub output: BufferId,
}
