//! The typed graph: values with static shapes, made by ONNX operators.
//!
//! Names and semantics follow ONNX opset 21 (`Attention` and `RMSNormalization`: 23), with these restrictions
//! and differences: shapes are static; recurrent operators take PyTorch's weight layouts and one direction;
//! `Split` is built from `Slice`; reductions and softmax take axes at build time.

use crate::program::Window;
use crate::{ModelError, shapes};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Most elements of any one value.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// A value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(crate) u32);

impl Value {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f32),
    /// Uniform from −bound to bound.
    Uniform {
        /// The bound's square.
        bound_squared: f64,
    },
    /// About normal (sum of twelve uniforms) with this standard deviation.
    Normal {
        /// The deviation.
        deviation: f32,
    },
}

/// A parameter of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterInfo {
    /// Its name, `LAYER.weight` and the like.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Whether training changes it by its gradient.
    pub trained: bool,
    /// The value.
    pub value: Value,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    Input,
    Target,
    Parameter,
    Constant(f32),
    Node(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueInfo {
    pub(crate) shape: Vec<usize>,
    pub(crate) source: Source,
}

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
        /// Whether they stay with extent 1.
        keep: bool,
    },
    /// Largest over axes; the gradient goes to all that are as large, in equal shares.
    ReduceMax {
        /// The axes, in order.
        axes: Vec<usize>,
        /// Whether they stay with extent 1.
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
        /// Whether a token sees only itself and earlier ones.
        causal: bool,
    },
    /// Mean cross entropy: inputs logits `[.., classes]`, labels `[..]`.
    SoftmaxCrossEntropyLoss,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Value>,
    pub(crate) output: Value,
}

/// A graph under construction or finished; every value's shape is known and checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) parameters: Vec<ParameterInfo>,
    pub(crate) input: Value,
    pub(crate) target: Value,
    pub(crate) output: Value,
    pub(crate) loss: Value,
    pub(crate) batch: usize,
    pub(crate) vocabulary: usize,
    pub(crate) classes: usize,
    pub(crate) ignore_label: Option<u32>,
    pub(crate) layer: String,
    limit: usize,
    total: usize,
}

impl Graph {
    /// A graph with an input and a target of these shapes (the batch first).
    #[must_use]
    pub fn new(input: &[usize], target: &[usize]) -> Self {
        let values = vec![
            ValueInfo { shape: input.to_vec(), source: Source::Input },
            ValueInfo { shape: target.to_vec(), source: Source::Target },
        ];
        Self {
            values,
            nodes: Vec::new(),
            parameters: Vec::new(),
            input: Value(0),
            target: Value(1),
            output: Value(0),
            loss: Value(0),
            batch: input.first().copied().unwrap_or(1),
            vocabulary: 0,
            classes: 0,
            ignore_label: None,
            layer: String::new(),
            limit: MAX_ELEMENTS,
            total: 0,
        }
    }

    /// The batch's inputs.
    #[must_use]
    pub fn input(&self) -> Value {
        self.input
    }

    /// The batch's targets.
    #[must_use]
    pub fn target(&self) -> Value {
        self.target
    }

    /// Extents of a value, the batch first.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "values are made only by the graph that holds them")]
    pub fn shape(&self, value: Value) -> &[usize] {
        &self.values[value.index()].shape
    }

    /// The parameters in the order in which they were made.
    #[must_use]
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.parameters
    }

    /// Whether a value holds the input's numbers as they are, perhaps in another order or shape.
    #[expect(
        clippy::indexing_slicing,
        reason = "values and nodes are made only by the graph that holds them"
    )]
    pub(crate) fn is_rearranged_input(&self, value: Value) -> bool {
        match self.values[value.index()].source {
            Source::Input => true,
            Source::Node(node) => {
                let Node { op, inputs, .. } = &self.nodes[node];
                matches!(op, Op::Reshape { .. } | Op::Transpose { .. }) && self.is_rearranged_input(inputs[0])
            }
            _ => false,
        }
    }

    /// Names the layer for the errors of what is built next.
    pub fn enter_layer(&mut self, name: &str) {
        self.layer.clear();
        self.layer.push_str(name);
    }

    /// Declares which values are the model's output and its loss.
    pub fn finish(&mut self, output: Value, loss: Value) {
        self.output = output;
        self.loss = loss;
    }

    /// A number, broadcast wherever it is used.
    pub fn constant(&mut self, value: f32) -> Value {
        self.push(Vec::new(), Source::Constant(value))
    }

    /// A new parameter.
    ///
    /// # Errors
    /// [`ModelError::DuplicateName`] and [`ModelError::TooLarge`].
    pub fn parameter(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
        trained: bool,
    ) -> Result<Value, ModelError> {
        self.add_parameter(name, shape, init, trained).map_err(|error| *error)
    }

    /// [`Graph::parameter`] with an error that is cheap to hand on.
    pub(crate) fn add_parameter(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
        trained: bool,
    ) -> Result<Value, Box<ModelError>> {
        if self.parameters.iter().any(|parameter| parameter.name == name) {
            return Err(Box::new(ModelError::DuplicateName { name }));
        }
        self.account(shape)?;
        let value = self.push(shape.to_vec(), Source::Parameter);
        self.parameters.push(ParameterInfo { name, shape: shape.to_vec(), init, trained, value });
        Ok(value)
    }

    /// Applies an operator.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if the inputs do not fit, [`ModelError::TooLarge`] if the output is too large.
    pub fn apply(&mut self, op: Op, inputs: &[Value]) -> Result<Value, ModelError> {
        self.add(op, inputs).map_err(|error| *error)
    }

    /// [`Graph::apply`] with an error that is cheap to hand on.
    pub(crate) fn add(&mut self, op: Op, inputs: &[Value]) -> Result<Value, Box<ModelError>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|&input| self.shape(input)).collect();
        let shape = match shapes::infer(&op, &shapes) {
            Ok(shape) => shape,
            Err(expected) => {
                let found = shapes.first().and_then(|shape| shape.get(1..)).unwrap_or_default().to_vec();
                return Err(Box::new(ModelError::Shape { layer: self.layer.clone(), expected, found }));
            }
        };
        self.account(&shape)?;
        if let (Op::Attention { heads, .. }, &[batch, tokens, _]) = (&op, shape.as_slice()) {
            self.account(&[batch, *heads, tokens, tokens])?;
        }
        let output = self.push(shape, Source::Node(self.nodes.len()));
        self.nodes.push(Node { op, inputs: inputs.to_vec(), output });
        Ok(output)
    }

    pub(crate) fn set_target(&mut self, shape: Vec<usize>) {
        let target = self.target.index();
        if let Some(info) = self.values.get_mut(target) {
            info.shape = shape;
        }
    }

    fn account(&mut self, shape: &[usize]) -> Result<(), Box<ModelError>> {
        let elements = shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
        let total = elements.and_then(|elements| self.total.checked_add(elements));
        let fits = total.filter(|&total| total <= self.limit);
        let too_large = || Box::new(ModelError::TooLarge { layer: self.layer.clone(), limit: self.limit });
        self.total = fits.ok_or_else(too_large)?;
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "layers and their operators are capped far below 2^32"
    )]
    fn push(&mut self, shape: Vec<usize>, source: Source) -> Value {
        self.values.push(ValueInfo { shape, source });
        Value(self.values.len() as u32 - 1)
    }
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
