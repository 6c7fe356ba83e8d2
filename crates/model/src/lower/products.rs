//! Matrix products, convolutions, pools and attention.

use super::Lowering;
use super::elementwise::broadcast_strides;
use crate::graph::{Node, Value};
use crate::op::{ConvAttributes, Op};
use crate::program::{
    BufferId, Convolution, Copy, Direction, Epilogue, Gemm, Kernel, Matrix, Pool, PoolBackward, PoolKind,
    Softmax, SoftmaxBackward, Window,
};
use alloc::vec::Vec;

/// A single stored matrix with rows of `row_stride` elements.
fn matrix(buffer: BufferId, row_stride: usize) -> Matrix {
    Matrix { buffer, offset: 0, row_stride, batch_strides: [0, 0], transposed: false }
}

impl Matrix {
    fn transpose(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn batched(self, batch_strides: [usize; 2]) -> Self {
        Self { batch_strides, ..self }
    }

    fn at(self, offset: usize) -> Self {
        Self { offset, ..self }
    }
}

#[expect(clippy::many_single_char_names, reason = "the field's names for matrices and their extents")]
#[expect(clippy::indexing_slicing, reason = "operands were checked by shape inference")]
impl Lowering<'_> {
    /// `c = a b` with a m×k and b k×n.
    pub(super) fn product(&mut self, a: Matrix, b: Matrix, c: Matrix, [m, n, k]: [usize; 3]) -> &mut Gemm {
        self.kernels.push(Kernel::Gemm(Gemm {
            a,
            b,
            c,
            m,
            n,
            k,
            batch: [1, 1],
            alpha: 1.0,
            bias: None,
            activation: Epilogue::None,
            accumulate: false,
        }));
        match self.kernels.last_mut() {
            Some(Kernel::Gemm(gemm)) => gemm,
            _ => unreachable!("the product has just been pushed"),
        }
    }

    pub(super) fn gemm(&mut self, node: &Node, trans_b: bool) {
        let (m, n, k) = self.gemm_extents(node);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        let bias = self.bias(node);
        let y = self.define(node.output);
        let b = if trans_b { matrix(w, k).transpose() } else { matrix(w, n) };
        self.product(matrix(x, k), b, matrix(y, n), [m, n, k]).bias = bias;
    }

    fn gemm_extents(&self, node: &Node) -> (usize, usize, usize) {
        let (x, y) = (self.shape_of(node, 0), self.shape(node.output));
        (y[0], y[1], x[1])
    }

    pub(super) fn gemm_backward(&mut self, node: &Node, trans_b: bool, gradient: BufferId) {
        let (m, n, k) = self.gemm_extents(node);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        let g = matrix(gradient, n);
        if self.wants(node, 1) {
            let result = self.like(node, 1);
            if trans_b {
                self.product(g.transpose(), matrix(x, k), matrix(result, k), [n, k, m]);
            } else {
                self.product(matrix(x, k).transpose(), g, matrix(result, n), [k, n, m]);
            }
            self.give(node, 1, result);
        }
        if let Some(&bias) = node.inputs.get(2).filter(|&&bias| self.wanted(bias)) {
            let result = self.sum(gradient, 1, m, n, &[n]);
            self.add_gradient(bias, result);
        }
        if self.wants(node, 0) {
            let result = self.scratch(&[m, k]);
            let b = if trans_b { matrix(w, k) } else { matrix(w, n).transpose() };
            self.product(g, b, matrix(result, k), [m, k, n]);
            self.give(node, 0, result);
        }
    }

    pub(super) fn matmul(&mut self, node: &Node) {
        let (a, b) = (self.input(node, 0), self.input(node, 1));
        let shape = self.matmul_shape(node);
        let (a, b) =
            (self.expanded(a, node.inputs[0], &shape.batch), self.expanded(b, node.inputs[1], &shape.batch));
        let c = self.define(node.output);
        let [m, n, k] = shape.extents;
        let strides = |size: usize| [0, size];
        let (a, b) = (matrix(a, k).batched(strides(m * k)), matrix(b, n).batched(strides(k * n)));
        let c = matrix(c, n).batched(strides(m * n));
        self.product(a, b, c, shape.extents).batch = [1, shape.count];
    }

    pub(super) fn matmul_backward(&mut self, node: &Node, gradient: BufferId) {
        let shape = self.matmul_shape(node);
        let [m, n, k] = shape.extents;
        let (a, b) = (self.input(node, 0), self.input(node, 1));
        let strides = |size: usize| [0, size];
        let g = matrix(gradient, n).batched(strides(m * n));
        for which in 0..2 {
            let value = node.inputs[which];
            if !self.wanted(value) {
                continue;
            }
            let mut full = shape.batch.clone();
            let result;
            if which == 0 {
                let b = self.expanded(b, node.inputs[1], &shape.batch);
                full.extend([m, k]);
                result = self.scratch(&full);
                let b = matrix(b, n).batched(strides(k * n)).transpose();
                let c = matrix(result, k).batched(strides(m * k));
                self.product(g, b, c, [m, k, n]).batch = [1, shape.count];
            } else {
                let a = self.expanded(a, node.inputs[0], &shape.batch);
                full.extend([k, n]);
                result = self.scratch(&full);
                let a = matrix(a, k).batched(strides(m * k)).transpose();
                let c = matrix(result, n).batched(strides(k * n));
                self.product(a, g, c, [k, n, m]).batch = [1, shape.count];
            }
            let reduced = self.reduce_to(result, &full, self.shape(value));
            self.add_gradient(value, reduced);
        }
    }

    fn matmul_shape(&self, node: &Node) -> MatMulShape {
        let (a, y) = (self.shape_of(node, 0), self.shape(node.output));
        let (batch, last) = y.split_at(y.len() - 2);
        let extents = [last[0], last[1], a[a.len() - 1]];
        MatMulShape { batch: batch.to_vec(), count: batch.iter().product(), extents }
    }

    /// A matrix operand repeated along the batch axes that it lacks.
    fn expanded(&mut self, buffer: BufferId, value: Value, batch: &[usize]) -> BufferId {
        let shape = self.shape(value);
        let (own, last) = shape.split_at(shape.len() - 2);
        if own == batch || batch.iter().product::<usize>() == own.iter().product::<usize>() {
            return buffer;
        }
        let mut full = batch.to_vec();
        full.extend(last);
        let output = self.scratch(&full);
        let strides = |strides: Vec<usize>| strides.into_iter().map(usize::cast_signed).collect();
        self.kernels.push(Kernel::Copy(Copy {
            input: buffer,
            input_offset: 0,
            input_strides: strides(broadcast_strides(shape, &full)),
            output,
            output_offset: 0,
            output_strides: strides(super::elementwise::contiguous(&full)),
            accumulate: false,
            shape: full,
        }));
        output
    }

    fn convolve(
        &mut self,
        direction: Direction,
        window: Window,
        [x, w, y]: [BufferId; 3],
        bias: Option<BufferId>,
    ) {
        let activation = Epilogue::None;
        self.kernels.push(Kernel::Convolution(Convolution { direction, window, x, w, y, bias, activation }));
    }

    /// The window of a convolution node; shape inference has checked that there is one.
    fn conv_window(&self, node: &Node, attributes: &ConvAttributes) -> Window {
        let (x, y) = (self.shape_of(node, 0), self.shape(node.output));
        let window = if matches!(node.op, Op::ConvTranspose(_)) {
            attributes.transposed_window(x, y[1])
        } else {
            attributes.window(x, y[1])
        };
        window.unwrap_or_else(|| unreachable!("shape inference lets only windows through that fit"))
    }

    pub(super) fn conv(&mut self, node: &Node, attributes: &ConvAttributes) {
        let window = self.conv_window(node, attributes);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        let bias = self.bias(node);
        let y = self.define(node.output);
        self.convolve(Direction::Forward, window, [x, w, y], bias);
    }

    pub(super) fn conv_backward(&mut self, node: &Node, attributes: &ConvAttributes, gradient: BufferId) {
        let window = self.conv_window(node, attributes);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        self.channel_bias_backward(node, gradient);
        if self.wants(node, 1) {
            let result = self.like(node, 1);
            self.convolve(Direction::Weight, window, [x, result, gradient], None);
            self.give(node, 1, result);
        }
        if self.wants(node, 0) {
            let result = self.like(node, 0);
            self.convolve(Direction::Input, window, [result, w, gradient], None);
            self.give(node, 0, result);
        }
    }

    pub(super) fn conv_transpose(&mut self, node: &Node, attributes: &ConvAttributes) {
        let window = self.conv_window(node, attributes);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        let bias = self.bias(node);
        let y = self.define(node.output);
        self.convolve(Direction::Input, window, [y, w, x], bias);
    }

    pub(super) fn conv_transpose_backward(
        &mut self,
        node: &Node,
        attributes: &ConvAttributes,
        gradient: BufferId,
    ) {
        let window = self.conv_window(node, attributes);
        let (x, w) = (self.input(node, 0), self.input(node, 1));
        self.channel_bias_backward(node, gradient);
        if self.wants(node, 1) {
            let result = self.like(node, 1);
            self.convolve(Direction::Weight, window, [gradient, result, x], None);
            self.give(node, 1, result);
        }
        if self.wants(node, 0) {
            let result = self.like(node, 0);
            self.convolve(Direction::Forward, window, [gradient, w, result], None);
            self.give(node, 0, result);
        }
    }

    /// Sum of `[n, c, positions]` over samples and positions.
    fn channel_bias_backward(&mut self, node: &Node, gradient: BufferId) {
        let Some(&bias) = node.inputs.get(2).filter(|&&bias| self.wanted(bias)) else { return };
        let [batch, channels, positions] = self.planes(node.output);
        let rows = self.sum(gradient, batch * channels, positions, 1, &[batch, channels]);
        let result = self.sum(rows, 1, batch, channels, &[channels]);
        self.add_gradient(bias, result);
    }

    pub(super) fn pool(&mut self, node: &Node, attributes: &ConvAttributes) {
        let window = self.conv_window(node, attributes);
        let input = self.input(node, 0);
        let output = self.define(node.output);
        self.kernels.push(Kernel::Pool(Pool { kind: pool_kind(&node.op), window, input, output }));
    }

    pub(super) fn pool_backward(&mut self, node: &Node, attributes: &ConvAttributes, gradient: BufferId) {
        let window = self.conv_window(node, attributes);
        let kind = pool_kind(&node.op);
        let result = self.like(node, 0);
        // Only a maximum has to look at the values again.
        let (input, output) = match kind {
            PoolKind::Max => (self.input(node, 0), self.place(node.output)),
            _ => (gradient, gradient),
        };
        self.kernels.push(Kernel::PoolBackward(PoolBackward {
            kind,
            window,
            input,
            output,
            gradient,
            result,
        }));
        self.give(node, 0, result);
    }

    /// q, k and v as matrices [tokens, head width] per sample and head, and whether they are packed.
    fn heads(&mut self, node: &Node, heads: usize, [q, k, v]: [BufferId; 3]) -> ([Matrix; 3], HeadShape) {
        let shape = self.shape(node.output);
        let (batch, tokens, width) = (shape[0], shape[1], shape[2]);
        let packed = node.inputs.len() == 1;
        let keys = if packed { tokens } else { self.shape_of(node, 1)[1] };
        let stride = if packed { 3 * width } else { width };
        let head = width / heads;
        let part = |buffer, tokens: usize, offset| {
            matrix(buffer, stride).batched([tokens * stride, head]).at(offset)
        };
        let (second, third) = if packed { (width, 2 * width) } else { (0, 0) };
        let parts = [part(q, tokens, 0), part(k, keys, second), part(v, keys, third)];
        let mixed = [tokens * width, head];
        (parts, HeadShape { batch: [batch, heads], tokens, keys, head, width, mixed, packed })
    }

    pub(super) fn attention(&mut self, index: usize, node: &Node, heads: usize, causal: bool) {
        let places = self.attention_places(node);
        let ([q, k, v], shape) = self.heads(node, heads, places);
        let [batch, _] = shape.batch;
        let full = [batch, heads, shape.tokens, shape.keys];
        let scores = self.scratch(&full);
        let shares = self.scratch(&full);
        let output = self.define(node.output);
        let plane = shape.tokens * shape.keys;
        let table = |buffer| matrix(buffer, shape.keys).batched([heads * plane, plane]);
        let gemm = self.product(q, k.transpose(), table(scores), [shape.tokens, shape.keys, shape.head]);
        gemm.batch = shape.batch;
        gemm.alpha = shape.scale();
        self.kernels.push(Kernel::Softmax(Softmax {
            rows: batch * heads * shape.tokens,
            width: shape.keys,
            log: false,
            causal: if causal { shape.tokens } else { 0 },
            input: scores,
            output: shares,
        }));
        let mixed = matrix(output, shape.width).batched(shape.mixed);
        self.product(table(shares), v, mixed, [shape.tokens, shape.head, shape.keys]).batch = shape.batch;
        self.save(index, shares);
    }

    fn attention_places(&mut self, node: &Node) -> [BufferId; 3] {
        let places: Vec<BufferId> = node.inputs.iter().map(|&input| self.place(input)).collect();
        match places.as_slice() {
            &[q, k, v] => [q, k, v],
            _ => [places[0]; 3],
        }
    }

    pub(super) fn attention_backward(
        &mut self,
        index: usize,
        node: &Node,
        heads: usize,
        causal: bool,
        gradient: BufferId,
    ) {
        let places = self.attention_places(node);
        let ([q, k, v], shape) = self.heads(node, heads, places);
        let shares = self.saved_by(index);
        let results: Vec<BufferId> =
            node.inputs.iter().map(|&input| self.scratch(self.shape(input))).collect();
        let targets = if shape.packed { [results[0]; 3] } else { [results[0], results[1], results[2]] };
        let ([dq, dk, dv], _) = self.heads(node, heads, targets);
        let [batch, _] = shape.batch;
        let full = [batch, heads, shape.tokens, shape.keys];
        let (by_shares, by_scores) = (self.scratch(&full), self.scratch(&full));
        let plane = shape.tokens * shape.keys;
        let table = |buffer| matrix(buffer, shape.keys).batched([heads * plane, plane]);
        let g = matrix(gradient, shape.width).batched(shape.mixed);
        let [t, s, h] = [shape.tokens, shape.keys, shape.head];
        self.product(table(shares).transpose(), g, dv, [s, h, t]).batch = shape.batch;
        self.product(g, v.transpose(), table(by_shares), [t, s, h]).batch = shape.batch;
        self.kernels.push(Kernel::SoftmaxBackward(SoftmaxBackward {
            rows: batch * heads * t,
            width: s,
            log: false,
            causal: if causal { t } else { 0 },
            output: shares,
            gradient: by_shares,
            result: by_scores,
        }));
        let gemm = self.product(table(by_scores), k, dq, [t, h, s]);
        gemm.batch = shape.batch;
        gemm.alpha = shape.scale();
        let gemm = self.product(table(by_scores).transpose(), q, dk, [s, h, t]);
        gemm.batch = shape.batch;
        gemm.alpha = shape.scale();
        for (&input, result) in node.inputs.iter().zip(results) {
            self.add_gradient(input, result);
        }
    }
}

struct MatMulShape {
    batch: Vec<usize>,
    count: usize,
    extents: [usize; 3],
}

struct HeadShape {
    batch: [usize; 2],
    tokens: usize,
    keys: usize,
    head: usize,
    width: usize,
    mixed: [usize; 2],
    packed: bool,
}

impl HeadShape {
    #[expect(clippy::cast_precision_loss, reason = "widths are capped at 2^24")]
    fn scale(&self) -> f32 {
        1.0 / libm::sqrtf(self.head as f32)
    }
}

fn pool_kind(op: &Op) -> PoolKind {
    if matches!(op, Op::MaxPool(_)) { PoolKind::Max } else { PoolKind::Average }
}
