//! Memory: which buffers a kernel reads and writes, and which may share a slot.

use super::{Lowering, Purpose};
use crate::program::{
    ALIGNMENT, Buffer, BufferId, BufferKind, Convolution, Direction, FIRST_ACTIVATION, GRADIENTS, INPUT,
    Kernel, PARAMETERS, ParameterBinding, Program, Rule, STATE0, STATE1, STATISTICS, TARGET,
};
use alloc::vec;
use alloc::vec::Vec;

/// Calls `visit` with every buffer of a kernel and whether it is written.
#[expect(clippy::too_many_lines, reason = "one arm per kernel")]
fn visit(kernel: &Kernel, visit: &mut dyn FnMut(BufferId, bool)) {
    match kernel {
        Kernel::Gemm(k) => {
            visit(k.a.buffer, false);
            visit(k.b.buffer, false);
            k.bias.iter().for_each(|bias| visit(*bias, false));
            visit(k.c.buffer, true);
        }
        Kernel::Convolution(k) => {
            visit(k.x, k.direction == Direction::Input);
            visit(k.w, k.direction == Direction::Weight);
            visit(k.y, k.direction == Direction::Forward);
            k.bias.iter().for_each(|bias| visit(*bias, false));
        }
        Kernel::Pool(k) => {
            visit(k.input, false);
            visit(k.output, true);
        }
        Kernel::PoolBackward(k) => {
            visit(k.input, false);
            visit(k.output, false);
            visit(k.gradient, false);
            visit(k.result, true);
        }
        Kernel::Map(k) => {
            k.inputs.iter().for_each(|input| visit(input.buffer, false));
            visit(k.output, true);
        }
        Kernel::Reduce(k) => {
            visit(k.input, false);
            visit(k.output, true);
        }
        Kernel::Copy(k) => {
            visit(k.input, false);
            visit(k.output, true);
        }
        Kernel::Fill { output, .. } => visit(*output, true),
        Kernel::Softmax(k) => {
            visit(k.input, false);
            visit(k.output, true);
        }
        Kernel::SoftmaxBackward(k) => {
            visit(k.output, false);
            visit(k.gradient, false);
            visit(k.result, true);
        }
        Kernel::CrossEntropy(k) => {
            visit(k.logits, false);
            visit(k.labels, false);
            visit(k.losses, true);
            k.gradient.iter().for_each(|gradient| visit(*gradient, true));
        }
        Kernel::Normalize(k) => {
            visit(k.input, false);
            k.scale.iter().for_each(|scale| visit(*scale, false));
            k.bias.iter().for_each(|bias| visit(*bias, false));
            visit(k.output, true);
            visit(k.moments, true);
        }
        Kernel::NormalizeBackward(k) => {
            visit(k.input, false);
            k.scale.iter().for_each(|scale| visit(*scale, false));
            visit(k.moments, false);
            visit(k.gradient, false);
            visit(k.result, true);
        }
        Kernel::NormalizeParameters(k) => {
            visit(k.input, false);
            visit(k.moments, false);
            visit(k.gradient, false);
            visit(k.scale, true);
            k.bias.iter().for_each(|bias| visit(*bias, true));
        }
        Kernel::BatchNormalize(k) => {
            for read in [k.input, k.scale, k.bias, k.running_mean, k.running_variance] {
                visit(read, false);
            }
            visit(k.output, true);
            visit(k.moments, true);
        }
        Kernel::BatchNormalizeBackward(k) => {
            for read in [k.input, k.scale, k.moments, k.gradient] {
                visit(read, false);
            }
            k.result.iter().for_each(|result| visit(*result, true));
            visit(k.scale_gradient, true);
            visit(k.bias_gradient, true);
        }
        Kernel::Gather(k) => {
            visit(k.table, false);
            visit(k.indices, false);
            visit(k.output, true);
        }
        Kernel::GatherBackward(k) => {
            visit(k.indices, false);
            visit(k.gradient, false);
            visit(k.result, true);
        }
        Kernel::Dropout(k) => {
            visit(k.input, false);
            visit(k.output, true);
        }
        Kernel::Gru(k) => {
            for read in [k.projected, k.weight, k.bias] {
                visit(read, false);
            }
            visit(k.output, true);
            visit(k.gates, true);
        }
        Kernel::GruBackward(k) => {
            for read in [k.weight, k.output, k.gates, k.gradient] {
                visit(read, false);
            }
            for written in [k.projected_gradient, k.hidden_gradient, k.previous] {
                visit(written, true);
            }
        }
        Kernel::Lstm(k) => {
            for read in [k.projected, k.weight, k.bias] {
                visit(read, false);
            }
            visit(k.output, true);
            visit(k.gates, true);
        }
        Kernel::LstmBackward(k) => {
            for read in [k.weight, k.output, k.gates, k.gradient] {
                visit(read, false);
            }
            visit(k.projected_gradient, true);
            visit(k.previous, true);
        }
        Kernel::ScaleGradients(k) => visit(k.norm, true),
        Kernel::Optimise(_) => {}
    }
}

fn list(kernel: &Kernel, written: bool) -> Vec<BufferId> {
    let mut found = Vec::new();
    visit(kernel, &mut |buffer, writes| {
        if writes == written {
            found.push(buffer);
        }
    });
    found
}

/// Buffers that a kernel reads.
#[must_use]
pub fn reads(kernel: &Kernel) -> Vec<BufferId> {
    list(kernel, false)
}

/// Buffers that a kernel writes.
#[must_use]
pub fn writes(kernel: &Kernel) -> Vec<BufferId> {
    list(kernel, true)
}

/// What a convolution writes.
pub(crate) fn writes_to(convolution: &Convolution) -> BufferId {
    match convolution.direction {
        Direction::Forward => convolution.y,
        Direction::Input => convolution.x,
        Direction::Weight => convolution.w,
    }
}

fn aligned(elements: usize) -> usize {
    elements.next_multiple_of(ALIGNMENT)
}

/// Gives every buffer its place.
#[expect(clippy::indexing_slicing, reason = "slots and buffers are indexed by what made them")]
pub(super) fn plan(mut lowering: Lowering<'_>, purpose: Purpose) -> Program {
    let graph = lowering.graph;
    let output = lowering.places[graph.output.index()].unwrap_or(BufferId(0));
    let loss = lowering.places[graph.loss.index()].unwrap_or(BufferId(0));
    let mut planner =
        Planner { slots: vec![0; FIRST_ACTIVATION], places: vec![(0, 0); lowering.buffers.len()] };
    let mut order: Vec<usize> = Vec::with_capacity(graph.parameters.len());
    for (index, parameter) in graph.parameters.iter().enumerate() {
        let at = order.partition_point(|&other| graph.parameters[other].name < parameter.name);
        order.insert(at, index);
    }
    let mut parameters = Vec::with_capacity(order.len());
    for index in order {
        let parameter = &graph.parameters[index];
        let value = lowering.places[parameter.value.index()].unwrap_or(BufferId(0));
        let gradient = lowering.settled[index];
        let elements = parameter.shape.iter().product();
        planner.pin(value, if parameter.trained { PARAMETERS } else { STATISTICS }, elements);
        if let Some(gradient) = gradient {
            planner.pin(gradient, GRADIENTS, elements);
        }
        parameters.push(ParameterBinding { name: parameter.name.clone(), value, gradient });
    }
    for (index, buffer) in lowering.buffers.iter().enumerate() {
        let slot = match buffer.kind {
            BufferKind::Input => INPUT,
            BufferKind::Target => TARGET,
            _ => continue,
        };
        planner.places[index] = (slot, 0);
        planner.slots[slot] = aligned(buffer.shape.iter().product());
    }
    planner.activations(&lowering, [output, loss]);
    if let Purpose::Train { rule, .. } = purpose {
        let elements = planner.slots[PARAMETERS];
        let (first, second) = match rule {
            Rule::Sgd { momentum, .. } => (momentum != 0.0, false),
            Rule::Adam { .. } => (true, true),
            Rule::Lion { .. } => (true, false),
        };
        planner.slots[STATE0] = if first { elements } else { 0 };
        planner.slots[STATE1] = if second { elements } else { 0 };
        for kernel in &mut lowering.kernels {
            match kernel {
                Kernel::Optimise(optimise) => optimise.elements = elements,
                Kernel::ScaleGradients(scale) => scale.elements = elements,
                _ => {}
            }
        }
    }
    let buffers = lowering.buffers.into_iter().zip(planner.places);
    let buffers = buffers
        .map(|(buffer, (slot, offset))| Buffer { shape: buffer.shape, kind: buffer.kind, slot, offset })
        .collect();
    Program {
        buffers,
        slots: planner.slots,
        kernels: lowering.kernels,
        forward: lowering.forward_kernels,
        input: BufferId(0),
        target: BufferId(1),
        output,
        loss,
        parameters,
        batch: graph.batch,
        vocabulary: graph.vocabulary,
        classes: graph.classes,
        ignore_label: graph.ignore_label,
    }
}

struct Planner {
    slots: Vec<usize>,
    /// Slot and offset of every buffer.
    places: Vec<(usize, usize)>,
}

#[expect(clippy::indexing_slicing, reason = "slots and buffers are indexed by what made them")]
impl Planner {
    fn pin(&mut self, buffer: BufferId, slot: usize, elements: usize) {
        self.places[buffer.index()] = (slot, self.slots[slot]);
        self.slots[slot] += aligned(elements);
    }

    /// Walks the kernels in order; a slot is free again behind the last kernel that touches its buffer. Of the
    /// free slots the best fitting one is taken, or the largest one grown.
    fn activations(&mut self, lowering: &Lowering<'_>, kept: [BufferId; 2]) {
        let floats = |kind| matches!(kind, BufferKind::Activation | BufferKind::Scalar);
        let mut last = vec![0; lowering.buffers.len()];
        for (position, kernel) in lowering.kernels.iter().enumerate() {
            for buffer in reads(kernel).into_iter().chain(writes(kernel)) {
                last[buffer.index()] = position;
            }
        }
        for (index, buffer) in lowering.buffers.iter().enumerate() {
            if kept.contains(&BufferId(u32::try_from(index).unwrap_or(u32::MAX)))
                || buffer.kind == BufferKind::Scalar
            {
                last[index] = usize::MAX;
            }
        }
        let mut placed = vec![false; lowering.buffers.len()];
        let mut free: Vec<usize> = Vec::new();
        for (position, kernel) in lowering.kernels.iter().enumerate() {
            let written = writes(kernel);
            for buffer in &written {
                let index = buffer.index();
                if placed[index] || !floats(lowering.buffers[index].kind) {
                    continue;
                }
                placed[index] = true;
                let need = aligned(lowering.buffers[index].shape.iter().product());
                let slot = self.choose(&mut free, need);
                self.places[index] = (slot, 0);
            }
            for buffer in reads(kernel).into_iter().chain(written) {
                if placed[buffer.index()] && last[buffer.index()] == position {
                    free.push(self.places[buffer.index()].0);
                    // A kernel may name a buffer twice.
                    last[buffer.index()] = usize::MAX;
                }
            }
        }
    }

    fn choose(&mut self, free: &mut Vec<usize>, need: usize) -> usize {
        let fits = |&(_, slot): &(usize, &usize)| self.slots[*slot] >= need;
        let best = free.iter().enumerate().filter(fits).min_by_key(|&(_, &slot)| self.slots[slot]);
        let best = best.or_else(|| free.iter().enumerate().max_by_key(|&(_, &slot)| self.slots[slot]));
        let Some(index) = best.map(|(index, _)| index) else {
            self.slots.push(need);
            return self.slots.len() - 1;
        };
        let slot = free.swap_remove(index);
        self.slots[slot] = self.slots[slot].max(need);
        slot
    }
}
