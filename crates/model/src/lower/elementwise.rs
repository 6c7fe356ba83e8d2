//! Elementwise operators and their derivatives as expressions.

use super::Lowering;
use crate::graph::{Node, Op, Value};
use crate::program::{Binary, BufferId, Instruction, Map, MapInput, Unary};
use alloc::vec;
use alloc::vec::Vec;

/// A map under construction.
pub(crate) struct Code {
    shape: Vec<usize>,
    inputs: Vec<MapInput>,
    code: Vec<Instruction>,
}

#[expect(clippy::cast_possible_truncation, reason = "expressions have far fewer than 256 instructions")]
impl Code {
    pub(crate) fn new(shape: &[usize]) -> Self {
        Self { shape: shape.to_vec(), inputs: Vec::new(), code: Vec::new() }
    }

    fn push(&mut self, instruction: Instruction) -> u8 {
        if let Some(known) = self.code.iter().position(|other| *other == instruction) {
            // The last register is the result, so a repeated result must be repeated; callers use the register.
            return known as u8;
        }
        self.code.push(instruction);
        self.code.len() as u8 - 1
    }

    pub(crate) fn load(&mut self, buffer: BufferId, strides: Vec<usize>) -> u8 {
        let input = MapInput { buffer, strides };
        let number = self.inputs.iter().position(|other| *other == input).unwrap_or_else(|| {
            self.inputs.push(input);
            self.inputs.len() - 1
        });
        self.push(Instruction::Input(number as u8))
    }

    pub(crate) fn constant(&mut self, value: f32) -> u8 {
        self.push(Instruction::Constant(value))
    }

    pub(crate) fn unary(&mut self, function: Unary, a: u8) -> u8 {
        self.push(Instruction::Unary(function, a))
    }

    pub(crate) fn binary(&mut self, function: Binary, a: u8, b: u8) -> u8 {
        self.push(Instruction::Binary(function, a, b))
    }

    fn select(&mut self, condition: u8, a: u8, b: u8) -> u8 {
        self.push(Instruction::Select(condition, a, b))
    }

    /// The map whose result is the last register, its axes merged where all strides allow.
    pub(crate) fn into_map(self, output: BufferId) -> Map {
        let mut map = Map { shape: self.shape, inputs: self.inputs, code: self.code, output };
        merge_axes(&mut map);
        map
    }

    /// The map whose result is the given register.
    pub(crate) fn into_map_of(mut self, result: u8, output: BufferId) -> Map {
        self.code.truncate(usize::from(result) + 1);
        self.into_map(output)
    }
}

/// Drops axes of extent 1 and joins neighbours that all inputs walk through alike.
#[expect(clippy::indexing_slicing, reason = "strides have one entry per axis")]
fn merge_axes(map: &mut Map) {
    let mut shape: Vec<usize> = Vec::new();
    let mut strides: Vec<Vec<usize>> = vec![Vec::new(); map.inputs.len()];
    for (axis, &extent) in map.shape.iter().enumerate() {
        if extent == 1 {
            continue;
        }
        let joins = !shape.is_empty()
            && map.inputs.iter().zip(&strides).all(|(input, merged)| {
                merged.last().is_some_and(|&outer| outer == input.strides[axis] * extent)
            });
        if joins && let Some(last) = shape.last_mut() {
            *last *= extent;
        } else {
            shape.push(extent);
        }
        for (input, merged) in map.inputs.iter().zip(&mut strides) {
            if joins {
                merged.pop();
            }
            merged.push(input.strides[axis]);
        }
    }
    if shape.is_empty() {
        shape.push(1);
        strides.iter_mut().for_each(|merged| merged.push(0));
    }
    map.shape = shape;
    for (input, merged) in map.inputs.iter_mut().zip(strides) {
        input.strides = merged;
    }
}

/// Strides of a contiguous tensor of this shape.
pub(crate) fn contiguous(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    let mut next = 1;
    for (stride, extent) in strides.iter_mut().zip(shape).rev() {
        *stride = next;
        next *= extent;
    }
    strides
}

/// Strides that walk a tensor of shape `from` while iterating over `to`, 0 where broadcast.
pub(crate) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<usize> {
    let mut strides = vec![0; to.len() - from.len()];
    let inner = contiguous(from);
    strides.extend(inner.iter().zip(from).map(|(&stride, &extent)| if extent == 1 { 0 } else { stride }));
    strides
}

fn unary_of(op: &Op) -> Option<Unary> {
    Some(match op {
        Op::Neg => Unary::Neg,
        Op::Abs => Unary::Abs,
        Op::Sqrt => Unary::Sqrt,
        Op::Exp => Unary::Exp,
        Op::Log => Unary::Log,
        Op::Erf => Unary::Erf,
        Op::Tanh => Unary::Tanh,
        Op::Sigmoid => Unary::Sigmoid,
        Op::Softplus => Unary::Softplus,
        _ => return None,
    })
}

fn binary_of(op: &Op) -> Option<Binary> {
    Some(match op {
        Op::Add => Binary::Add,
        Op::Sub => Binary::Sub,
        Op::Mul => Binary::Mul,
        Op::Div => Binary::Div,
        Op::Pow => Binary::Pow,
        Op::Max => Binary::Max,
        Op::Min => Binary::Min,
        Op::Greater => Binary::Greater,
        Op::Equal => Binary::Equal,
        _ => return None,
    })
}

fn value_of(code: &mut Code, op: &Op, x: &[u8]) -> u8 {
    let at = |index: usize| x.get(index).copied().unwrap_or(0);
    if let Some(function) = unary_of(op) {
        return code.unary(function, at(0));
    }
    if let Some(function) = binary_of(op) {
        return code.binary(function, at(0), at(1));
    }
    match op {
        Op::Relu => {
            let zero = code.constant(0.0);
            code.binary(Binary::Max, at(0), zero)
        }
        Op::LeakyRelu { alpha } => {
            let (zero, slope) = (code.constant(0.0), code.constant(*alpha));
            let positive = code.binary(Binary::Greater, at(0), zero);
            let scaled = code.binary(Binary::Mul, at(0), slope);
            code.select(positive, at(0), scaled)
        }
        Op::Gelu => code.unary(Unary::Gelu, at(0)),
        Op::Clip { min, max } => {
            let (min, max) = (code.constant(*min), code.constant(*max));
            let least = code.binary(Binary::Max, at(0), min);
            code.binary(Binary::Min, least, max)
        }
        _ => code.select(at(0), at(1), at(2)),
    }
}

/// The derivative's product with the gradient `g` by operand `which`; `x` are the operands, `y` the result.
fn derivative(code: &mut Code, op: &Op, which: usize, x: &[u8], y: u8, g: u8) -> u8 {
    let at = |index: usize| x.get(index).copied().unwrap_or(0);
    let a = at(0);
    match op {
        Op::Add => g,
        Op::Sub if which == 0 => g,
        Op::Sub | Op::Neg => code.unary(Unary::Neg, g),
        Op::Mul => code.binary(Binary::Mul, g, at(1 - which)),
        Op::Div if which == 0 => code.binary(Binary::Div, g, at(1)),
        Op::Div => {
            let share = code.binary(Binary::Div, y, at(1));
            let product = code.binary(Binary::Mul, g, share);
            code.unary(Unary::Neg, product)
        }
        Op::Pow if which == 0 => {
            let one = code.constant(1.0);
            let less = code.binary(Binary::Sub, at(1), one);
            let power = code.binary(Binary::Pow, a, less);
            let slope = code.binary(Binary::Mul, at(1), power);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Pow => {
            let logarithm = code.unary(Unary::Log, a);
            let slope = code.binary(Binary::Mul, y, logarithm);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Max | Op::Min => {
            // The first operand wins a tie.
            let (larger, smaller) = if matches!(op, Op::Max) { (at(1), a) } else { (a, at(1)) };
            let second = code.binary(Binary::Greater, larger, smaller);
            let zero = code.constant(0.0);
            if which == 0 { code.select(second, zero, g) } else { code.select(second, g, zero) }
        }
        Op::Abs => {
            let sign = code.unary(Unary::Sign, a);
            code.binary(Binary::Mul, g, sign)
        }
        Op::Sqrt => {
            let half = code.constant(0.5);
            let slope = code.binary(Binary::Div, half, y);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Exp => code.binary(Binary::Mul, g, y),
        Op::Log => code.binary(Binary::Div, g, a),
        Op::Erf => {
            let (scale, square) =
                (code.constant(core::f32::consts::FRAC_2_SQRT_PI), code.binary(Binary::Mul, a, a));
            let negative = code.unary(Unary::Neg, square);
            let bell = code.unary(Unary::Exp, negative);
            let slope = code.binary(Binary::Mul, scale, bell);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Tanh => {
            let (one, square) = (code.constant(1.0), code.binary(Binary::Mul, y, y));
            let slope = code.binary(Binary::Sub, one, square);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Sigmoid => {
            let one = code.constant(1.0);
            let rest = code.binary(Binary::Sub, one, y);
            let slope = code.binary(Binary::Mul, y, rest);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Softplus => {
            let slope = code.unary(Unary::Sigmoid, a);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Relu => {
            let zero = code.constant(0.0);
            let positive = code.binary(Binary::Greater, y, zero);
            code.select(positive, g, zero)
        }
        Op::LeakyRelu { alpha } => {
            let (zero, slope) = (code.constant(0.0), code.constant(*alpha));
            let positive = code.binary(Binary::Greater, y, zero);
            let scaled = code.binary(Binary::Mul, g, slope);
            code.select(positive, g, scaled)
        }
        Op::Gelu => {
            let slope = code.unary(Unary::GeluSlope, a);
            code.binary(Binary::Mul, g, slope)
        }
        Op::Clip { min, max } => {
            let (zero, min, max) = (code.constant(0.0), code.constant(*min), code.constant(*max));
            let below = code.binary(Binary::Greater, min, a);
            let above = code.binary(Binary::Greater, a, max);
            let outside = code.binary(Binary::Max, below, above);
            code.select(outside, zero, g)
        }
        Op::Where => {
            let zero = code.constant(0.0);
            if which == 1 { code.select(a, g, zero) } else { code.select(a, zero, g) }
        }
        _ => code.constant(0.0),
    }
}

fn reads_result(op: &Op) -> bool {
    matches!(
        op,
        Op::Div | Op::Pow | Op::Sqrt | Op::Exp | Op::Tanh | Op::Sigmoid | Op::Relu | Op::LeakyRelu { .. }
    )
}

#[expect(clippy::indexing_slicing, reason = "operators have the operands that shape inference checked")]
impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, node: &Node) {
        if self.becomes_epilogue(node) {
            return;
        }
        let shape = self.graph.shape(node.output).to_vec();
        let mut code = Code::new(&shape);
        let operands = self.operands(&mut code, node, &shape);
        let result = value_of(&mut code, &node.op, &operands);
        let output = self.define(node.output);
        self.push_map(code.into_map_of(result, output));
    }

    fn operands(&mut self, code: &mut Code, node: &Node, shape: &[usize]) -> Vec<u8> {
        node.inputs.iter().map(|&input| self.operand(code, input, shape)).collect()
    }

    pub(super) fn operand(&mut self, code: &mut Code, value: Value, shape: &[usize]) -> u8 {
        match self.constant_of(value) {
            Some(number) => code.constant(number),
            None => {
                let strides = broadcast_strides(self.graph.shape(value), shape);
                let place = self.place(value);
                code.load(place, strides)
            }
        }
    }

    pub(super) fn elementwise_backward(&mut self, node: &Node, gradient: BufferId) {
        let shape = self.graph.shape(node.output).to_vec();
        for (which, &input) in node.inputs.iter().enumerate() {
            if !self.wanted(input) || (which == 0 && matches!(node.op, Op::Where)) {
                continue;
            }
            let passes = matches!(node.op, Op::Add) || (matches!(node.op, Op::Sub) && which == 0);
            let full = if passes {
                gradient
            } else {
                let mut code = Code::new(&shape);
                let g = code.load(gradient, contiguous(&shape));
                // Only what the derivative reads is loaded, so that it need not be kept.
                let y = if reads_result(&node.op) {
                    let place = self.place(node.output);
                    code.load(place, contiguous(&shape))
                } else {
                    g
                };
                let operands = if matches!(
                    node.op,
                    Op::Neg
                        | Op::Sub
                        | Op::Sqrt
                        | Op::Exp
                        | Op::Tanh
                        | Op::Sigmoid
                        | Op::Relu
                        | Op::LeakyRelu { .. }
                ) {
                    Vec::new()
                } else {
                    self.operands(&mut code, node, &shape)
                };
                let result = derivative(&mut code, &node.op, which, &operands, y, g);
                let full = self.scratch(&shape);
                self.push_map(code.into_map_of(result, full));
                full
            };
            let reduced = self.reduce_to(full, &shape, self.graph.shape(input));
            self.add_gradient(input, reduced);
        }
    }

    /// Sums a gradient of shape `from` over the axes along which `to` was broadcast.
    pub(super) fn reduce_to(&mut self, gradient: BufferId, from: &[usize], to: &[usize]) -> BufferId {
        let lead = from.len() - to.len();
        let mut shape = from.to_vec();
        let mut gradient = gradient;
        let mut axis = 0;
        while axis < shape.len() {
            let wide =
                |axis: usize, extent: usize| extent > 1 && (axis < lead || to.get(axis - lead) == Some(&1));
            let mut end = axis;
            while end < shape.len() && wide(end, shape[end]) {
                end += 1;
            }
            if end == axis {
                axis += 1;
                continue;
            }
            let outer = shape[..axis].iter().product();
            let length = shape[axis..end].iter().product();
            let inner = shape[end..].iter().product();
            shape[axis..end].fill(1);
            gradient = self.sum(gradient, outer, length, inner, &shape);
            axis = end;
        }
        gradient
    }
}
