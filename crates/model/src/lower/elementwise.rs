//! Elementwise operators and their derivatives as expressions.

use super::Lowering;
use crate::graph::{Node, Value};
use crate::op::Op;
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

/// A step of a calculation in reverse Polish notation.
#[derive(Clone, Copy)]
enum Token {
    /// The operand of this number.
    Operand(usize),
    /// The gradient by the result.
    Gradient,
    /// The result.
    Result,
    /// A number.
    Number(f32),
    /// A function of the last value.
    One(Unary),
    /// A function of the last two values.
    Two(Binary),
    /// The last value but one where the one before it is not 0, else the last.
    Choose,
}
use Token::{Choose, Gradient, Number, One, Operand, Result, Two};

const A: Token = Operand(0);
const B: Token = Operand(1);
const C: Token = Operand(2);

/// What an operator calculates.
fn calculation(op: &Op) -> Vec<Token> {
    if let Some(function) = unary_of(op) {
        return [A, One(function)].into();
    }
    if let Some(function) = binary_of(op) {
        return [A, B, Two(function)].into();
    }
    match *op {
        Op::Relu => [A, Number(0.0), Two(Binary::Max)].into(),
        Op::LeakyRelu { alpha } => leaking(A, A, alpha),
        Op::Gelu => [A, One(Unary::Gelu)].into(),
        Op::Clip { min, max } => [A, Number(min), Two(Binary::Max), Number(max), Two(Binary::Min)].into(),
        _ => [A, B, C, Choose].into(),
    }
}

/// `value` where `sign` is positive, else `alpha` times it.
fn leaking(sign: Token, value: Token, alpha: f32) -> Vec<Token> {
    let positive = [sign, Number(0.0), Two(Binary::Greater)];
    [&positive, [value, value, Number(alpha)].as_slice(), &[Two(Binary::Mul), Choose]].concat()
}

/// The derivative's product with the gradient, by operand `which`. Only what is mentioned has to be kept until then.
fn derivative(op: &Op, which: usize) -> Vec<Token> {
    use Binary::{Div, Greater, Max, Mul, Pow, Sub};
    use Unary::{Exp, GeluSlope, Log, Neg, Sigmoid, Sign};
    let is_first = which == 0;
    let tokens: &[Token] = match *op {
        Op::Sub | Op::Neg => &[Gradient, One(Neg)],
        Op::Mul => return [Gradient, Operand(1 - which), Two(Mul)].into(),
        Op::Div if is_first => &[Gradient, B, Two(Div)],
        Op::Div => &[Gradient, Result, B, Two(Div), Two(Mul), One(Neg)],
        Op::Pow if is_first => &[Gradient, B, A, B, Number(1.0), Two(Sub), Two(Pow), Two(Mul), Two(Mul)],
        Op::Pow => &[Gradient, Result, A, One(Log), Two(Mul), Two(Mul)],
        // The first operand wins a tie.
        Op::Max if is_first => &[B, A, Two(Greater), Number(0.0), Gradient, Choose],
        Op::Max => &[B, A, Two(Greater), Gradient, Number(0.0), Choose],
        Op::Min if is_first => &[A, B, Two(Greater), Number(0.0), Gradient, Choose],
        Op::Min => &[A, B, Two(Greater), Gradient, Number(0.0), Choose],
        Op::Abs => &[Gradient, A, One(Sign), Two(Mul)],
        Op::Sqrt => &[Gradient, Number(0.5), Result, Two(Div), Two(Mul)],
        Op::Exp => &[Gradient, Result, Two(Mul)],
        Op::Log => &[Gradient, A, Two(Div)],
        Op::Erf => &[
            Gradient,
            Number(core::f32::consts::FRAC_2_SQRT_PI),
            A,
            A,
            Two(Mul),
            One(Neg),
            One(Exp),
            Two(Mul),
            Two(Mul),
        ],
        Op::Tanh => &[Gradient, Number(1.0), Result, Result, Two(Mul), Two(Sub), Two(Mul)],
        Op::Sigmoid => &[Gradient, Result, Number(1.0), Result, Two(Sub), Two(Mul), Two(Mul)],
        Op::Softplus => &[Gradient, A, One(Sigmoid), Two(Mul)],
        Op::Relu => &[Result, Number(0.0), Two(Greater), Gradient, Number(0.0), Choose],
        Op::LeakyRelu { alpha } => return leaking(Result, Gradient, alpha),
        Op::Gelu => &[Gradient, A, One(GeluSlope), Two(Mul)],
        Op::Clip { min, max } => {
            let outside = [Number(min), A, Two(Greater), A, Number(max), Two(Greater), Two(Max)];
            return [outside.as_slice(), &[Number(0.0), Gradient, Choose]].concat();
        }
        Op::Where if which == 1 => &[A, Gradient, Number(0.0), Choose],
        Op::Where => &[A, Number(0.0), Gradient, Choose],
        _ => &[Number(0.0)],
    };
    tokens.to_vec()
}

#[expect(clippy::indexing_slicing, reason = "operators have the operands that shape inference checked")]
impl Lowering<'_> {
    pub(super) fn elementwise(&mut self, node: &Node) {
        if self.becomes_epilogue(node) {
            return;
        }
        let (code, result) = self.calculate(node, &calculation(&node.op), BufferId(0));
        let output = self.define(node.output);
        self.push_map(code.into_map_of(result, output));
    }

    /// The code of a calculation about a node, and the register of its result.
    fn calculate(&mut self, node: &Node, tokens: &[Token], gradient: BufferId) -> (Code, u8) {
        let shape = self.shape(node.output);
        let mut code = Code::new(shape);
        let mut values: Vec<u8> = Vec::new();
        for token in tokens {
            let mut last = || values.pop().unwrap_or(0);
            let register = match *token {
                Operand(operand) => self.operand(&mut code, node.inputs[operand], shape),
                Gradient => code.load(gradient, contiguous(shape)),
                Result => {
                    let place = self.place(node.output);
                    code.load(place, contiguous(shape))
                }
                Number(number) => code.constant(number),
                One(function) => code.unary(function, last()),
                Two(function) => {
                    let (b, a) = (last(), last());
                    code.binary(function, a, b)
                }
                Choose => {
                    let (b, a, condition) = (last(), last(), last());
                    code.select(condition, a, b)
                }
            };
            values.push(register);
        }
        (code, values.pop().unwrap_or(0))
    }

    fn operand(&mut self, code: &mut Code, value: Value, shape: &[usize]) -> u8 {
        match self.constant_of(value) {
            Some(number) => code.constant(number),
            None => {
                let strides = broadcast_strides(self.shape(value), shape);
                let place = self.place(value);
                code.load(place, strides)
            }
        }
    }

    pub(super) fn elementwise_backward(&mut self, node: &Node, gradient: BufferId) {
        let shape = self.shape(node.output);
        for (which, &input) in node.inputs.iter().enumerate() {
            if !self.wanted(input) || (which == 0 && matches!(node.op, Op::Where)) {
                continue;
            }
            let passes = matches!(node.op, Op::Add) || (matches!(node.op, Op::Sub) && which == 0);
            let full = if passes {
                gradient
            } else {
                let (code, result) = self.calculate(node, &derivative(&node.op, which), gradient);
                let full = self.scratch(shape);
                self.push_map(code.into_map_of(result, full));
                full
            };
            let reduced = self.reduce_to(full, shape, self.shape(input));
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
