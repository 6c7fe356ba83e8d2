//! Operators that move, choose or reduce elements.

use super::Lowering;
use super::elementwise::{Code, broadcast_strides, contiguous};
use crate::graph::Node;
use crate::op::Op;
use crate::program::{Binary, BufferId, Copy, Dropout, Gather, GatherBackward, Kernel, Reduce, ReduceKind};
use alloc::vec::Vec;

/// A walk through a tensor: first element and strides.
struct Walk {
    offset: usize,
    strides: Vec<isize>,
}

#[expect(clippy::cast_possible_wrap, reason = "tensors are capped at 2^28 elements")]
fn signed(strides: &[usize]) -> Vec<isize> {
    strides.iter().map(|&stride| stride as isize).collect()
}

fn whole(shape: &[usize]) -> Walk {
    Walk { offset: 0, strides: signed(&contiguous(shape)) }
}

#[expect(clippy::indexing_slicing, reason = "axes and operands were checked by shape inference")]
impl Lowering<'_> {
    fn copy(&mut self, shape: &[usize], input: BufferId, from: &Walk, output: BufferId, to: &Walk) {
        let mut kept = Copy {
            shape: Vec::new(),
            input,
            input_offset: from.offset,
            input_strides: Vec::new(),
            output,
            output_offset: to.offset,
            output_strides: Vec::new(),
            accumulate: false,
        };
        for (axis, &extent) in shape.iter().enumerate() {
            if extent == 1 {
                continue;
            }
            let (a, b) = (from.strides[axis], to.strides[axis]);
            let wide = extent.cast_signed();
            let joins = kept.input_strides.last() == Some(&(a * wide))
                && kept.output_strides.last() == Some(&(b * wide));
            if joins && let Some(last) = kept.shape.last_mut() {
                *last *= extent;
                kept.input_strides.pop();
                kept.output_strides.pop();
            } else {
                kept.shape.push(extent);
            }
            kept.input_strides.push(a);
            kept.output_strides.push(b);
        }
        if kept.shape.is_empty() {
            kept.shape.push(1);
            kept.input_strides.push(1);
            kept.output_strides.push(1);
        }
        self.kernels.push(Kernel::Copy(kept));
    }

    pub(super) fn rearrange(&mut self, node: &Node) {
        let shape = self.shape(node.output);
        let inputs: Vec<BufferId> = node.inputs.iter().map(|&input| self.place(input)).collect();
        let output = self.define(node.output);
        if let Op::Pad { value, .. } = node.op {
            self.kernels.push(Kernel::Fill { output, value });
        }
        let mut at = 0;
        for (&value, input) in node.inputs.iter().zip(inputs) {
            let from = self.shape(value);
            let (extents, inner, outer) = walks(&node.op, from, shape, &mut at);
            self.copy(&extents, input, &inner, output, &outer);
        }
    }

    pub(super) fn rearrange_backward(&mut self, node: &Node, gradient: BufferId) {
        let shape = self.shape(node.output);
        let mut at = 0;
        for &value in &node.inputs {
            let from = self.shape(value);
            let (extents, inner, outer) = walks(&node.op, from, shape, &mut at);
            if !self.wanted(value) {
                continue;
            }
            let result = self.scratch(from);
            if matches!(node.op, Op::Slice { .. }) {
                self.kernels.push(Kernel::Fill { output: result, value: 0.0 });
            }
            self.copy(&extents, gradient, &outer, result, &inner);
            self.add_gradient(value, result);
        }
    }

    /// Reduces axes (in order) of a buffer of this shape; `scale` multiplies the result.
    fn reduce_axes(
        &mut self,
        input: BufferId,
        shape: &[usize],
        axes: &[usize],
        kind: ReduceKind,
        scale: f32,
    ) -> BufferId {
        let mut shape = shape.to_vec();
        let mut input = input;
        let mut groups: Vec<(usize, usize)> = Vec::new();
        for &axis in axes {
            match groups.last_mut() {
                Some((_, end)) if *end == axis => *end += 1,
                _ => groups.push((axis, axis + 1)),
            }
        }
        let count = groups.len();
        for (number, (begin, end)) in groups.into_iter().enumerate() {
            let outer = shape[..begin].iter().product();
            let length = shape[begin..end].iter().product();
            let inner = shape[end..].iter().product();
            shape[begin..end].fill(1);
            let output = self.scratch(&shape);
            let scale = if number + 1 == count { scale } else { 1.0 };
            let reduce = Reduce { kind, outer, length, inner, scale, loss_scaled: false, input, output };
            self.kernels.push(Kernel::Reduce(reduce));
            input = output;
        }
        input
    }

    pub(super) fn reduce(&mut self, node: &Node, axes: &[usize], kind: ReduceKind, mean: bool) {
        let shape = self.shape_of(node, 0);
        let input = self.input(node, 0);
        let scale = if mean { mean_scale(shape, axes) } else { 1.0 };
        let mut result = self.reduce_axes(input, shape, axes, kind, scale);
        if result == input {
            // Nothing to reduce; the loss and the output need memory of their own.
            let mut code = Code::new(shape);
            code.load(input, contiguous(shape));
            result = self.scratch(shape);
            self.push_map(code.into_map(result));
        }
        self.put(node.output, result);
    }

    pub(super) fn reduce_backward(&mut self, node: &Node, axes: &[usize], mean: bool, gradient: BufferId) {
        let shape = self.shape_of(node, 0);
        let scale = if mean { mean_scale(shape, axes) } else { 1.0 };
        let mut code = Code::new(shape);
        let g = code.load(gradient, broadcast_strides(&with_ones(shape, axes), shape));
        let factor = code.constant(scale);
        code.binary(Binary::Mul, g, factor);
        let result = self.scratch(shape);
        self.push_map(code.into_map(result));
        self.give(node, 0, result);
    }

    pub(super) fn reduce_max_backward(&mut self, node: &Node, axes: &[usize], gradient: BufferId) {
        let shape = self.shape_of(node, 0);
        let strides = broadcast_strides(&with_ones(shape, axes), shape);
        let (input, largest) = (self.input(node, 0), self.place(node.output));
        let mut code = Code::new(shape);
        let x = code.load(input, contiguous(shape));
        let y = code.load(largest, strides.clone());
        code.binary(Binary::Equal, x, y);
        let hits = self.scratch(shape);
        self.push_map(code.into_map(hits));
        let count = self.reduce_axes(hits, shape, axes, ReduceKind::Sum, 1.0);
        let mut code = Code::new(shape);
        let g = code.load(gradient, strides.clone());
        let n = code.load(count, strides);
        let hit = code.load(hits, contiguous(shape));
        let share = code.binary(Binary::Div, g, n);
        code.binary(Binary::Mul, share, hit);
        let result = self.scratch(shape);
        self.push_map(code.into_map(result));
        self.give(node, 0, result);
    }

    pub(super) fn gather(&mut self, node: &Node) {
        let (table, indices) = (self.input(node, 0), self.input(node, 1));
        let (rows, width) = self.table(node);
        let count = self.elements(indices);
        let output = self.define(node.output);
        self.kernels.push(Kernel::Gather(Gather { count, rows, width, table, indices, output }));
    }

    fn table(&self, node: &Node) -> (usize, usize) {
        let shape = self.shape_of(node, 0);
        (shape[0], shape[1])
    }

    pub(super) fn gather_backward(&mut self, node: &Node, gradient: BufferId) {
        let indices = self.input(node, 1);
        let (rows, width) = self.table(node);
        let count = self.elements(indices);
        let result = self.scratch(&[rows, width]);
        let kernel = GatherBackward { count, rows, width, indices, gradient, result };
        self.kernels.push(Kernel::GatherBackward(kernel));
        self.give(node, 0, result);
    }

    pub(super) fn dropout(&mut self, index: usize, node: &Node, rate: f64) {
        let input = self.input(node, 0);
        if !self.training || rate == 0.0 {
            self.put(node.output, input);
            return;
        }
        self.streams += 1;
        let output = self.define(node.output);
        let stream = BufferId(self.streams);
        self.save(index, stream);
        self.push_dropout(rate, stream.0, input, output);
    }

    pub(super) fn dropout_backward(&mut self, index: usize, node: &Node, rate: f64, gradient: BufferId) {
        let Some(stream) = self.saved[index] else {
            return self.give(node, 0, gradient);
        };
        let result = self.scratch(self.shape(node.output));
        self.push_dropout(rate, stream.0, gradient, result);
        self.give(node, 0, result);
    }

    #[expect(clippy::cast_possible_truncation, reason = "the rate is below 1, so the threshold fits 24 bits")]
    #[expect(clippy::cast_sign_loss, reason = "the rate is not negative")]
    fn push_dropout(&mut self, rate: f64, stream: u32, input: BufferId, output: BufferId) {
        let threshold = (rate * f64::from(1u32 << 24)) as u32;
        let scale = (1.0 / (1.0 - rate)) as f32;
        let elements = self.elements(input);
        self.kernels.push(Kernel::Dropout(Dropout { elements, stream, threshold, scale, input, output }));
    }
}

/// For one operand of a moving operator: extents moved, walk through the operand, walk through the result.
#[expect(clippy::indexing_slicing, reason = "axes were checked by shape inference")]
fn walks(op: &Op, from: &[usize], to: &[usize], at: &mut usize) -> (Vec<usize>, Walk, Walk) {
    match op {
        Op::Transpose { perm } => {
            let inner = signed(&contiguous(from));
            let strides = perm.iter().map(|&axis| inner[axis]).collect();
            (to.to_vec(), Walk { offset: 0, strides }, whole(to))
        }
        Op::Concat { axis } => {
            let mut outer = whole(to);
            outer.offset = *at * contiguous(to)[*axis];
            *at += from[*axis];
            (from.to_vec(), whole(from), outer)
        }
        Op::Slice { axis, start, step, .. } => {
            let mut inner = whole(from);
            inner.offset = start * contiguous(from)[*axis];
            inner.strides[*axis] *= step;
            (to.to_vec(), inner, whole(to))
        }
        Op::Pad { before, .. } => {
            let mut outer = whole(to);
            outer.offset = before.iter().zip(contiguous(to)).map(|(skip, stride)| skip * stride).sum();
            (from.to_vec(), whole(from), outer)
        }
        _ => (to.to_vec(), whole(from), whole(to)),
    }
}

fn with_ones(shape: &[usize], axes: &[usize]) -> Vec<usize> {
    shape.iter().enumerate().map(|(axis, &extent)| if axes.contains(&axis) { 1 } else { extent }).collect()
}

#[expect(clippy::cast_precision_loss, reason = "rounding to single precision is meant")]
fn mean_scale(shape: &[usize], axes: &[usize]) -> f32 {
    let count: usize = axes.iter().filter_map(|&axis| shape.get(axis)).product();
    1.0 / count.max(1) as f32
}
