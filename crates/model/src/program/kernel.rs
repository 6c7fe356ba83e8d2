//! The kernels.
//!
//! Shapes are row-major. "Rows" are everything but the last axis. Where a kernel lists `gradient`, it is the
//! loss's gradient with respect to the forward kernel's output.

use super::{BufferId, Map};
use alloc::vec::Vec;

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

/// A batch of matrices inside a buffer. Element (i, j) of matrix (p, q) is at
/// `offset + p batch_strides[0] + q batch_strides[1] + i row_stride + j`, or with i and j swapped where
/// `transposed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// Where it lies.
    pub buffer: BufferId,
    /// Element of the buffer at which matrix (0, 0) starts.
    pub offset: usize,
    /// Elements between stored rows.
    pub row_stride: usize,
    /// Elements between matrices along both batch axes; 0 where all use the same.
    pub batch_strides: [usize; 2],
    /// Whether the stored matrix is the transpose of the one meant.
    pub transposed: bool,
}

/// `c = activation(alpha a b + bias)`, or `c += alpha a b`, for every matrix of the batch: a is m×k, b is k×n,
/// c is m×n and never transposed.
#[derive(Clone, Debug, PartialEq)]
pub struct Gemm {
    /// Left factor.
    pub a: Matrix,
    /// Right factor.
    pub b: Matrix,
    /// Product.
    pub c: Matrix,
    /// Rows of the product.
    pub m: usize,
    /// Columns of the product.
    pub n: usize,
    /// Inner extent.
    pub k: usize,
    /// Extents of both batch axes; `[1, 1]` for a single product.
    pub batch: [usize; 2],
    /// Factor of the product.
    pub alpha: f32,
    /// Vector of n elements added to every row.
    pub bias: Option<BufferId>,
    /// Applied last; `None` where it accumulates.
    pub activation: Epilogue,
    /// Adds to c instead of replacing it; then there is neither bias nor activation.
    pub accumulate: bool,
}

/// A function applied to a result before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Epilogue {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x where positive, else the given multiple.
    LeakyRelu(f32),
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
}

/// Geometry of a 2D convolution or pool; 1D has extent 1 in the first spatial axis. Arrays are [height, width].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Samples.
    pub batch: usize,
    /// Channels on the input side.
    pub in_channels: usize,
    /// Channels on the output side; equal to `in_channels` for pools.
    pub out_channels: usize,
    /// Spatial extents on the input side.
    pub input: [usize; 2],
    /// Spatial extents on the output side.
    pub output: [usize; 2],
    /// Spatial extents of the kernel.
    pub kernel: [usize; 2],
    /// Distance between outputs.
    pub stride: [usize; 2],
    /// Border before the first element; the border behind the last follows from the extents.
    pub padding: [usize; 2],
    /// Distance between the kernel's elements.
    pub dilation: [usize; 2],
    /// Groups; divides both channel counts; 1 for pools.
    pub groups: usize,
}

/// What a [`Convolution`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// `y = activation(conv(x, w) + bias)`.
    Forward,
    /// `x = convᵀ(y, w) (+ bias, activation)`: gradient by the input, and ONNX ConvTranspose forward.
    Input,
    /// `w = Σ y ⋆ x`: gradient by the weight.
    Weight,
}

/// Convolution between `x: [batch, in_channels, input]`, `w: [out_channels, in_channels / groups, kernel]` and
/// `y: [batch, out_channels, output]`, where input position = output position · stride − padding + kernel
/// position · dilation; `direction` says which of the three is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// Which one is computed.
    pub direction: Direction,
    /// Geometry.
    pub window: Window,
    /// The input side.
    pub x: BufferId,
    /// The weight.
    pub w: BufferId,
    /// The output side.
    pub y: BufferId,
    /// One number per channel of what is written (not for `Weight`).
    pub bias: Option<BufferId>,
    /// Applied last (not for `Weight`).
    pub activation: Epilogue,
}

/// Which pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// Largest of the window; padding does not take part.
    Max,
    /// Mean of the window; padding does not count.
    Average,
    /// Sum of the window divided by its extent, padding counted as 0.
    AverageIncludingPadding,
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
    /// Gradient by the input: written.
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

/// Where scale and bias of element j of row r are: index `(r mod groups) · (width / inner) + j / inner`.
/// Layer and RMS normalisation: `groups = 1, inner = 1`; group normalisation with G groups:
/// rows = samples · G, width = channels / G · positions, `groups = G, inner = positions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormShape {
    /// Rows, each normalised for itself.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows with different scales.
    pub groups: usize,
    /// Neighbouring elements with the same scale.
    pub inner: usize,
}

/// `output = (x − mean) / sqrt(variance + epsilon) · scale + bias` per row; for `rms` the mean is taken as 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Rows and where their scales are.
    pub shape: NormShape,
    /// Root mean square.
    pub rms: bool,
    /// Added to the variance.
    pub epsilon: f32,
    /// `[rows, width]`.
    pub input: BufferId,
    /// `[groups · width / inner]`.
    pub scale: Option<BufferId>,
    /// `[groups · width / inner]`.
    pub bias: Option<BufferId>,
    /// `[rows, width]`: written.
    pub output: BufferId,
    /// `[rows, 2]`: mean and 1 / sqrt(variance + epsilon) of every row: written.
    pub moments: BufferId,
}

/// Gradient of [`Normalize`] by its input.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeBackward {
    /// Rows and where their scales are.
    pub shape: NormShape,
    /// Root mean square.
    pub rms: bool,
    /// Forward's input.
    pub input: BufferId,
    /// Forward's scale.
    pub scale: Option<BufferId>,
    /// Forward's moments.
    pub moments: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the input: written.
    pub result: BufferId,
}

/// Gradient of [`Normalize`] by scale and bias: sums of `g (x − mean) / deviation` and of g.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeParameters {
    /// Rows and where their scales are.
    pub shape: NormShape,
    /// Forward's input.
    pub input: BufferId,
    /// Forward's moments (mean is 0 for root mean square).
    pub moments: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the scale: written.
    pub scale: BufferId,
    /// Gradient by the bias: written, if there is one.
    pub bias: Option<BufferId>,
}

/// Batch normalisation of `[outer, channels, inner]` per channel. In training the batch's moments are used and
/// the running ones updated in place: `running = (1 − momentum) running + momentum batch`, the variance with
/// Bessel's correction; otherwise the running ones are used.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalize {
    /// Samples.
    pub outer: usize,
    /// Channels.
    pub channels: usize,
    /// Positions.
    pub inner: usize,
    /// Whether the batch's moments are used.
    pub training: bool,
    /// Share of the batch in the running moments.
    pub momentum: f32,
    /// Added to the variance.
    pub epsilon: f32,
    /// `[outer, channels, inner]`.
    pub input: BufferId,
    /// `[channels]`.
    pub scale: BufferId,
    /// `[channels]`.
    pub bias: BufferId,
    /// `[channels]`, updated in training.
    pub running_mean: BufferId,
    /// `[channels]`, updated in training.
    pub running_variance: BufferId,
    /// `[outer, channels, inner]`: written.
    pub output: BufferId,
    /// `[channels, 2]`: mean and 1 / sqrt(variance + epsilon) used: written.
    pub moments: BufferId,
}

/// Gradient of [`BatchNormalize`] in training.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalizeBackward {
    /// Samples.
    pub outer: usize,
    /// Channels.
    pub channels: usize,
    /// Positions.
    pub inner: usize,
    /// Forward's input.
    pub input: BufferId,
    /// Forward's scale.
    pub scale: BufferId,
    /// Forward's moments.
    pub moments: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the input: written, if wanted.
    pub result: Option<BufferId>,
    /// Gradient by the scale: written.
    pub scale_gradient: BufferId,
    /// Gradient by the bias: written.
    pub bias_gradient: BufferId,
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

/// Extents of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recurrence {
    /// Samples.
    pub batch: usize,
    /// Steps.
    pub steps: usize,
    /// Width of the state.
    pub hidden: usize,
}

/// Gated recurrent unit, initial state 0 (PyTorch's equations, gates in the order r, z, n):
/// `u = h Wᵀ + bias; r = σ(x_r + u_r); z = σ(x_z + u_z); n = tanh(x_n + r u_n); h' = (1 − z) n + z h`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    /// Extents.
    pub shape: Recurrence,
    /// `[batch, steps, 3 hidden]`: inputs times input weights plus their bias.
    pub projected: BufferId,
    /// `[3 hidden, hidden]`.
    pub weight: BufferId,
    /// `[3 hidden]`.
    pub bias: BufferId,
    /// `[batch, steps, hidden]`: the states: written.
    pub output: BufferId,
    /// `[batch, steps, 4 hidden]`: r, z, n and u_n: written.
    pub gates: BufferId,
}

/// Gradient of [`Gru`]. The gradient by the weight is then a product of `hidden_gradient` and `previous`, the
/// one by the bias a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct GruBackward {
    /// Extents.
    pub shape: Recurrence,
    /// Forward's weight.
    pub weight: BufferId,
    /// Forward's output.
    pub output: BufferId,
    /// Forward's gates.
    pub gates: BufferId,
    /// `[batch, steps, hidden]`: gradient by the output.
    pub gradient: BufferId,
    /// `[batch, steps, 3 hidden]`: gradient by `projected`: written.
    pub projected_gradient: BufferId,
    /// `[batch, steps, 3 hidden]`: gradient by u: written.
    pub hidden_gradient: BufferId,
    /// `[batch, steps, hidden]`: the state before every step (0 before the first): written.
    pub previous: BufferId,
}

/// Long short-term memory, initial state and cell 0 (PyTorch's equations, gates in the order i, f, g, o):
/// `a = x + h Wᵀ + bias; c' = σ(a_f) c + σ(a_i) tanh(a_g); h' = σ(a_o) tanh(c')`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// Extents.
    pub shape: Recurrence,
    /// `[batch, steps, 4 hidden]`: inputs times input weights plus their bias.
    pub projected: BufferId,
    /// `[4 hidden, hidden]`.
    pub weight: BufferId,
    /// `[4 hidden]`.
    pub bias: BufferId,
    /// `[batch, steps, hidden]`: the states: written.
    pub output: BufferId,
    /// `[batch, steps, 5 hidden]`: σ(i), σ(f), tanh(g), σ(o) and the cell c': written.
    pub gates: BufferId,
}

/// Gradient of [`Lstm`].
#[derive(Clone, Debug, PartialEq)]
pub struct LstmBackward {
    /// Extents.
    pub shape: Recurrence,
    /// Forward's weight.
    pub weight: BufferId,
    /// Forward's output.
    pub output: BufferId,
    /// Forward's gates.
    pub gates: BufferId,
    /// `[batch, steps, hidden]`: gradient by the output.
    pub gradient: BufferId,
    /// `[batch, steps, 4 hidden]`: gradient by a, hence also by `projected`: written.
    pub projected_gradient: BufferId,
    /// `[batch, steps, hidden]`: the state before every step (0 before the first): written.
    pub previous: BufferId,
}

/// `gradients *= min(1, limit / (‖gradients‖ + 1e-6))` over the whole gradient slot, in place.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleGradients {
    /// Elements of the gradient slot.
    pub elements: usize,
    /// Largest norm.
    pub limit: f32,
    /// The norm before (one element): written.
    pub norm: BufferId,
}

/// Rule by which [`Optimise`] changes parameters p by gradients g with states s0 and s1; lr, the corrections c1
/// and c2 are the step's. All as PyTorch (Lion as in its paper).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `g += decay p; s0 = momentum s0 + g; p -= lr s0`; without momentum s0 is not used: `p -= lr g`.
    /// (The first step, with s0 = 0, gives PyTorch's s0 = g.)
    Sgd {
        /// Share of the old momentum.
        momentum: f32,
        /// Weight decay.
        decay: f32,
    },
    /// `g += decay p` (or decoupled: `p -= lr decay p`); `s0 = beta1 s0 + (1 − beta1) g;
    /// s1 = beta2 s1 + (1 − beta2) g²; p -= lr c1 s0 / (sqrt(s1) c2 + epsilon)`.
    Adam {
        /// First decay.
        beta1: f32,
        /// `1 − beta1`, rounded from double precision.
        rest1: f32,
        /// Second decay.
        beta2: f32,
        /// `1 − beta2`, rounded from double precision.
        rest2: f32,
        /// Against division by zero.
        epsilon: f32,
        /// Weight decay.
        decay: f32,
        /// Whether the decay is decoupled (AdamW).
        decoupled: bool,
    },
    /// `p -= lr (sign(beta1 s0 + (1 − beta1) g) + decay p); s0 = beta2 s0 + (1 − beta2) g`.
    Lion {
        /// First decay.
        beta1: f32,
        /// Second decay.
        beta2: f32,
        /// Weight decay, decoupled.
        decay: f32,
    },
}

/// Changes the whole parameter slot in place by the gradient slot; states are slots too.
#[derive(Clone, Debug, PartialEq)]
pub struct Optimise {
    /// The rule.
    pub rule: Rule,
    /// Elements of the parameter slot.
    pub elements: usize,
}
