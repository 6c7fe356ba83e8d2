//! Kernels that work row by row: reductions, softmax, cross entropy, embeddings, dropout, copies.
//!
//! Sums along a row go into four lanes (element i into lane i mod 4) that are combined at the end, so their
//! order is the same on every machine.

use super::map::advance;
use super::math;
use super::memory::Memory;
use super::simd::F4;
use lichen_model::program::{
    Copy, CrossEntropy, Dropout, Gather, GatherBackward, Reduce, ReduceKind, Softmax, SoftmaxBackward,
    StepValues, random_bits, stream_key,
};

/// Four lanes of a row, the ones behind its end filled with `rest`.
#[inline(always)]
pub(crate) fn lanes(slice: &[f32], rest: f32) -> F4 {
    if slice.len() >= 4 { F4::load(slice) } else { F4::load_partial(slice, rest) }
}

/// Sum of a row.
pub(crate) fn sum(row: &[f32]) -> f32 {
    let mut total = F4::splat(0.0);
    for part in row.chunks(4) {
        total = total + lanes(part, 0.0);
    }
    total.sum()
}

fn largest(row: &[f32]) -> f32 {
    let mut most = F4::splat(f32::NEG_INFINITY);
    for part in row.chunks(4) {
        most = lanes(part, f32::NEG_INFINITY).max(most);
    }
    most.largest()
}

pub(crate) fn reduce(reduce: &Reduce, memory: &mut Memory, step: &StepValues) {
    let mut output = memory.take(reduce.output);
    let input = memory.get(reduce.input);
    let scale = if reduce.loss_scaled { reduce.scale * step.loss_scale } else { reduce.scale };
    let plane = reduce.length * reduce.inner;
    for (outer, result) in output.chunks_exact_mut(reduce.inner).enumerate() {
        let plane = &input[outer * plane..(outer + 1) * plane];
        if reduce.inner == 1 {
            result[0] = match reduce.kind {
                ReduceKind::Sum => sum(plane) * scale,
                ReduceKind::Max => largest(plane),
            };
            continue;
        }
        let mut rows = plane.chunks_exact(reduce.inner);
        result.copy_from_slice(rows.next().unwrap_or_default());
        for row in rows {
            for (to, from) in result.chunks_mut(4).zip(row.chunks(4)) {
                let (a, b) = (lanes(to, 0.0), lanes(from, 0.0));
                let combined = if reduce.kind == ReduceKind::Sum { a + b } else { b.max(a) };
                combined.store(to);
            }
        }
        if reduce.kind == ReduceKind::Sum && scale != 1.0 {
            result.iter_mut().for_each(|value| *value *= scale);
        }
    }
    memory.put(output);
}

/// Columns of a row that are not masked.
fn visible(row: usize, width: usize, causal: usize) -> usize {
    if causal == 0 { width } else { (row % causal + 1 + width).saturating_sub(causal).min(width) }
}

/// `to = e^(from − largest)`; the sum of it.
fn exponentials(from: &[f32], most: f32, to: &mut [f32]) -> f32 {
    let (most, mut total) = (F4::splat(most), F4::splat(0.0));
    let ((to, to_rest), (from, from_rest)) = (to.as_chunks_mut::<4>(), from.as_chunks::<4>());
    for (to, from) in to.iter_mut().zip(from) {
        let power = math::exp(F4::load(from) - most);
        power.store(to);
        total = total + power;
    }
    if !to_rest.is_empty() {
        let power = math::exp(F4::load_partial(from_rest, f32::NEG_INFINITY) - most);
        power.store(to_rest);
        total = total + power;
    }
    total.sum()
}

fn multiply(row: &mut [f32], factor: f32) {
    let factor = F4::splat(factor);
    for part in row.chunks_mut(4) {
        (lanes(part, 0.0) * factor).store(part);
    }
}

fn logarithm(x: f32) -> f32 {
    math::log(F4::splat(x)).array()[0]
}

pub(crate) fn softmax(softmax: &Softmax, memory: &mut Memory) {
    let mut output = memory.take(softmax.output);
    let input = memory.get(softmax.input);
    let rows = output.chunks_exact_mut(softmax.width).zip(input.chunks_exact(softmax.width));
    for (number, (to, from)) in rows.enumerate() {
        let (to, masked) = to.split_at_mut(visible(number, softmax.width, softmax.causal));
        let from = &from[..to.len()];
        masked.fill(0.0);
        let most = largest(from);
        let total = exponentials(from, most, to);
        if softmax.log {
            let offset = F4::splat(most + logarithm(total));
            for (to, from) in to.chunks_mut(4).zip(from.chunks(4)) {
                (lanes(from, 0.0) - offset).store(to);
            }
        } else {
            multiply(to, 1.0 / total);
        }
    }
    memory.put(output);
}

pub(crate) fn softmax_backward(kernel: &SoftmaxBackward, memory: &mut Memory) {
    let mut result = memory.take(kernel.result);
    let (output, gradient) = (memory.get(kernel.output), memory.get(kernel.gradient));
    let width = kernel.width;
    let rows = output.chunks_exact(width).zip(gradient.chunks_exact(width));
    for (number, (to, (y, g))) in result.chunks_exact_mut(width).zip(rows).enumerate() {
        let (to, masked) = to.split_at_mut(visible(number, width, kernel.causal));
        masked.fill(0.0);
        let (y, g) = (&y[..to.len()], &g[..to.len()]);
        let mut total = F4::splat(0.0);
        for (y, g) in y.chunks(4).zip(g.chunks(4)) {
            let g = lanes(g, 0.0);
            total = total + if kernel.log { g } else { g * lanes(y, 0.0) };
        }
        let total = F4::splat(total.sum());
        for (to, (y, g)) in to.chunks_mut(4).zip(y.chunks(4).zip(g.chunks(4))) {
            let (y, g) = (lanes(y, 0.0), lanes(g, 0.0));
            let value = if kernel.log { g - math::exp(y) * total } else { y * (g - total) };
            value.store(to);
        }
    }
    memory.put(result);
}

#[expect(clippy::cast_possible_truncation, reason = "labels are whole numbers that the host has checked")]
#[expect(clippy::cast_sign_loss, reason = "as above")]
pub(crate) fn cross_entropy(
    kernel: &CrossEntropy,
    memory: &mut Memory,
    step: &StepValues,
    scratch: &mut Vec<f32>,
) {
    let mut losses = memory.take(kernel.losses);
    let mut gradient = kernel.gradient.map(|gradient| memory.take(gradient));
    let (logits, labels) = (memory.get(kernel.logits), memory.get(kernel.labels));
    let classes = kernel.classes;
    scratch.resize(classes, 0.0);
    for (row, (from, &label)) in logits.chunks_exact(classes).zip(labels).enumerate() {
        let to = match &mut gradient {
            Some(gradient) => &mut gradient[row * classes..(row + 1) * classes],
            None => scratch.as_mut_slice(),
        };
        if label < 0.0 {
            losses[row] = 0.0;
            to.fill(0.0);
            continue;
        }
        let label = label as usize;
        let most = largest(from);
        let total = exponentials(from, most, to);
        losses[row] = logarithm(total) - (from[label] - most);
        multiply(to, step.loss_scale / total);
        to[label] -= step.loss_scale;
    }
    memory.put(losses);
    if let Some(gradient) = gradient {
        memory.put(gradient);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "indices are whole numbers that the host has checked")]
#[expect(clippy::cast_sign_loss, reason = "as above")]
pub(crate) fn gather(kernel: &Gather, memory: &mut Memory) {
    let mut output = memory.take(kernel.output);
    let (table, indices) = (memory.get(kernel.table), memory.get(kernel.indices));
    for (to, &index) in output.chunks_exact_mut(kernel.width).zip(indices) {
        let start = index as usize * kernel.width;
        to.copy_from_slice(&table[start..start + kernel.width]);
    }
    memory.put(output);
}

#[expect(clippy::cast_possible_truncation, reason = "indices are whole numbers that the host has checked")]
#[expect(clippy::cast_sign_loss, reason = "as above")]
pub(crate) fn gather_backward(kernel: &GatherBackward, memory: &mut Memory) {
    let mut result = memory.take(kernel.result);
    result.fill(0.0);
    let (indices, gradient) = (memory.get(kernel.indices), memory.get(kernel.gradient));
    for (from, &index) in gradient.chunks_exact(kernel.width).zip(indices) {
        let start = index as usize * kernel.width;
        add(&mut result[start..start + kernel.width], from);
    }
    memory.put(result);
}

/// `to += from`.
pub(crate) fn add(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.chunks_mut(4).zip(from.chunks(4)) {
        (lanes(to, 0.0) + lanes(from, 0.0)).store(to);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "buffers are capped at 2^28 elements")]
pub(crate) fn dropout(kernel: &Dropout, memory: &mut Memory, step: &StepValues) {
    let mut output = memory.take(kernel.output);
    let input = memory.get(kernel.input);
    let key = stream_key(step.seed, kernel.stream);
    for (index, (to, from)) in output.iter_mut().zip(input).enumerate() {
        let kept = random_bits(key, index as u32) >> 8 >= kernel.threshold;
        *to = if kept { from * kernel.scale } else { 0.0 };
    }
    memory.put(output);
}

pub(crate) fn copy(kernel: &Copy, memory: &mut Memory) {
    let mut output = memory.take(kernel.output);
    let input = memory.get(kernel.input);
    let Some((&inner, outer)) = kernel.shape.split_last() else { return };
    let last = outer.len();
    let (from_step, to_step) = (kernel.input_strides[last], kernel.output_strides[last]);
    let mut index = vec![0; last];
    for _ in 0..outer.iter().product::<usize>() {
        let start = |offset: usize, strides: &[isize]| {
            let moved: isize =
                index.iter().zip(strides).map(|(at, stride): (&usize, _)| at.cast_signed() * stride).sum();
            offset.cast_signed() + moved
        };
        let mut from = start(kernel.input_offset, &kernel.input_strides);
        let mut to = start(kernel.output_offset, &kernel.output_strides);
        if from_step == 1 && to_step == 1 {
            let (from, to) = (from.cast_unsigned(), to.cast_unsigned());
            let (from, to) = (&input[from..from + inner], &mut output[to..to + inner]);
            if kernel.accumulate { add(to, from) } else { to.copy_from_slice(from) }
        } else {
            for _ in 0..inner {
                let value = input[from.cast_unsigned()];
                let place = &mut output[to.cast_unsigned()];
                *place = if kernel.accumulate { *place + value } else { value };
                from += from_step;
                to += to_step;
            }
        }
        advance(&mut index, outer);
    }
    memory.put(output);
}
