//! Pools and their gradients.

use super::memory::Memory;
use lichen_model::program::{Pool, PoolBackward, PoolKind, Window};
use std::ops::Range;

/// Positions of an axis that a window covers inside the input.
fn covered(window: &Window, axis: usize, output: usize) -> Range<usize> {
    let start = output * window.stride[axis];
    let end = (start + window.kernel[axis]).saturating_sub(window.padding[axis]).min(window.input[axis]);
    start.saturating_sub(window.padding[axis])..end
}

/// Calls `visit` with the number of every output of a plane and the rows and columns it covers.
fn windows(window: &Window, mut visit: impl FnMut(usize, Range<usize>, Range<usize>)) {
    for y in 0..window.output[0] {
        let rows = covered(window, 0, y);
        for x in 0..window.output[1] {
            visit(y * window.output[1] + x, rows.clone(), covered(window, 1, x));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "windows are small")]
fn share(kind: PoolKind, window: &Window, rows: &Range<usize>, columns: &Range<usize>) -> f32 {
    let count = match kind {
        PoolKind::AverageIncludingPadding => window.kernel[0] * window.kernel[1],
        _ => rows.len() * columns.len(),
    };
    1.0 / count.max(1) as f32
}

pub(crate) fn pool(kernel: &Pool, memory: &mut Memory) {
    let window = &kernel.window;
    let mut output = memory.take(kernel.output);
    let input = memory.get(kernel.input);
    let width = window.input[1];
    let (in_plane, out_plane) = (window.input[0] * width, window.output[0] * window.output[1]);
    for (to, from) in output.chunks_exact_mut(out_plane).zip(input.chunks_exact(in_plane)) {
        if is_pairs(kernel.kind, window) {
            largest_of_pairs(window, from, to);
            continue;
        }
        windows(window, |at, rows, columns| {
            let cells = rows.clone().flat_map(|y| &from[y * width + columns.start..y * width + columns.end]);
            to[at] = match kernel.kind {
                PoolKind::Max => cells.fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most }),
                _ => cells.sum::<f32>() * share(kernel.kind, window, &rows, &columns),
            };
        });
    }
    memory.put(output);
}

/// Whether this is the most frequent pool of all: 2 by 2, side by side, nothing left over.
fn is_pairs(kind: PoolKind, window: &Window) -> bool {
    kind == PoolKind::Max
        && window.kernel == [2, 2]
        && window.stride == [2, 2]
        && window.padding == [0, 0]
        && window.input[1] == 2 * window.output[1]
}

fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

fn largest_of_pairs(window: &Window, from: &[f32], to: &mut [f32]) {
    let rows = from.chunks_exact(2 * window.input[1]).zip(to.chunks_exact_mut(window.output[1]));
    for (rows, to) in rows {
        let (top, bottom) = rows.split_at(window.input[1]);
        for ((to, top), bottom) in to.iter_mut().zip(top.chunks_exact(2)).zip(bottom.chunks_exact(2)) {
            *to = larger(larger(top[0], top[1]), larger(bottom[0], bottom[1]));
        }
    }
}

pub(crate) fn pool_backward(kernel: &PoolBackward, memory: &mut Memory) {
    let window = &kernel.window;
    let mut result = memory.take(kernel.result);
    result.fill(0.0);
    let (input, output, gradient) =
        (memory.get(kernel.input), memory.get(kernel.output), memory.get(kernel.gradient));
    let width = window.input[1];
    let (in_plane, out_plane) = (window.input[0] * width, window.output[0] * window.output[1]);
    for (number, to) in result.chunks_exact_mut(in_plane).enumerate() {
        let gradient = &gradient[number * out_plane..(number + 1) * out_plane];
        if kernel.kind != PoolKind::Max {
            windows(window, |at, rows, columns| {
                let part = gradient[at] * share(kernel.kind, window, &rows, &columns);
                for y in rows {
                    to[y * width + columns.start..y * width + columns.end]
                        .iter_mut()
                        .for_each(|x| *x += part);
                }
            });
            continue;
        }
        let from = &input[number * in_plane..(number + 1) * in_plane];
        let most = &output[number * out_plane..(number + 1) * out_plane];
        if is_pairs(kernel.kind, window) {
            gradient_of_pairs(window, from, most, gradient, to);
            continue;
        }
        windows(window, |at, rows, columns| {
            for y in rows {
                let row = &from[y * width + columns.start..y * width + columns.end];
                #[expect(clippy::float_cmp, reason = "the largest is one of them to the bit")]
                if let Some(x) = row.iter().position(|&x| x == most[at]) {
                    to[y * width + columns.start + x] += gradient[at];
                    return;
                }
            }
        });
    }
    memory.put(result);
}

/// The first of four cells that is as large as the largest gets the gradient, the others nothing.
#[expect(clippy::float_cmp, reason = "the largest is one of them to the bit")]
fn gradient_of_pairs(window: &Window, from: &[f32], most: &[f32], gradient: &[f32], to: &mut [f32]) {
    let width = window.input[1];
    let cells = from.chunks_exact(2 * width).zip(to.chunks_exact_mut(2 * width));
    let results = most.chunks_exact(window.output[1]).zip(gradient.chunks_exact(window.output[1]));
    for ((from, to), (most, gradient)) in cells.zip(results) {
        let ((top, bottom), (to_top, to_bottom)) = (from.split_at(width), to.split_at_mut(width));
        let inputs = top.chunks_exact(2).zip(bottom.chunks_exact(2));
        let places = to_top.chunks_exact_mut(2).zip(to_bottom.chunks_exact_mut(2));
        for (((top, bottom), (to_top, to_bottom)), (&most, &gradient)) in
            inputs.zip(places).zip(most.iter().zip(gradient))
        {
            let first = top[0] == most;
            let second = !first & (top[1] == most);
            let third = !first & !second & (bottom[0] == most);
            let fourth = !first & !second & !third;
            to_top[0] = if first { gradient } else { 0.0 };
            to_top[1] = if second { gradient } else { 0.0 };
            to_bottom[0] = if third { gradient } else { 0.0 };
            to_bottom[1] = if fourth { gradient } else { 0.0 };
        }
    }
}
