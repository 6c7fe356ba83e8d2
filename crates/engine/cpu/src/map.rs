//! Fused elementwise expressions, interpreted a block of elements at a time.

use crate::math;
use crate::memory::Memory;
use crate::simd::F4;
use crate::threads::{Rows, Scratch, in_parts};
use lichen_model::program::{Binary, Instruction, MAX_MAP_INPUTS, Map, StepValues, Unary};
use std::ops::Range;

/// Elements that one instruction treats before the next one runs: few enough for the first-level cache.
const BLOCK: usize = 128;

/// Registers, kept between maps.
#[derive(Default)]
pub(crate) struct Registers(Vec<f32>);

/// Multiply-adds that take as long as an instruction on one element, functions among them.
const INSTRUCTION: usize = 4;

/// Runs a map.
pub(crate) fn run(map: &Map, memory: &mut Memory, step: &StepValues, registers: &mut Scratch<Registers>) {
    let mut output = memory.take(map.output);
    let mut inputs: [&[f32]; MAX_MAP_INPUTS] = [&[]; MAX_MAP_INPUTS];
    for (to, input) in inputs.iter_mut().zip(&map.inputs) {
        *to = memory.get(input.buffer);
    }
    let Some((&inner, outer)) = map.shape.split_last() else { return };
    // What has a single row is split within it.
    let width = if outer.iter().all(|&extent| extent == 1) { inner.min(BLOCK) } else { inner };
    let cost = width * map.code.len() * INSTRUCTION;
    in_parts([Rows::new(&mut output, width)], cost, registers, |first, [output], registers| {
        registers.fill(map, step);
        let (mut index, mut row, mut start) = (vec![0; outer.len()], first, first * width);
        if width == inner {
            start = 0;
            for (at, &extent) in index.iter_mut().zip(outer).rev() {
                (*at, row) = (row % extent, row / extent);
            }
        }
        let mut starts = [0; MAX_MAP_INPUTS];
        for row in output.chunks_mut(inner) {
            for (start, input) in starts.iter_mut().zip(&map.inputs) {
                *start = index.iter().zip(&input.strides).map(|(at, stride)| at * stride).sum();
            }
            for (number, block) in row.chunks_mut(BLOCK).enumerate() {
                evaluate(map, &inputs, step, &starts, start + number * BLOCK, block, &mut registers.0);
            }
            advance(&mut index, outer);
        }
    });
    memory.put(output);
}

impl Registers {
    /// Makes room, and fills the registers that stay the same.
    fn fill(&mut self, map: &Map, step: &StepValues) {
        self.0.resize(map.code.len() * BLOCK, 0.0);
        for (register, instruction) in self.0.chunks_exact_mut(BLOCK).zip(&map.code) {
            match *instruction {
                Instruction::Constant(value) => register.fill(value),
                Instruction::Step(value) => register.fill(step.get(value)),
                _ => {}
            }
        }
    }
}

/// The next index in row-major order.
pub(crate) fn advance(index: &mut [usize], shape: &[usize]) {
    for (at, &extent) in index.iter_mut().zip(shape).rev() {
        *at += 1;
        if *at < extent {
            return;
        }
        *at = 0;
    }
}

fn evaluate(
    map: &Map,
    inputs: &[&[f32]],
    step: &StepValues,
    starts: &[usize],
    first: usize,
    output: &mut [f32],
    registers: &mut [f32],
) {
    let length = output.len();
    let last = map.code.len() - 1;
    for (number, instruction) in map.code.iter().enumerate() {
        let (done, rest) = registers.split_at_mut(number * BLOCK);
        let to = if number == last { &mut *output } else { &mut rest[..length] };
        let at = |register| operand(map, inputs, starts, first..first + length, done, register);
        match *instruction {
            Instruction::Input(input) => {
                let input = usize::from(input);
                let stride = map.inputs[input].strides.last().copied().unwrap_or(0);
                load(inputs[input], starts[input] + first * stride, stride, to, number == last);
            }
            // Registers of constants were filled before the first block.
            Instruction::Constant(value) => {
                if number == last {
                    to.fill(value);
                }
            }
            Instruction::Step(value) => {
                if number == last {
                    to.fill(step.get(value));
                }
            }
            Instruction::Unary(function, a) => unary(function, at(a), to),
            Instruction::Binary(function, a, b) => binary(function, at(a), at(b), to),
            Instruction::Select(condition, a, b) => {
                let zero = F4::splat(0.0);
                let operands = at(condition).chunks(4).zip(at(a).chunks(4).zip(at(b).chunks(4)));
                for (to, (condition, (a, b))) in to.chunks_mut(4).zip(operands) {
                    let otherwise = partial(condition).equals(zero);
                    F4::select(otherwise, partial(b), partial(a)).store(to);
                }
            }
        }
    }
}

/// What a register holds: contiguous inputs are read in place.
#[inline(never)]
fn operand<'a>(
    map: &Map,
    inputs: &[&'a [f32]],
    starts: &[usize],
    elements: Range<usize>,
    done: &'a [f32],
    register: u8,
) -> &'a [f32] {
    if let Instruction::Input(input) = map.code[usize::from(register)] {
        let input = usize::from(input);
        if map.inputs[input].strides.last() == Some(&1) {
            return &inputs[input][starts[input]..][elements];
        }
    }
    &done[usize::from(register) * BLOCK..][..elements.len()]
}

/// Fills a register from memory; contiguous inputs are read in place and need it only as the result.
fn load(input: &[f32], start: usize, stride: usize, to: &mut [f32], result: bool) {
    match stride {
        0 => to.fill(input[start]),
        1 if !result => {}
        1 => to.copy_from_slice(&input[start..start + to.len()]),
        _ => {
            for (to, from) in to.iter_mut().zip(input[start..].iter().step_by(stride)) {
                *to = *from;
            }
        }
    }
}

#[inline(always)]
fn partial(slice: &[f32]) -> F4 {
    if slice.len() >= 4 { F4::load(slice) } else { F4::load_partial(slice, 0.0) }
}

#[inline(always)]
fn each(a: &[f32], to: &mut [f32], f: impl Fn(F4) -> F4) {
    let ((to, to_rest), (a, a_rest)) = (to.as_chunks_mut::<4>(), a.as_chunks::<4>());
    let (mut end, a_end) = ([[0.0; 4]], [F4::load_partial(a_rest, 0.0).array()]);
    // What is left gets a second round, so that the function's code is there once.
    let rounds = 1 + usize::from(!to_rest.is_empty());
    for (to, a) in [(to, a), (&mut end[..], &a_end[..])].into_iter().take(rounds) {
        for (to, a) in to.iter_mut().zip(a) {
            f(F4::load(a)).store(to);
        }
    }
    to_rest.copy_from_slice(&end[0][..to_rest.len()]);
}

#[inline(always)]
fn pairs(a: &[f32], b: &[f32], to: &mut [f32], f: impl Fn(F4, F4) -> F4) {
    let ((to, to_rest), (a, a_rest)) = (to.as_chunks_mut::<4>(), a.as_chunks::<4>());
    let (b, b_rest) = b.as_chunks::<4>();
    for (to, (a, b)) in to.iter_mut().zip(a.iter().zip(b)) {
        f(F4::load(a), F4::load(b)).store(to);
    }
    if !to_rest.is_empty() {
        f(F4::load_partial(a_rest, 0.0), F4::load_partial(b_rest, 0.0)).store(to_rest);
    }
}

fn unary(function: Unary, a: &[f32], to: &mut [f32]) {
    let called: fn(F4) -> F4 = match function {
        Unary::Neg => return each(a, to, |x| x.xor(F4::splat(-0.0))),
        Unary::Exp => {
            let exponential = math::Exponential::new();
            return each(a, to, |x| exponential.at(x));
        }
        Unary::Gelu => {
            let gelu = math::Gelu::new();
            return each(a, to, |x| gelu.at(x));
        }
        Unary::GeluSlope => {
            let gelu = math::Gelu::new();
            return each(a, to, |x| gelu.slope(x));
        }
        Unary::Abs => F4::abs,
        Unary::Sqrt => F4::sqrt,
        Unary::Log => math::log,
        Unary::Tanh => math::tanh,
        Unary::Sigmoid => math::sigmoid,
        Unary::Erf => math::erf,
        Unary::Sign => math::sign,
        Unary::Softplus => math::softplus,
    };
    each(a, to, called);
}

fn binary(function: Binary, a: &[f32], b: &[f32], to: &mut [f32]) {
    let one = F4::splat(1.0);
    match function {
        Binary::Add => pairs(a, b, to, |a, b| a + b),
        Binary::Sub => pairs(a, b, to, |a, b| a - b),
        Binary::Mul => pairs(a, b, to, |a, b| a * b),
        Binary::Div => pairs(a, b, to, |a, b| a / b),
        Binary::Pow => pairs(a, b, to, math::pow),
        Binary::Max => pairs(a, b, to, F4::max),
        Binary::Min => pairs(a, b, to, F4::min),
        Binary::Greater => pairs(a, b, to, |a, b| a.gt(b).and(one)),
        Binary::Equal => pairs(a, b, to, |a, b| a.equals(b).and(one)),
    }
}
