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
fn visit(kernel: &mut Kernel, visit: &mut dyn FnMut(&mut BufferId, bool)) {
    match kernel {
        Kernel::Gemm(k) => {
            visit(&mut k.a.buffer, false);
            visit(&mut k.b.buffer, false);
            k.bias.iter_mut().for_each(|bias| visit(bias, false));
            visit(&mut k.c.buffer, true);
        }
        Kernel::Convolution(k) => {
            visit(&mut k.x, k.direction == Direction::Input);
            visit(&mut k.w, k.direction == Direction::Weight);
            visit(&mut k.y, k.direction == Direction::Forward);
            k.bias.iter_mut().for_each(|bias| visit(bias, false));
        }
        Kernel::Pool(k) => {
            visit(&mut k.input, false);
            visit(&mut k.output, true);
        }
        Kernel::PoolBackward(k) => {
            visit(&mut k.input, false);
            visit(&mut k.output, false);
            visit(&mut k.gradient, false);
            visit(&mut k.result, true);
        }
        Kernel::Map(k) => {
            k.inputs.iter_mut().for_each(|input| visit(&mut input.buffer, false));
            visit(&mut k.output, true);
        }
        Kernel::Reduce(k) => {
            visit(&mut k.input, false);
            visit(&mut k.output, true);
        }
        Kernel::Copy(k) => {
            visit(&mut k.input, false);
            visit(&mut k.output, true);
        }
        Kernel::Fill { output, .. } => visit(output, true),
        Kernel::Softmax(k) => {
            visit(&mut k.input, false);
            visit(&mut k.output, true);
        }
        Kernel::SoftmaxBackward(k) => {
            visit(&mut k.output, false);
            visit(&mut k.gradient, false);
            visit(&mut k.result, true);
        }
        Kernel::CrossEntropy(k) => {
            visit(&mut k.logits, false);
            visit(&mut k.labels, false);
            visit(&mut k.losses, true);
            k.gradient.iter_mut().for_each(|gradient| visit(gradient, true));
        }
        Kernel::Normalize(k) => {
            visit(&mut k.input, false);
            k.scale.iter_mut().for_each(|scale| visit(scale, false));
            k.bias.iter_mut().for_each(|bias| visit(bias, false));
            visit(&mut k.output, true);
            visit(&mut k.moments, true);
        }
        Kernel::NormalizeBackward(k) => {
            visit(&mut k.input, false);
            k.scale.iter_mut().for_each(|scale| visit(scale, false));
            visit(&mut k.moments, false);
            visit(&mut k.gradient, false);
            visit(&mut k.result, true);
        }
        Kernel::NormalizeParameters(k) => {
            visit(&mut k.input, false);
            visit(&mut k.moments, false);
            visit(&mut k.gradient, false);
            visit(&mut k.scale, true);
            k.bias.iter_mut().for_each(|bias| visit(bias, true));
        }
        Kernel::BatchNormalize(k) => {
            for read in
                [&mut k.input, &mut k.scale, &mut k.bias, &mut k.running_mean, &mut k.running_variance]
            {
                visit(read, false);
            }
            visit(&mut k.output, true);
            visit(&mut k.moments, true);
        }
        Kernel::BatchNormalizeBackward(k) => {
            for read in [&mut k.input, &mut k.scale, &mut k.moments, &mut k.gradient] {
                visit(read, false);
            }
            k.result.iter_mut().for_each(|result| visit(result, true));
            visit(&mut k.scale_gradient, true);
            visit(&mut k.bias_gradient, true);
        }
        Kernel::Gather(k) => {
            visit(&mut k.table, false);
            visit(&mut k.indices, false);
            visit(&mut k.output, true);
        }
        Kernel::GatherBackward(k) => {
            visit(&mut k.indices, false);
            visit(&mut k.gradient, false);
            visit(&mut k.result, true);
        }
        Kernel::Dropout(k) => {
            visit(&mut k.input, false);
            visit(&mut k.output, true);
        }
        Kernel::Gru(k) => {
            for read in [&mut k.projected, &mut k.weight, &mut k.bias] {
                visit(read, false);
            }
            visit(&mut k.output, true);
            visit(&mut k.gates, true);
        }
        Kernel::GruBackward(k) => {
            for read in [&mut k.weight, &mut k.output, &mut k.gates, &mut k.gradient] {
                visit(read, false);
            }
            for written in [&mut k.projected_gradient, &mut k.hidden_gradient, &mut k.previous] {
                visit(written, true);
            }
        }
        Kernel::Lstm(k) => {
            for read in [&mut k.projected, &mut k.weight, &mut k.bias] {
                visit(read, false);
            }
            visit(&mut k.output, true);
            visit(&mut k.gates, true);
        }
        Kernel::LstmBackward(k) => {
            for read in [&mut k.weight, &mut k.output, &mut k.gates, &mut k.gradient] {
                visit(read, false);
            }
            visit(&mut k.projected_gradient, true);
            visit(&mut k.previous, true);
        }
        Kernel::ScaleGradients(k) => visit(&mut k.norm, true),
        Kernel::Optimise(_) => {}
    }
}

fn list(kernel: &Kernel, written: bool) -> Vec<BufferId> {
    let mut found = Vec::new();
    visit(&mut kernel.clone(), &mut |buffer, writes| {
        if writes == written {
            found.push(*buffer);
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

/// Puts one buffer in another's place.
pub(crate) fn rename(kernel: &mut Kernel, from: BufferId, to: BufferId) {
    visit(kernel, &mut |buffer, _| {
        if *buffer == from {
            *buffer = to;
        }
    });
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
    let mut order: Vec<usize> = (0..graph.parameters.len()).collect();
    order.sort_by(|&a, &b| graph.parameters[a].name.cmp(&graph.parameters[b].name));
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
            let mut ended: Vec<BufferId> = reads(kernel).into_iter().chain(written).collect();
            ended.sort_unstable();
            ended.dedup();
            for buffer in ended {
                if placed[buffer.index()] && last[buffer.index()] == position {
                    free.push(self.places[buffer.index()].0);
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
