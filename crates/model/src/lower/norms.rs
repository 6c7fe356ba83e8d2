//! Normalisations, softmax and its cross entropy.

use super::Lowering;
use super::elementwise::Code;
use crate::graph::Node;
use crate::op::Op;
use crate::program::{
    BatchNormalize, BatchNormalizeBackward, Binary, BufferId, CrossEntropy, Kernel, NormShape, Normalize,
    NormalizeBackward, NormalizeParameters, Reduce, ReduceKind, Softmax, SoftmaxBackward,
};
use alloc::vec;

#[expect(clippy::indexing_slicing, reason = "operands were checked by shape inference")]
impl Lowering<'_> {
    /// Rows and width of a value normalised over its last axis.
    fn rows(&self, node: &Node) -> (usize, usize) {
        let shape = self.shape_of(node, 0);
        let width = shape.last().copied().unwrap_or(1);
        (shape.iter().product::<usize>() / width.max(1), width)
    }

    fn norm_shape(&self, node: &Node) -> NormShape {
        let (rows, width) = self.rows(node);
        let Op::GroupNormalization { groups, .. } = node.op else {
            return NormShape { rows, width, groups: 1, inner: 1 };
        };
        let [samples, channels, inner] = self.planes(node.output);
        NormShape { rows: samples * groups, width: channels / groups * inner, groups, inner }
    }

    pub(super) fn norm(&mut self, index: usize, node: &Node) {
        let shape = self.norm_shape(node);
        let (rms, epsilon) = match node.op {
            Op::RmsNormalization { epsilon } => (true, epsilon),
            Op::LayerNormalization { epsilon } | Op::GroupNormalization { epsilon, .. } => (false, epsilon),
            _ => return,
        };
        let input = self.input(node, 0);
        let scale = Some(self.input(node, 1));
        let bias = self.bias(node);
        let output = self.define(node.output);
        let moments = self.scratch(&[shape.rows, 2]);
        self.save(index, moments);
        self.kernels.push(Kernel::Normalize(Normalize {
            shape,
            rms,
            epsilon,
            input,
            scale,
            bias,
            output,
            moments,
        }));
    }

    pub(super) fn norm_backward(&mut self, index: usize, node: &Node, gradient: BufferId) {
        let shape = self.norm_shape(node);
        let rms = matches!(node.op, Op::RmsNormalization { .. });
        let moments = self.saved_by(index);
        let (input, scale) = (self.input(node, 0), self.input(node, 1));
        let bias = node.inputs.get(2).copied();
        if self.wants(node, 1) || bias.is_some_and(|bias| self.wanted(bias)) {
            let extents = self.shape_of(node, 1);
            let by_scale = self.scratch(extents);
            let by_bias = bias.map(|_| self.scratch(extents));
            self.kernels.push(Kernel::NormalizeParameters(NormalizeParameters {
                shape,
                input,
                moments,
                gradient,
                scale: by_scale,
                bias: by_bias,
            }));
            self.give(node, 1, by_scale);
            if let (Some(bias), Some(by_bias)) = (bias, by_bias) {
                self.add_gradient(bias, by_bias);
            }
        }
        if self.wants(node, 0) {
            let result = self.like(node, 0);
            let scale = Some(scale);
            let kernel = NormalizeBackward { shape, rms, input, scale, moments, gradient, result };
            self.kernels.push(Kernel::NormalizeBackward(kernel));
            self.give(node, 0, result);
        }
    }

    pub(super) fn batch_norm(&mut self, index: usize, node: &Node, epsilon: f32, momentum: f32) {
        let [outer, channels, inner] = self.planes(node.output);
        let [input, scale, bias, running_mean, running_variance] =
            core::array::from_fn(|operand| self.input(node, operand));
        let output = self.define(node.output);
        let moments = self.scratch(&[channels, 2]);
        self.save(index, moments);
        self.kernels.push(Kernel::BatchNormalize(BatchNormalize {
            outer,
            channels,
            inner,
            training: self.training,
            momentum,
            epsilon,
            input,
            scale,
            bias,
            running_mean,
            running_variance,
            output,
            moments,
        }));
    }

    pub(super) fn batch_norm_backward(&mut self, index: usize, node: &Node, gradient: BufferId) {
        let [outer, channels, inner] = self.planes(node.output);
        let (input, scale) = (self.input(node, 0), self.input(node, 1));
        let result = self.wants(node, 0).then(|| self.like(node, 0));
        let (by_scale, by_bias) = (self.scratch(&[channels]), self.scratch(&[channels]));
        self.kernels.push(Kernel::BatchNormalizeBackward(BatchNormalizeBackward {
            outer,
            channels,
            inner,
            input,
            scale,
            moments: self.saved_by(index),
            gradient,
            result,
            scale_gradient: by_scale,
            bias_gradient: by_bias,
        }));
        if let Some(result) = result {
            self.give(node, 0, result);
        }
        self.give(node, 1, by_scale);
        self.give(node, 2, by_bias);
    }

    pub(super) fn softmax(&mut self, node: &Node) {
        let (rows, width) = self.rows(node);
        let input = self.input(node, 0);
        let output = self.define(node.output);
        let log = matches!(node.op, Op::LogSoftmax);
        self.kernels.push(Kernel::Softmax(Softmax { rows, width, log, causal: 0, input, output }));
    }

    pub(super) fn softmax_backward(&mut self, node: &Node, gradient: BufferId) {
        let (rows, width) = self.rows(node);
        let output = self.place(node.output);
        let result = self.scratch(self.shape(node.output));
        let log = matches!(node.op, Op::LogSoftmax);
        let kernel = SoftmaxBackward { rows, width, log, causal: 0, output, gradient, result };
        self.kernels.push(Kernel::SoftmaxBackward(kernel));
        self.give(node, 0, result);
    }

    pub(super) fn cross_entropy(&mut self, index: usize, node: &Node) {
        let (rows, classes) = self.rows(node);
        let (logits, labels) = (self.input(node, 0), self.input(node, 1));
        let losses = self.scratch(&[rows]);
        let needed = self.training && self.wants(node, 0);
        let gradient = needed.then(|| self.scratch(&[rows, classes]));
        self.kernels.push(Kernel::CrossEntropy(CrossEntropy {
            rows,
            classes,
            logits,
            labels,
            losses,
            gradient,
        }));
        self.saved[index] = gradient;
        let output = self.define(node.output);
        self.kernels.push(Kernel::Reduce(Reduce {
            kind: ReduceKind::Sum,
            outer: 1,
            length: rows,
            inner: 1,
            scale: 1.0,
            loss_scaled: true,
            input: losses,
            output,
        }));
    }

    /// The gradient is there already; it was made beside the loss.
    pub(super) fn cross_entropy_backward(&mut self, index: usize, node: &Node) {
        if let Some(gradient) = self.saved[index] {
            self.give(node, 0, gradient);
        }
    }

    pub(super) fn global_average_pool(&mut self, node: &Node) {
        let [samples, channels, positions] = self.planes(node.inputs[0]);
        let input = self.input(node, 0);
        let output = self.define(node.output);
        self.kernels.push(Kernel::Reduce(Reduce {
            kind: ReduceKind::Sum,
            outer: samples * channels,
            length: positions,
            inner: 1,
            scale: share(positions),
            loss_scaled: false,
            input,
            output,
        }));
    }

    pub(super) fn global_average_pool_backward(&mut self, node: &Node, gradient: BufferId) {
        let [samples, channels, positions] = self.planes(node.inputs[0]);
        let mut code = Code::new(&[samples * channels, positions]);
        let g = code.load(gradient, vec![1, 0]);
        let factor = code.constant(share(positions));
        code.binary(Binary::Mul, g, factor);
        let result = self.like(node, 0);
        self.push_map(code.into_map(result));
        self.give(node, 0, result);
    }
}

#[expect(clippy::cast_precision_loss, reason = "rounding to single precision is meant")]
fn share(count: usize) -> f32 {
    1.0 / count.max(1) as f32
}
