//! Products of matrices and convolutions.

use crate::program::BufferId;

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
