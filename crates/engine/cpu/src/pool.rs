//! Pools and their gradients.

use crate::memory::Memory;
use crate::rows::PASS;
use crate::simd::F4;
use crate::threads::{Rows, Scratch, in_parts};
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
fn share(rows: &Range<usize>, columns: &Range<usize>) -> f32 {
    1.0 / (rows.len() * columns.len()).max(1) as f32
}

pub(crate) fn pool(kernel: &Pool, memory: &mut Memory) {
    let window = &kernel.window;
    let mut output = memory.take(kernel.output);
    let input = memory.get(kernel.input);
    let width = window.input[1];
    let (in_plane, out_plane) = (window.input[0] * width, window.output[0] * window.output[1]);
    in_parts(
        [Rows::new(&mut output, out_plane)],
        PASS * in_plane,
        &mut Scratch::default(),
        |first, [output], ()| {
            for (to, from) in
                output.chunks_exact_mut(out_plane).zip(input[first * in_plane..].chunks_exact(in_plane))
            {
                if is_pairs(kernel.kind, window) {
                    largest_of_pairs(window, from, to);
                    continue;
                }
                windows(window, |at, rows, columns| {
                    let cells =
                        rows.clone().flat_map(|y| &from[y * width + columns.start..y * width + columns.end]);
                    to[at] = match kernel.kind {
                        PoolKind::Max => {
                            cells.fold(f32::NEG_INFINITY, |most, &x| if x > most { x } else { most })
                        }
                        PoolKind::Average => cells.sum::<f32>() * share(&rows, &columns),
                    };
                });
            }
        },
    );
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
        for at in fours(to.len()) {
            let larger = |[a, b]: [F4; 2]| F4::select(b.gt(a), b, a);
            let [top, bottom] = [top, bottom].map(|row| larger(halves(&row[2 * at..2 * at + 8])));
            larger([top, bottom]).store_in_loop(&mut to[at..]);
        }
        for at in rest(to.len()) {
            let [top, bottom] = [top, bottom].map(|row| larger(row[2 * at], row[2 * at + 1]));
            to[at] = larger(top, bottom);
        }
    }
}

pub(crate) fn pool_backward(kernel: &PoolBackward, memory: &mut Memory) {
    let window = &kernel.window;
    let mut result = memory.take(kernel.result);
    let (input, output, gradient) =
        (memory.get(kernel.input), memory.get(kernel.output), memory.get(kernel.gradient));
    let width = window.input[1];
    let (in_plane, out_plane) = (window.input[0] * width, window.output[0] * window.output[1]);
    in_parts(
        [Rows::new(&mut result, in_plane)],
        PASS * in_plane,
        &mut Scratch::default(),
        |first, [result], ()| {
            result.fill(0.0);
            for (number, to) in result.chunks_exact_mut(in_plane).enumerate() {
                let number = first + number;
                let gradient = &gradient[number * out_plane..(number + 1) * out_plane];
                if kernel.kind != PoolKind::Max {
                    windows(window, |at, rows, columns| {
                        let part = gradient[at] * share(&rows, &columns);
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
        },
    );
    memory.put(result);
}

/// The first of four cells that is as large as the largest gets the gradient, the others nothing.
fn gradient_of_pairs(window: &Window, from: &[f32], most: &[f32], gradient: &[f32], to: &mut [f32]) {
    let width = window.input[1];
    let cells = from.chunks_exact(2 * width).zip(to.chunks_exact_mut(2 * width));
    let results = most.chunks_exact(window.output[1]).zip(gradient.chunks_exact(window.output[1]));
    for ((from, to), (most, gradient)) in cells.zip(results) {
        let ((top, bottom), (to_top, to_bottom)) = (from.split_at(width), to.split_at_mut(width));
        for at in fours(most.len()) {
            let pairs = 2 * at..2 * at + 8;
            let (most, gradient) = (F4::load(&most[at..]), F4::load(&gradient[at..]));
            let [first, second] = halves(&top[pairs.clone()]).map(|cell| cell.equals(most));
            let [third, _] = halves(&bottom[pairs.clone()]).map(|cell| cell.equals(most));
            let none = F4::splat(0.0);
            let before_third = first.or(second);
            let before_fourth = before_third.or(third);
            let top = [first.and(gradient), F4::select(first, none, second.and(gradient))];
            let third = F4::select(before_third, none, third.and(gradient));
            let bottom = [third, F4::select(before_fourth, none, gradient)];
            for (to, [even, odd]) in [(&mut *to_top, top), (&mut *to_bottom, bottom)] {
                let [low, high] = even.zip(odd);
                low.store_in_loop(&mut to[pairs.start..]);
                high.store_in_loop(&mut to[pairs.start + 4..]);
            }
        }
        for at in rest(most.len()) {
            let (top, bottom) = (&top[2 * at..2 * at + 2], &bottom[2 * at..2 * at + 2]);
            #[expect(clippy::float_cmp, reason = "the largest is one of them to the bit")]
            let cells = [top[0] == most[at], top[1] == most[at], bottom[0] == most[at]];
            let hit = cells.iter().position(|&is_largest| is_largest).unwrap_or(3);
            let give = |cell| if cell == hit { gradient[at] } else { 0.0 };
            to_top[2 * at..2 * at + 2].copy_from_slice(&[give(0), give(1)]);
            to_bottom[2 * at..2 * at + 2].copy_from_slice(&[give(2), give(3)]);
        }
    }
}

/// Where four results at once begin that together are all; the last four may overlap those before them. None where
/// there are less than four.
fn fours(count: usize) -> impl Iterator<Item = usize> {
    let whole = (0..count / 4).map(|four| 4 * four);
    whole.chain((count > 4 && !count.is_multiple_of(4)).then(|| count - 4))
}

/// The results that [`fours`] leaves out.
fn rest(count: usize) -> Range<usize> {
    0..if count < 4 { count } else { 0 }
}

/// Eight neighbours by even and odd places.
#[inline(always)]
fn halves(cells: &[f32]) -> [F4; 2] {
    F4::load(&cells[..4]).unzip(F4::load(&cells[4..]))
}
