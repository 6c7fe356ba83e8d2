//! Kernels that work row by row: reductions, softmax, cross entropy, embeddings, dropout, copies.
//!
//! Sums along a row go into four lanes (element i into lane i mod 4) that are combined at the end, so their
//! order is the same on every machine.

use crate::map::advance;
use crate::math;
use crate::memory::Memory;
use crate::quads;
use crate::simd::F4;
use crate::threads::{Rows, Scratch, in_parts};
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
    quads::visit([row], 0.0, |[part]| total = total + part);
    total.sum()
}

fn largest(row: &[f32]) -> f32 {
    let mut most = F4::splat(f32::NEG_INFINITY);
    quads::visit([row], f32::NEG_INFINITY, |[part]| most = part.max(most));
    most.largest()
}

/// Multiply-adds that take as long as reading an element, or a few, in passing.
pub(crate) const PASS: usize = 8;
/// Multiply-adds that take as long as an exponential and what goes with it.
const POWER: usize = 24;

pub(crate) fn reduce(reduce: &Reduce, memory: &mut Memory, step: &StepValues) {
    let mut output = memory.take(reduce.output);
    let input = memory.get(reduce.input);
    let scale = if reduce.loss_scaled { reduce.scale * step.loss_scale } else { reduce.scale };
    let (length, inner) = (reduce.length, reduce.inner);
    let plane = length * inner;
    // A single matrix is split by its columns, others by matrices.
    let width = if output.len() == inner { inner.min(COLUMNS) } else { inner };
    in_parts(
        [Rows::new(&mut output, width)],
        PASS / 4 * length * width,
        &mut Scratch::default(),
        |first, [output], ()| {
            let columns = if width == inner { 0 } else { first * width };
            let first = if width == inner { first } else { 0 };
            for (outer, result) in output.chunks_mut(inner).enumerate() {
                let plane = &input[(first + outer) * plane..(first + outer + 1) * plane];
                if inner == 1 {
                    result[0] = match reduce.kind {
                        ReduceKind::Sum => sum(plane) * scale,
                        ReduceKind::Max => largest(plane),
                    };
                    continue;
                }
                match reduce.kind {
                    ReduceKind::Sum => combine_rows(&plane[columns..], inner, result, |a, b| a + b),
                    ReduceKind::Max => combine_rows(&plane[columns..], inner, result, |a, b| b.max(a)),
                }
                if reduce.kind == ReduceKind::Sum && scale != 1.0 {
                    result.iter_mut().for_each(|value| *value *= scale);
                }
            }
        },
    );
    memory.put(output);
}

/// Columns of a matrix that are combined together.
const COLUMNS: usize = 16;

/// Combines the first columns of a matrix's rows, `width` apart, into one row, some columns at a time, so that these stay
/// in registers.
fn combine_rows(matrix: &[f32], width: usize, result: &mut [f32], combine: impl Fn(F4, F4) -> F4) {
    let (wide, narrow) = result.as_chunks_mut::<16>();
    let start = wide.len() * 16;
    for (number, to) in wide.iter_mut().enumerate() {
        let mut rows = matrix[number * 16..].chunks(width).filter_map(|row| row.first_chunk::<16>());
        let Some(row) = rows.next() else { return };
        let mut parts = [F4::load(&row[..4]), F4::load(&row[4..]), F4::load(&row[8..]), F4::load(&row[12..])];
        for row in rows {
            parts[0] = combine(parts[0], F4::load(&row[..4]));
            parts[1] = combine(parts[1], F4::load(&row[4..]));
            parts[2] = combine(parts[2], F4::load(&row[8..]));
            parts[3] = combine(parts[3], F4::load(&row[12..]));
        }
        for (to, part) in to.chunks_exact_mut(4).zip(parts) {
            part.store(to);
        }
    }
    for (number, to) in narrow.chunks_mut(4).enumerate() {
        let rows = matrix[start + number * 4..].chunks(width).map(|row| lanes(&row[..to.len()], 0.0));
        if let Some(part) = rows.reduce(&combine) {
            part.store(to);
        }
    }
}

/// Columns of a row that are not masked.
fn visible(row: usize, width: usize, causal: usize) -> usize {
    if causal == 0 { width } else { (row % causal + 1 + width).saturating_sub(causal).min(width) }
}

/// `to = e^(from − largest)` for the first `count` elements, zeros up to the next multiple of four; the sum of it.
fn exponentials(from: &[f32], count: usize, most: f32, to: &mut [f32]) -> f32 {
    let (most, mut total) = (F4::splat(most), F4::splat(0.0));
    let exponential = math::Exponential::new();
    let whole = count / 4 * 4;
    quads::write(&mut to[..whole], [&from[..whole]], |[x]| {
        let power = exponential.at_not_positive(x - most);
        total = total + power;
        power
    });
    if whole < count {
        let rest = quads::first(&from[whole..], count - whole, f32::NEG_INFINITY);
        let power = exponential.at_not_positive(rest - most);
        power.store(&mut to[whole..]);
        total = total + power;
    }
    total.sum()
}

/// Largest of the first elements of a row.
fn largest_of(row: &[f32], count: usize) -> f32 {
    let whole = count / 4 * 4;
    let mut most = F4::splat(f32::NEG_INFINITY);
    quads::visit([&row[..whole]], 0.0, |[part]| most = part.max(most));
    if whole < count {
        most = quads::first(&row[whole..], count - whole, f32::NEG_INFINITY).max(most);
    }
    most.largest()
}

fn multiply(row: &mut [f32], factor: f32) {
    let factor = F4::splat(factor);
    let (quads, rest) = row.as_chunks_mut::<4>();
    for part in quads {
        (F4::load(part) * factor).store(part);
    }
    if !rest.is_empty() {
        (lanes(rest, 0.0) * factor).store(rest);
    }
}

fn logarithm(x: f32) -> f32 {
    math::log(F4::splat(x)).array()[0]
}

/// Elements of a row up to the next multiple of four.
fn covered(count: usize, width: usize) -> usize {
    count.next_multiple_of(4).min(width)
}

pub(crate) fn softmax(softmax: &Softmax, memory: &mut Memory) {
    let mut output = memory.take(softmax.output);
    let input = memory.get(softmax.input);
    let width = softmax.width;
    in_parts(
        [Rows::new(&mut output, width)],
        POWER * width,
        &mut Scratch::default(),
        |first, [output], ()| {
            let rows = output.chunks_exact_mut(width).zip(input[first * width..].chunks_exact(width));
            for (number, (to, from)) in rows.enumerate() {
                let count = visible(first + number, width, softmax.causal);
                let most = largest_of(from, count);
                let total = exponentials(from, count, most, to);
                let covered = covered(count, width);
                if softmax.log {
                    let offset = F4::splat(most + logarithm(total));
                    quads::write(&mut to[..covered], [&from[..covered]], |[x]| x - offset);
                } else {
                    multiply(&mut to[..covered], 1.0 / total);
                }
                to[count..].fill(0.0);
            }
        },
    );
    memory.put(output);
}

pub(crate) fn softmax_backward(kernel: &SoftmaxBackward, memory: &mut Memory) {
    let mut result = memory.take(kernel.result);
    let (output, gradient) = (memory.get(kernel.output), memory.get(kernel.gradient));
    let width = kernel.width;
    in_parts(
        [Rows::new(&mut result, width)],
        PASS * width,
        &mut Scratch::default(),
        |first, [result], ()| {
            let rows = output[first * width..]
                .chunks_exact(width)
                .zip(gradient[first * width..].chunks_exact(width));
            for (number, (to, (y, g))) in result.chunks_exact_mut(width).zip(rows).enumerate() {
                let count = visible(first + number, width, kernel.causal);
                let whole = count / 4 * 4;
                let part = |y: F4, g: F4| if kernel.log { g } else { g * y };
                let mut total = F4::splat(0.0);
                quads::visit([&y[..whole], &g[..whole]], 0.0, |[y, g]| total = total + part(y, g));
                // What is masked may be anything.
                let rest = |row: &[f32]| quads::first(&row[whole..], count - whole, 0.0);
                if whole < count {
                    total = total + part(rest(y), rest(g));
                }
                let total = F4::splat(total.sum());
                let value =
                    |y: F4, g: F4| if kernel.log { g - math::exp(y) * total } else { y * (g - total) };
                quads::write(&mut to[..whole], [&y[..whole], &g[..whole]], |[y, g]| value(y, g));
                if whole < count {
                    value(rest(y), rest(g)).store(&mut to[whole..]);
                }
                to[count..].fill(0.0);
            }
        },
    );
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
        let total = exponentials(from, classes, most, to);
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
    let (to, to_rest) = to.as_chunks_mut::<4>();
    let (from, from_rest) = from.as_chunks::<4>();
    for (to, from) in to.iter_mut().zip(from) {
        (F4::load(to) + F4::load(from)).store(to);
    }
    for (to, from) in to_rest.iter_mut().zip(from_rest) {
        *to += *from;
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
