//! Fused elementwise expressions.

use super::{BufferId, StepValue};
use alloc::vec::Vec;

/// Most inputs of one [`Map`] (WebGPU guarantees 8 storage buffers per stage; one is the output).
pub const MAX_MAP_INPUTS: usize = 7;
/// Most instructions of one [`Map`].
pub const MAX_MAP_INSTRUCTIONS: usize = 48;

/// `output[i] = expression(inputs at i)` for every element of `shape`.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// Extents of the iteration space, outermost first; the output is contiguous over it. At most 6 dimensions,
    /// merged where all strides allow: a purely elementwise map has one dimension.
    pub shape: Vec<usize>,
    /// What is read.
    pub inputs: Vec<MapInput>,
    /// Straight-line code: instruction `i` defines register `i`; the last one is the result.
    pub code: Vec<Instruction>,
    /// What is written.
    pub output: BufferId,
}

/// An input of a [`Map`], broadcast by zero strides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapInput {
    /// What is read.
    pub buffer: BufferId,
    /// Elements between neighbours along each dimension of the map's shape; 0 where broadcast.
    pub strides: Vec<usize>,
}

/// One instruction; operands are registers of earlier instructions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instruction {
    /// The element of input number n.
    Input(u8),
    /// A number.
    Constant(f32),
    /// A value of the uniform block.
    Step(StepValue),
    /// A function of one operand.
    Unary(Unary, u8),
    /// A function of two operands.
    Binary(Binary, u8, u8),
    /// The second operand where the first is not 0, else the third.
    Select(u8, u8, u8),
}

/// A function of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// -x.
    Neg,
    /// |x|.
    Abs,
    /// Square root.
    Sqrt,
    /// e^x.
    Exp,
    /// Natural logarithm.
    Log,
    /// Hyperbolic tangent.
    Tanh,
    /// 1 / (1 + e^-x).
    Sigmoid,
    /// Error function.
    Erf,
    /// -1, 0 or 1.
    Sign,
    /// ln(1 + e^x), without overflow.
    Softplus,
    /// x Φ(x), where Φ is the cumulative distribution of the standard normal.
    Gelu,
    /// The derivative of `Gelu`.
    GeluSlope,
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a b.
    Mul,
    /// a / b.
    Div,
    /// a^b; for negative a, b must be whole (else NaN).
    Pow,
    /// The larger: `a > b ? a : b`.
    Max,
    /// The smaller: `a < b ? a : b`.
    Min,
    /// 1 if a > b, else 0.
    Greater,
    /// 1 if a = b, else 0.
    Equal,
}
