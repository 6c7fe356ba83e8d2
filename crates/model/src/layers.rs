//! From layers that people think in to a graph of ONNX operators.
//!
//! Parameter names, shapes and layouts are PyTorch's for the same module, behind the layer's name:
//!
//! | layer | parameters | starts as |
//! |---|---|---|
//! | `dense` (`Linear`) | `weight [out, in]`, `bias [out]` | U(±1/√in) |
//! | `embedding` (`Embedding`), `position-embedding` | `weight [rows, width]` | N(0, 0.02) |
//! | `conv` (`Conv1d`, `Conv2d`) | `weight [out, in/groups, (kh,) kw]`, `bias [out]` | U(±1/√(in/groups·kh·kw)) |
//! | `conv-transpose` (`ConvTranspose1d`, `2d`) | `weight [in, out/groups, (kh,) kw]`, `bias [out]` | U(±1/√(out/groups·kh·kw)) |
//! | `batch-norm` (`BatchNorm`) | `weight`, `bias`, `running_mean`, `running_var`, all `[channels]` | 1, 0, 0, 1 |
//! | `layer-norm`, `group-norm` | `weight`, `bias` | 1, 0 |
//! | `rms-norm` (`RMSNorm`) | `weight` | 1 |
//! | `gru` (`GRU`, gates r, z, n) | `weight_ih_l0 [3h, in]`, `weight_hh_l0 [3h, h]`, `bias_ih_l0`, `bias_hh_l0` | U(±1/√h) |
//! | `lstm` (`LSTM`, gates i, f, g, o) | the same with 4h | U(±1/√h) |
//! | `attention` (`MultiheadAttention`) | `in_proj_weight [3w, w]`, `in_proj_bias [3w]`, `out_proj.weight [w, w]`, `out_proj.bias [w]` | U(±√(6/4w)), 0, U(±1/√w), 0 |
//! | `transformer-block` (`TransformerEncoderLayer`, `norm_first`) | `self_attn.` as attention, `linear1.`, `linear2.` as dense, `norm1.`, `norm2.` as layer-norm | as these |
//! | `conv-block` | `conv.` as conv, `norm.` as batch-norm | as these |
//! | `residual-block` (ResNet's `BasicBlock`) | `conv1.weight`, `bn1.`, `conv2.weight`, `bn2.`, `downsample.0.weight`, `downsample.1.` | as these |
//! | `residual` | the inner layers' names behind its own; the shortcut's behind `NAME.shortcut` | as these |
//!
//! All files of parameters are of type F32. Whoever compares with PyTorch has to mind:
//!
//! - `softmax-cross-entropy` takes the classes on the last axis: where PyTorch gives `CrossEntropyLoss` an output of
//!   `[classes, height, width]`, a `transpose` with `axes = [1, 2, 0]` comes before it. The labels' shape is the same.
//! - `average-pool` is `AvgPool2d(count_include_pad=False)`, and a pool's padding may be anything below its kernel; `"same"`
//!   with a stride is ONNX's `SAME_UPPER`.
//! - `batch-norm` over one value for each channel gives its bias, where PyTorch refuses.
//! - `layer-norm` and `rms-norm` are over the last axis alone; `rms-norm` is `RMSNorm(width, eps=1e-5)`, where PyTorch adds
//!   1e-7 unless told. `gelu` is exact, `leaky-relu` has the slope 0.01.
//! - A `GRU` or `LSTM` of two layers is two layers here, the first with `sequence = true`: PyTorch's `weight_ih_l1` is the
//!   second one's `weight_ih_l0`. Without `sequence` the last state comes out, `output[:, -1]`.
//! - `position-embedding` is `x + Embedding.weight`. A transformer block's activation is `gelu` unless given; `causal` is
//!   the mask of `Transformer.generate_square_subsequent_mask`.
//! - `binary-cross-entropy` is `BCEWithLogitsLoss`; all losses are means over the batch. If nothing in a batch counts, the
//!   loss is 0, where PyTorch has none.
//! - The middle third of attention's `in_proj_bias`, the keys' bias, changes no output, so that its gradient is nothing but
//!   rounding, in PyTorch, too. Adam enlarges it: compare that third by what it does, not by its numbers. The same goes for
//!   a bias that the next layer's normalisation takes away.

use crate::ModelError;
use crate::graph::{Graph, Init, Value};
use crate::op::{ConvAttributes, Op};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use lichen_campaign::model_spec::{
    Activation, Extent, LayerSpec, Loss, ModelSpec, Padding, PaddingRule, Reduction,
};

mod loss;
mod windows;

use windows::ConvFields;

/// The graph of a model for `batch` samples, loss included.
///
/// # Errors
/// [`ModelError::Spec`] for what [`ModelSpec::validate`] finds, [`ModelError::Shape`] for the first layer that
/// does not fit, [`ModelError::Loss`] if the output does not go with the loss.
pub fn build(spec: &ModelSpec, batch: usize) -> Result<Graph, ModelError> {
    if let Err(faults) = spec.validate() {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        return Err(ModelError::Spec(faults.join("; ")));
    }
    let mut input = vec![batch];
    input.extend(&spec.input);
    let mut builder = Builder { graph: Graph::new(&input, &[]) };
    let x = builder.graph.input();
    let output = builder.layers("", &spec.layers, x).map_err(|error| *error)?;
    builder.finish(spec, output).map_err(|error| *error)
}

/// What building gives. Errors are handed up through many functions: as pointers they take little code.
type Built<T> = Result<T, Box<ModelError>>;

struct Builder {
    graph: Graph,
}

impl Builder {
    fn layers(&mut self, prefix: &str, layers: &[LayerSpec], x: Value) -> Built<Value> {
        let mut x = x;
        for (position, layer) in layers.iter().enumerate() {
            let name = layer.full_name(prefix, position);
            self.graph.enter_layer(&name);
            x = self.layer(&name, layer, x)?;
        }
        Ok(x)
    }

    /// The sample's shape.
    fn sample(&self, x: Value) -> &[usize] {
        self.graph.shape(x).get(1..).unwrap_or_default()
    }

    fn mismatch<T>(&self, expected: &str, x: Value) -> Built<T> {
        let layer = self.graph.layer.clone();
        Err(Box::new(ModelError::Shape { layer, expected: expected.into(), found: self.sample(x).to_vec() }))
    }

    #[expect(clippy::too_many_lines, reason = "one arm per kind of layer")]
    #[expect(clippy::cast_possible_truncation, reason = "tensors are single precision")]
    fn layer(&mut self, name: &str, layer: &LayerSpec, x: Value) -> Built<Value> {
        match layer {
            LayerSpec::Dense { units, activation, bias, .. } => {
                let y = self.dense(name, *units, *bias, x)?;
                self.activate(*activation, y)
            }
            LayerSpec::Embedding { vocabulary, width, .. } => {
                if !self.graph.is_rearranged_input(x) {
                    return self.mismatch("the input's whole numbers (put it first)", x);
                }
                // Of several tables each has to have a row for every number.
                let known = &mut self.graph.vocabulary;
                *known = if *known == 0 { *vocabulary } else { *vocabulary.min(known) };
                let init = Init::Normal { deviation: 0.02 };
                let table = self.parameter(name, "weight", &[*vocabulary, *width], init)?;
                self.graph.add(Op::Gather, &[table, x])
            }
            LayerSpec::PositionEmbedding { .. } => {
                let shape = self.sample(x).to_vec();
                if shape.len() != 2 {
                    return self.mismatch("[tokens, width]", x);
                }
                let table = self.parameter(name, "weight", &shape, Init::Normal { deviation: 0.02 })?;
                self.graph.add(Op::Add, &[x, table])
            }
            LayerSpec::Conv {
                filters, kernel, stride, padding, dilation, groups, activation, bias, ..
            } => {
                let fields = ConvFields {
                    filters: *filters,
                    kernel,
                    stride,
                    padding,
                    dilation,
                    groups: *groups,
                    bias: *bias,
                };
                let y = self.conv(name, &fields, x)?;
                self.activate(*activation, y)
            }
            LayerSpec::ConvTranspose {
                filters,
                kernel,
                stride,
                padding,
                output_padding,
                dilation,
                groups,
                activation,
                bias,
                ..
            } => {
                let border = Padding::Zeros(padding.clone());
                let mut attributes = self.window(kernel, stride, &border, dilation, *groups, x)?;
                attributes.output_padding = self.spatial(output_padding, x, 0)?;
                if attributes.is_beyond_stride() {
                    return self.mismatch("an output_padding below its stride or its dilation", x);
                }
                let channels = self.sample(x).first().copied().unwrap_or(1);
                let (op, sides) = (Op::ConvTranspose(attributes), [channels, *filters]);
                let y = self.convolution(name, op, attributes, sides, *filters, *bias, x)?;
                self.activate(*activation, y)
            }
            LayerSpec::MaxPool { kernel, stride, padding, .. } => {
                let attributes = self.pool(kernel, stride.as_ref(), padding, x)?;
                self.graph.add(Op::MaxPool(attributes), &[x])
            }
            LayerSpec::AveragePool { kernel, stride, padding, .. } => {
                let attributes = self.pool(kernel, stride.as_ref(), padding, x)?;
                self.graph.add(Op::AveragePool(attributes), &[x])
            }
            LayerSpec::GlobalAveragePool { .. } => {
                let pooled = self.graph.add(Op::GlobalAveragePool, &[x])?;
                let shape = self.graph.shape(pooled).get(..2).unwrap_or_default().to_vec();
                self.graph.add(Op::Reshape { shape }, &[pooled])
            }
            LayerSpec::BatchNorm { epsilon, momentum, .. } => self.batch_norm(name, *epsilon, *momentum, x),
            LayerSpec::LayerNorm { epsilon, .. } => self.layer_norm(name, *epsilon, x),
            LayerSpec::RmsNorm { epsilon, .. } => {
                let scale = self.parameter(name, "weight", &[self.width(x)], Init::Constant(1.0))?;
                self.graph.add(Op::RmsNormalization { epsilon: *epsilon as f32 }, &[x, scale])
            }
            LayerSpec::GroupNorm { groups, epsilon, .. } => {
                let channels = self.sample(x).first().copied().unwrap_or(1);
                let scale = self.parameter(name, "weight", &[channels], Init::Constant(1.0))?;
                let bias = self.parameter(name, "bias", &[channels], Init::Constant(0.0))?;
                let op = Op::GroupNormalization { groups: *groups, epsilon: *epsilon as f32 };
                self.graph.add(op, &[x, scale, bias])
            }
            LayerSpec::Activation { function, .. } => self.activate(*function, x),
            LayerSpec::Dropout { rate, .. } => self.dropout(*rate, x),
            LayerSpec::Flatten { .. } => {
                let shape = vec![self.graph.batch, self.sample(x).iter().product()];
                self.graph.add(Op::Reshape { shape }, &[x])
            }
            LayerSpec::Reshape { shape, .. } => {
                let mut full = vec![self.graph.batch];
                full.extend(shape);
                self.graph.add(Op::Reshape { shape: full }, &[x])
            }
            LayerSpec::Transpose { axes, .. } => {
                let perm = core::iter::once(0).chain(axes.iter().map(|axis| axis + 1)).collect();
                self.graph.add(Op::Transpose { perm }, &[x])
            }
            LayerSpec::Reduce { axis, how, .. } => {
                if *axis >= self.sample(x).len() {
                    return self.mismatch(&format!("samples that have an axis {axis} (the first is 0)"), x);
                }
                let axes = vec![axis + 1];
                let op = match how {
                    Reduction::Sum => Op::ReduceSum { axes, keep: false },
                    Reduction::Mean => Op::ReduceMean { axes, keep: false },
                    Reduction::Max => Op::ReduceMax { axes, keep: false },
                };
                self.graph.add(op, &[x])
            }
            LayerSpec::Residual { layers, shortcut, activation, .. } => {
                let branch = self.layers(name, layers, x)?;
                let straight = self.layers(&within(name, "shortcut"), shortcut, x)?;
                self.graph.enter_layer(name);
                if self.graph.shape(branch) != self.graph.shape(straight) {
                    let expected = format!(
                        "layers that give the shortcut's shape {}",
                        crate::error::Shape(self.sample(straight))
                    );
                    return self.mismatch(&expected, branch);
                }
                let sum = self.graph.add(Op::Add, &[branch, straight])?;
                self.activate(*activation, sum)
            }
            LayerSpec::ConvBlock { filters, kernel, stride, padding, norm, activation, pool, .. } => {
                let dilation = &Extent::Every(1);
                let bias = !norm;
                let fields =
                    ConvFields { filters: *filters, kernel, stride, padding, dilation, groups: 1, bias };
                let mut y = self.conv(&within(name, "conv"), &fields, x)?;
                if *norm {
                    y = self.batch_norm(&within(name, "norm"), 1e-5, 0.1, y)?;
                }
                let y = self.activate(*activation, y)?;
                let Some(pool) = pool else { return Ok(y) };
                let attributes = self.pool(pool, None, &Padding::Named(PaddingRule::Valid), y)?;
                self.graph.add(Op::MaxPool(attributes), &[y])
            }
            LayerSpec::ResidualBlock { filters, stride, .. } => {
                self.residual_block(name, *filters, stride, x)
            }
            LayerSpec::Gru { units, sequence, .. } => self.recurrent(name, 3, *units, *sequence, x),
            LayerSpec::Lstm { units, sequence, .. } => self.recurrent(name, 4, *units, *sequence, x),
            LayerSpec::Attention { heads, causal, .. } => self.attention(name, *heads, *causal, x),
            LayerSpec::TransformerBlock { heads, causal, expansion, activation, dropout, .. } => {
                let normed = self.layer_norm(&within(name, "norm1"), 1e-5, x)?;
                let attended = self.attention(&within(name, "self_attn"), *heads, *causal, normed)?;
                let attended = self.dropout(*dropout, attended)?;
                let x = self.graph.add(Op::Add, &[x, attended])?;
                let normed = self.layer_norm(&within(name, "norm2"), 1e-5, x)?;
                let width = self.width(x);
                let hidden = self.dense(&within(name, "linear1"), width * expansion, true, normed)?;
                let hidden = self.activate(*activation, hidden)?;
                let hidden = self.dropout(*dropout, hidden)?;
                let y = self.dense(&within(name, "linear2"), width, true, hidden)?;
                let y = self.dropout(*dropout, y)?;
                self.graph.add(Op::Add, &[x, y])
            }
        }
    }

    fn parameter(&mut self, layer: &str, name: &str, shape: &[usize], init: Init) -> Built<Value> {
        self.graph.add_parameter(within(layer, name), shape, init, true)
    }

    fn width(&self, x: Value) -> usize {
        self.graph.shape(x).last().copied().unwrap_or(1)
    }

    fn activate(&mut self, function: Activation, x: Value) -> Built<Value> {
        let op = match function {
            Activation::None => return Ok(x),
            Activation::Relu => Op::Relu,
            Activation::LeakyRelu => Op::LeakyRelu { alpha: 0.01 },
            Activation::Tanh => Op::Tanh,
            Activation::Sigmoid => Op::Sigmoid,
            Activation::Gelu => Op::Gelu,
        };
        self.graph.add(op, &[x])
    }

    fn dropout(&mut self, rate: f64, x: Value) -> Built<Value> {
        if rate == 0.0 { Ok(x) } else { self.graph.add(Op::Dropout { rate }, &[x]) }
    }

    fn dense(&mut self, name: &str, units: usize, bias: bool, x: Value) -> Built<Value> {
        let shape = self.graph.shape(x).to_vec();
        let Some((&features, rows)) = shape.split_last() else { return self.mismatch("[.., features]", x) };
        if rows.is_empty() {
            return self.mismatch("[.., features]", x);
        }
        let init = fan_in(features);
        let weight = self.parameter(name, "weight", &[units, features], init)?;
        let mut inputs = vec![x, weight];
        if rows.len() > 1 {
            let matrix = vec![rows.iter().product(), features];
            inputs = vec![self.graph.add(Op::Reshape { shape: matrix }, &[x])?, weight];
        }
        if bias {
            inputs.push(self.parameter(name, "bias", &[units], init)?);
        }
        let y = self.graph.add(Op::Gemm { trans_b: true }, &inputs)?;
        if rows.len() == 1 {
            return Ok(y);
        }
        let mut shape = rows.to_vec();
        shape.push(units);
        self.graph.add(Op::Reshape { shape }, &[y])
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are single precision")]
    fn batch_norm(&mut self, name: &str, epsilon: f64, momentum: f64, x: Value) -> Built<Value> {
        let Some(&channels) = self.sample(x).first() else { return self.mismatch("[channels, ..]", x) };
        let scale = self.parameter(name, "weight", &[channels], Init::Constant(1.0))?;
        let bias = self.parameter(name, "bias", &[channels], Init::Constant(0.0))?;
        let running = |graph: &mut Graph, which: &str, start| {
            graph.add_parameter(within(name, which), &[channels], Init::Constant(start), false)
        };
        let mean = running(&mut self.graph, "running_mean", 0.0)?;
        let variance = running(&mut self.graph, "running_var", 1.0)?;
        let op = Op::BatchNormalization { epsilon: epsilon as f32, momentum: momentum as f32 };
        self.graph.add(op, &[x, scale, bias, mean, variance])
    }

    #[expect(clippy::cast_possible_truncation, reason = "tensors are single precision")]
    fn layer_norm(&mut self, name: &str, epsilon: f64, x: Value) -> Built<Value> {
        let width = self.width(x);
        let scale = self.parameter(name, "weight", &[width], Init::Constant(1.0))?;
        let bias = self.parameter(name, "bias", &[width], Init::Constant(0.0))?;
        self.graph.add(Op::LayerNormalization { epsilon: epsilon as f32 }, &[x, scale, bias])
    }

    fn recurrent(
        &mut self,
        name: &str,
        gates: usize,
        hidden: usize,
        sequence: bool,
        x: Value,
    ) -> Built<Value> {
        let sample = self.sample(x);
        let &[steps, features] = sample else { return self.mismatch("[steps, features]", x) };
        let (init, wide) = (fan_in(hidden), gates * hidden);
        let w = self.parameter(name, "weight_ih_l0", &[wide, features], init)?;
        let r = self.parameter(name, "weight_hh_l0", &[wide, hidden], init)?;
        let wb = self.parameter(name, "bias_ih_l0", &[wide], init)?;
        let rb = self.parameter(name, "bias_hh_l0", &[wide], init)?;
        let op = if gates == 3 { Op::Gru { hidden } } else { Op::Lstm { hidden } };
        let states = self.graph.add(op, &[x, w, r, wb, rb])?;
        if sequence {
            return Ok(states);
        }
        let last = Op::Slice { axis: 1, start: steps - 1, step: 1, count: 1 };
        let last = self.graph.add(last, &[states])?;
        self.graph.add(Op::Reshape { shape: vec![self.graph.batch, hidden] }, &[last])
    }

    #[expect(clippy::cast_precision_loss, reason = "widths are capped at 2^24")]
    fn attention(&mut self, name: &str, heads: usize, causal: bool, x: Value) -> Built<Value> {
        let sample = self.sample(x);
        let &[tokens, width] = sample else { return self.mismatch("[tokens, width]", x) };
        if width % heads != 0 {
            return self.mismatch(&format!("[tokens, width] with a width of {heads} equal heads"), x);
        }
        let init = Init::Uniform { bound_squared: 6.0 / (4 * width) as f64 };
        let zero = Init::Constant(0.0);
        let weight = self.parameter(name, "in_proj_weight", &[3 * width, width], init)?;
        let bias = self.parameter(name, "in_proj_bias", &[3 * width], zero)?;
        let rows = self.graph.batch * tokens;
        let flat = self.graph.add(Op::Reshape { shape: vec![rows, width] }, &[x])?;
        let packed = self.graph.add(Op::Gemm { trans_b: true }, &[flat, weight, bias])?;
        let shape = vec![self.graph.batch, tokens, 3 * width];
        let packed = self.graph.add(Op::Reshape { shape }, &[packed])?;
        let mixed = self.graph.add(Op::Attention { heads, causal }, &[packed])?;
        let weight = self.parameter(name, "out_proj.weight", &[width, width], fan_in(width))?;
        let bias = self.parameter(name, "out_proj.bias", &[width], zero)?;
        let flat = self.graph.add(Op::Reshape { shape: vec![rows, width] }, &[mixed])?;
        let y = self.graph.add(Op::Gemm { trans_b: true }, &[flat, weight, bias])?;
        self.graph.add(Op::Reshape { shape: vec![self.graph.batch, tokens, width] }, &[y])
    }

    fn residual_block(&mut self, name: &str, filters: usize, stride: &Extent, x: Value) -> Built<Value> {
        let (three, one) = (&Extent::Every(3), &Extent::Every(1));
        let border = &Padding::Zeros(Extent::Every(1));
        let none = &Padding::Named(PaddingRule::Valid);
        let fields = |kernel, stride, padding| ConvFields {
            filters,
            kernel,
            stride,
            padding,
            dilation: &Extent::Every(1),
            groups: 1,
            bias: false,
        };
        let y = self.conv(&within(name, "conv1"), &fields(three, stride, border), x)?;
        let y = self.batch_norm(&within(name, "bn1"), 1e-5, 0.1, y)?;
        let y = self.graph.add(Op::Relu, &[y])?;
        let y = self.conv(&within(name, "conv2"), &fields(three, one, border), y)?;
        let y = self.batch_norm(&within(name, "bn2"), 1e-5, 0.1, y)?;
        let mut straight = x;
        if self.graph.shape(x) != self.graph.shape(y) {
            straight = self.conv(&within(name, "downsample.0"), &fields(one, stride, none), x)?;
            straight = self.batch_norm(&within(name, "downsample.1"), 1e-5, 0.1, straight)?;
        }
        let sum = self.graph.add(Op::Add, &[y, straight])?;
        self.graph.add(Op::Relu, &[sum])
    }
}

/// The name of what is in a layer.
fn within(layer: &str, name: &str) -> String {
    [layer, ".", name].concat()
}

#[expect(clippy::cast_precision_loss, reason = "extents are capped far below 2^52")]
fn fan_in(inputs: usize) -> Init {
    Init::Uniform { bound_squared: 1.0 / inputs.max(1) as f64 }
}
