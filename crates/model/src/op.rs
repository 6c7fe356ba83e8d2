//! The operators of a graph, with their attributes.
//!
//! Names and semantics follow ONNX opset 21 (`Attention` and `RMSNormalization`: 23), with these restrictions
//! and differences: shapes are static; recurrent operators take PyTorch's weight layouts and one direction;
//! `Split` is built from `Slice`; reductions and softmax take axes at build time.

use alloc::vec::Vec;

use crate::program::Window;

/// Attributes of a convolution in ONNX's terms; arrays are [height, width], 1D has height 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvAttributes {
    /// Spatial extents of the kernel.
    pub kernel: [usize; 2],
    /// Distance between outputs.
    pub stride: [usize; 2],
    /// Border before the first and behind the last element of both axes.
    pub pads: [[usize; 2]; 2],
    /// Distance between the kernel's elements.
    pub dilation: [usize; 2],
    /// Groups.
    pub groups: usize,
    /// Added to the output's end (`ConvTranspose` only).
    pub output_padding: [usize; 2],
}

/// An ONNX operator with its attributes.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Matrix product with broadcast batch axes: inputs a, b.
    MatMul,
    /// `a bᵀ + c` (or `a b + c`) of matrices: inputs a, b, optional vector c.
    Gemm {
        /// Whether b is stored transposed.
        trans_b: bool,
    },
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a b.
    Mul,
    /// a / b.
    Div,
    /// a^b.
    Pow,
    /// The larger.
    Max,
    /// The smaller.
    Min,
    /// 1 if a > b, else 0; no gradient.
    Greater,
    /// 1 if a = b, else 0; no gradient.
    Equal,
    /// −x.
    Neg,
    /// |x|.
    Abs,
    /// Square root.
    Sqrt,
    /// e^x.
    Exp,
    /// Natural logarithm.
    Log,
    /// Error function.
    Erf,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// ln(1 + e^x).
    Softplus,
    /// max(x, 0).
    Relu,
    /// x where positive, else alpha x.
    LeakyRelu {
        /// Slope for negative numbers.
        alpha: f32,
    },
    /// Gaussian error linear unit with the exact error function.
    Gelu,
    /// Limits from both sides.
    Clip {
        /// Least.
        min: f32,
        /// Largest.
        max: f32,
    },
    /// b where a is not 0, else c: inputs a, b, c.
    Where,
    /// Softmax over the last axis.
    Softmax,
    /// Logarithm of softmax over the last axis.
    LogSoftmax,
    /// Inputs x `[n, c, (h,) w]`, weight, optional bias.
    Conv(ConvAttributes),
    /// Inputs x, weight `[in, out / groups, ..]`, optional bias.
    ConvTranspose(ConvAttributes),
    /// Largest of each window.
    MaxPool(ConvAttributes),
    /// Mean of each window; padding does not count.
    AveragePool(ConvAttributes),
    /// Mean over positions, which stay as extents 1.
    GlobalAveragePool,
    /// Inputs x, scale, bias, running mean, running variance.
    BatchNormalization {
        /// Added to the variance.
        epsilon: f32,
        /// Share of the batch in the running moments (PyTorch's momentum, 1 − ONNX's).
        momentum: f32,
    },
    /// Over the last axis: inputs x, scale, optional bias.
    LayerNormalization {
        /// Added to the variance.
        epsilon: f32,
    },
    /// Over the last axis: inputs x, scale.
    RmsNormalization {
        /// Added to the mean square.
        epsilon: f32,
    },
    /// Groups of channels: inputs x, scale, bias.
    GroupNormalization {
        /// Number of groups.
        groups: usize,
        /// Added to the variance.
        epsilon: f32,
    },
    /// Zero with probability `rate` in training.
    Dropout {
        /// The probability.
        rate: f64,
    },
    /// Another shape of as many elements.
    Reshape {
        /// The shape, with the batch.
        shape: Vec<usize>,
    },
    /// Output axis i is input axis `perm[i]`.
    Transpose {
        /// The permutation.
        perm: Vec<usize>,
    },
    /// Joins along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// Elements `start, start + step, ..` along one axis.
    Slice {
        /// The axis.
        axis: usize,
        /// First element.
        start: usize,
        /// Distance, not 0; negative goes backwards.
        step: isize,
        /// Number of elements.
        count: usize,
    },
    /// Surrounds with a constant.
    Pad {
        /// Elements before, per axis.
        before: Vec<usize>,
        /// Elements behind, per axis.
        after: Vec<usize>,
        /// The constant.
        value: f32,
    },
    /// Rows of a table: inputs table, indices.
    Gather,
    /// Sum over axes.
    ReduceSum {
        /// The axes, in order.
        axes: Vec<usize>,
        /// Whether they stay with extent 1.
        keep: bool,
    },
    /// Mean over axes.
    ReduceMean {
        /// The axes, in order.
        axes: Vec<usize>,
        /// Whether the axes stay, with extent 1.
        keep: bool,
    },
    /// Largest over axes; the gradient goes to all that are as large, in equal shares.
    ReduceMax {
        /// The axes, in order.
        axes: Vec<usize>,
        /// Whether they stay, each with extent 1, or disappear.
        keep: bool,
    },
    /// Inputs x `[n, steps, features]`, w `[3 h, features]`, r `[3 h, h]`, bias of w, bias of r; output
    /// `[n, steps, h]`.
    Gru {
        /// Width of the state.
        hidden: usize,
    },
    /// Inputs as for `Gru` with 4 h.
    Lstm {
        /// Width of the state.
        hidden: usize,
    },
    /// Scaled dot product attention: inputs q, k, v `[n, tokens, width]`, or all three side by side in one
    /// `[n, tokens, 3 width]`.
    Attention {
        /// Number of heads.
        heads: usize,
        /// Whether the scores of later tokens are masked.
        causal: bool,
    },
    /// Mean cross entropy: inputs logits `[.., classes]`, labels `[..]`.
    SoftmaxCrossEntropyLoss,
}

#[expect(clippy::indexing_slicing, reason = "there are two spatial axes in every array")]
impl ConvAttributes {
    /// The geometry of a convolution of x `[n, c, (h,) w]` with `out_channels`, if the window fits.
    #[must_use]
    pub fn window(&self, x: &[usize], out_channels: usize) -> Option<Window> {
        let (batch, in_channels, input) = split_spatial(x)?;
        let mut output = [0; 2];
        for axis in 0..2 {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1;
            let room = (input[axis] + self.pads[axis][0] + self.pads[axis][1]).checked_sub(reach)?;
            output[axis] = room / self.stride[axis] + 1;
        }
        Some(self.with_extents(batch, in_channels, out_channels, input, output))
    }

    /// Whether more is added to the end of a transposed convolution's output than any rounding leaves out.
    pub(crate) fn is_beyond_stride(&self) -> bool {
        (0..2).any(|axis| self.output_padding[axis] >= self.stride[axis].max(self.dilation[axis]))
    }

    /// The geometry of a transposed convolution of x: the window whose input side is the output.
    #[must_use]
    pub fn transposed_window(&self, x: &[usize], out_channels: usize) -> Option<Window> {
        let (batch, in_channels, output) = split_spatial(x)?;
        let mut input = [0; 2];
        for axis in 0..2 {
            let reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1 + self.output_padding[axis];
            let full = output[axis].checked_sub(1)? * self.stride[axis] + reach;
            input[axis] = full.checked_sub(self.pads[axis][0] + self.pads[axis][1]).filter(|&e| e > 0)?;
        }
        Some(self.with_extents(batch, out_channels, in_channels, input, output))
    }

    fn with_extents(
        &self,
        batch: usize,
        in_channels: usize,
        out_channels: usize,
        input: [usize; 2],
        output: [usize; 2],
    ) -> Window {
        Window {
            batch,
            in_channels,
            out_channels,
            input,
            output,
            kernel: self.kernel,
            stride: self.stride,
            padding: [self.pads[0][0], self.pads[1][0]],
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

fn split_spatial(x: &[usize]) -> Option<(usize, usize, [usize; 2])> {
    match *x {
        [batch, channels, width] => Some((batch, channels, [1, width])),
        [batch, channels, height, width] => Some((batch, channels, [height, width])),
        _ => None,
    }
}
