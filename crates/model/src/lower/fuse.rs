//! Fusion: activations into the products before them, elementwise chains into one map.

use super::Lowering;
use super::elementwise::contiguous;
use super::plan;
use crate::graph::{Node, Source};
use crate::op::Op;
use crate::program::{
    BufferKind, Epilogue, Instruction, Kernel, MAX_MAP_INPUTS, MAX_MAP_INSTRUCTIONS, Map, MapInput,
};
use alloc::vec;
use alloc::vec::Vec;

impl Lowering<'_> {
    /// Lets the product that has just been emitted apply this activation, if nothing else reads its result and
    /// the derivative follows from the activation's result alone.
    #[expect(clippy::indexing_slicing, reason = "values and nodes are indexed by what made them")]
    pub(super) fn becomes_epilogue(&mut self, node: &Node) -> bool {
        let epilogue = match node.op {
            Op::Relu => Epilogue::Relu,
            Op::LeakyRelu { alpha } if alpha > 0.0 => Epilogue::LeakyRelu(alpha),
            Op::Tanh => Epilogue::Tanh,
            Op::Sigmoid => Epilogue::Sigmoid,
            _ => return false,
        };
        let mut value = node.inputs[0];
        let Some(place) = self.places[value.index()] else { return false };
        loop {
            if self.uses[value.index()] != 1 {
                return false;
            }
            let Source::Node(source) = self.graph.values[value.index()].source else { return false };
            let source = &self.graph.nodes[source];
            if !matches!(source.op, Op::Reshape { .. }) {
                break;
            }
            value = source.inputs[0];
        }
        let activation = match self.kernels.last_mut() {
            Some(Kernel::Gemm(gemm)) if gemm.c.buffer == place && !gemm.accumulate => &mut gemm.activation,
            Some(Kernel::Convolution(convolution)) if plan::writes_to(convolution) == place => {
                &mut convolution.activation
            }
            _ => return false,
        };
        if *activation != Epilogue::None {
            return false;
        }
        *activation = epilogue;
        self.put(node.output, place);
        true
    }
}

/// Inlines every map whose result only one other map reads, as long as that one stays within its caps.
#[expect(clippy::indexing_slicing, reason = "positions come from enumerating the kernels")]
pub(super) fn fuse_maps(lowering: &mut Lowering<'_>) {
    let kept = [lowering.places[lowering.graph.output.index()], lowering.places[lowering.graph.loss.index()]];
    let mut position = 0;
    while position < lowering.kernels.len() {
        let Some(merged) = fused(lowering, position, &kept) else {
            position += 1;
            continue;
        };
        let (consumer, map) = merged;
        lowering.kernels[consumer] = Kernel::Map(map);
        lowering.kernels.remove(position);
        if position < lowering.forward_kernels {
            lowering.forward_kernels -= 1;
        }
    }
}

fn fused(
    lowering: &Lowering<'_>,
    position: usize,
    kept: &[Option<crate::program::BufferId>; 2],
) -> Option<(usize, Map)> {
    let Some(Kernel::Map(producer)) = lowering.kernels.get(position) else { return None };
    let made = producer.output;
    let kind = lowering.buffers.get(made.index())?.kind;
    if kind != BufferKind::Activation || kept.contains(&Some(made)) {
        return None;
    }
    let mut readers = lowering
        .kernels
        .iter()
        .enumerate()
        .skip(position + 1)
        .filter(|(_, kernel)| plan::reads(kernel).contains(&made));
    let (consumer, kernel) = readers.next()?;
    if readers.next().is_some() {
        return None;
    }
    let Kernel::Map(reader) = kernel else { return None };
    Some((consumer, inline(producer, reader)?))
}

/// The consumer with the producer's code in place of its result.
#[expect(clippy::cast_possible_truncation, reason = "capped at far fewer than 256 instructions")]
#[expect(clippy::indexing_slicing, reason = "registers refer to earlier instructions")]
fn inline(producer: &Map, reader: &Map) -> Option<Map> {
    let (producer, reader) = same_space(producer, reader)?;
    let whole = contiguous(&reader.shape);
    let mut inputs: Vec<MapInput> = producer.inputs.clone();
    let mut code: Vec<Instruction> = producer.code.clone();
    let result = code.len() as u8 - 1;
    let mut registers: Vec<u8> = Vec::with_capacity(reader.code.len());
    for instruction in &reader.code {
        let at = |register: u8| registers[usize::from(register)];
        let moved = match *instruction {
            Instruction::Input(number) => {
                let input = &reader.inputs[usize::from(number)];
                if input.buffer == producer.output {
                    if input.strides != whole {
                        return None;
                    }
                    registers.push(result);
                    continue;
                }
                let number = inputs.iter().position(|known| known == input).unwrap_or_else(|| {
                    inputs.push(input.clone());
                    inputs.len() - 1
                });
                Instruction::Input(number as u8)
            }
            Instruction::Constant(value) => Instruction::Constant(value),
            Instruction::Step(value) => Instruction::Step(value),
            Instruction::Unary(function, a) => Instruction::Unary(function, at(a)),
            Instruction::Binary(function, a, b) => Instruction::Binary(function, at(a), at(b)),
            Instruction::Select(condition, a, b) => Instruction::Select(at(condition), at(a), at(b)),
        };
        let known = code.iter().position(|other| *other == moved);
        let register = known.unwrap_or_else(|| {
            code.push(moved);
            code.len() - 1
        });
        registers.push(register as u8);
    }
    // The result must stay last; a map that only passes its input on has nothing to inline.
    let ends = registers.last().map(|&last| usize::from(last) + 1) == Some(code.len());
    if !ends || inputs.len() > MAX_MAP_INPUTS || code.len() > MAX_MAP_INSTRUCTIONS {
        return None;
    }
    Some(Map { shape: reader.shape, inputs, code, output: reader.output })
}

/// Both maps over one iteration space, if one of them walks all its inputs in order.
fn same_space(producer: &Map, reader: &Map) -> Option<(Map, Map)> {
    if producer.shape == reader.shape {
        return Some((producer.clone(), reader.clone()));
    }
    let same_size = producer.shape.iter().product::<usize>() == reader.shape.iter().product::<usize>();
    if !same_size {
        return None;
    }
    if let Some(moved) = reshaped(producer, &reader.shape) {
        return Some((moved, reader.clone()));
    }
    Some((producer.clone(), reshaped(reader, &producer.shape)?))
}

fn reshaped(map: &Map, shape: &[usize]) -> Option<Map> {
    let whole = contiguous(&map.shape);
    let mut inputs = Vec::with_capacity(map.inputs.len());
    for input in &map.inputs {
        let strides = if input.strides == whole {
            contiguous(shape)
        } else if input.strides.iter().all(|&stride| stride == 0) {
            vec![0; shape.len()]
        } else {
            return None;
        };
        inputs.push(MapInput { buffer: input.buffer, strides });
    }
    Some(Map { shape: shape.to_vec(), inputs, code: map.code.clone(), output: map.output })
}
