//! Convolution without materialised patches.
//!
//! A sample is copied once into a bordered buffer (split into one plane per phase of the stride). Then the
//! vector of eight neighbouring outputs' inputs is contiguous for every element of the kernel: a product with
//! the weights as left factor, and a table of offsets in place of the right factor's rows.

use crate::gemm::{Finish, MR, Tile, activate, pack, rank_one};
use crate::memory::Memory;
use crate::simd::F4;
use crate::threads::{self, Rows, in_parts};
use lichen_model::program::{Convolution, Direction, Window};

/// Outputs side by side in a tile.
const WIDE: usize = 8;

/// Memory kept between convolutions.
#[derive(Default)]
pub(crate) struct Scratch {
    bordered: Vec<f32>,
    offsets: Vec<usize>,
    panels: Vec<f32>,
    gradient: Vec<f32>,
}

/// Runs a convolution kernel: forward and for the input's gradient samples are independent of each other, for the
/// weights' gradient outputs are (of whole groups, where there are several).
pub(crate) fn run(kernel: &Convolution, memory: &mut Memory, scratch: &mut threads::Scratch<Scratch>) {
    let window = &kernel.window;
    let (inputs, outputs) = per_group(window);
    let depth = inputs * plane(window.kernel);
    let cost = outputs * plane(window.output) * depth;
    let alone = if window.groups > 1 { outputs } else { TILE_OUT };
    let (buffer, width, cost) = match kernel.direction {
        Direction::Forward => (kernel.y, window.out_channels * plane(window.output), window.groups * cost),
        Direction::Input => (kernel.x, window.in_channels * plane(window.input), window.groups * cost),
        Direction::Weight => (kernel.w, alone * depth, cost / outputs * alone * window.batch),
    };
    let mut result = memory.take(buffer);
    in_parts([Rows::new(&mut result, width)], cost, scratch, |first, [result], scratch| {
        match kernel.direction {
            Direction::Forward => forward(kernel, memory, first, result, scratch),
            Direction::Input => input_gradient(kernel, memory, first, result, scratch),
            Direction::Weight => weight_gradient(kernel, memory, first * alone, result, scratch),
        }
    });
    memory.put(result);
}

/// A bordered copy of some planes: planes × phases × height × width.
#[derive(Clone, Copy)]
struct Bordered {
    phases: [usize; 2],
    height: usize,
    width: usize,
}

impl Bordered {
    fn plane(&self) -> usize {
        self.phases[0] * self.phases[1] * self.height * self.width
    }

    /// Elements for this many planes, with room for the last tile to read beyond.
    fn size(&self, planes: usize) -> usize {
        planes * self.plane() + WIDE
    }

    /// For the convolution's input side, which outputs read at a stride.
    fn of_input(window: &Window) -> Self {
        let [reach_h, reach_w] = reach(window);
        Self {
            phases: window.stride,
            height: window.output[0] + reach_h / window.stride[0],
            width: window.output[1].next_multiple_of(WIDE) + reach_w / window.stride[1],
        }
    }

    /// For the output side spread out by the stride, which inputs read one by one.
    fn of_output(window: &Window) -> Self {
        let [reach_h, reach_w] = reach(window);
        Self {
            phases: [1, 1],
            height: window.input[0] + reach_h,
            width: window.input[1].next_multiple_of(WIDE) + reach_w,
        }
    }

    /// Where row `y` of a plane starts, and its phase along the width.
    fn row(&self, plane: usize, y: usize, phase: usize) -> usize {
        let row = ((y % self.phases[0]) * self.phases[1] + phase) * self.height + y / self.phases[0];
        plane * self.plane() + row * self.width
    }

    /// Offset of element (y, x) of a plane.
    fn at(&self, plane: usize, y: usize, x: usize) -> usize {
        self.row(plane, y, x % self.phases[1]) + x / self.phases[1]
    }
}

/// How far the kernel's last element is from its first.
fn reach(window: &Window) -> [usize; 2] {
    [0, 1].map(|axis| (window.kernel[axis] - 1) * window.dilation[axis])
}

/// Copies planes of the input side behind their border.
fn border_input(window: &Window, bordered: Bordered, planes: &[f32], to: &mut [f32]) {
    let [height, width] = window.input;
    let [top, left] = window.padding;
    let phases = bordered.phases[1];
    for (plane, from) in planes.chunks_exact(height * width).enumerate() {
        for (y, row) in from.chunks_exact(width).enumerate() {
            if (y + top) / bordered.phases[0] >= bordered.height {
                break;
            }
            if phases == 1 {
                let start = bordered.at(plane, y + top, left);
                let room = (bordered.width.saturating_sub(left)).min(width);
                to[start..start + room].copy_from_slice(&row[..room]);
                continue;
            }
            for (x, value) in row.iter().enumerate() {
                if (x + left) / phases < bordered.width {
                    to[bordered.at(plane, y + top, x + left)] = *value;
                }
            }
        }
    }
}

/// Copies planes of the output side, spread out by the stride, to where the input side reads them.
fn border_output(window: &Window, bordered: Bordered, planes: &[f32], to: &mut [f32]) {
    let [height, width] = window.output;
    let shift = |axis: usize, position: usize, limit: usize| {
        (position * window.stride[axis] + reach(window)[axis])
            .checked_sub(window.padding[axis])
            .filter(|&at| at < limit)
    };
    for (plane, from) in planes.chunks_exact(height * width).enumerate() {
        for (y, row) in from.chunks_exact(width).enumerate() {
            let Some(y) = shift(0, y, bordered.height) else { continue };
            let start = bordered.row(plane, y, 0);
            match shift(1, 0, bordered.width) {
                Some(first) if window.stride[1] == 1 => {
                    let room = (bordered.width - first).min(width);
                    to[start + first..start + first + room].copy_from_slice(&row[..room]);
                }
                _ => {
                    for (x, value) in row.iter().enumerate() {
                        if let Some(x) = shift(1, x, bordered.width) {
                            to[start + x] = *value;
                        }
                    }
                }
            }
        }
    }
}

#[inline(never)]
fn cleared(buffer: &mut Vec<f32>, size: usize) -> &mut [f32] {
    buffer.clear();
    buffer.resize(size, 0.0);
    buffer
}

/// Channels of one group on both sides.
fn per_group(window: &Window) -> (usize, usize) {
    (window.in_channels / window.groups, window.out_channels / window.groups)
}

/// The outputs of the samples from `first` on.
fn forward(kernel: &Convolution, memory: &Memory, first: usize, y: &mut [f32], scratch: &mut Scratch) {
    let window = &kernel.window;
    let (inputs, outputs) = per_group(window);
    let taps = window.kernel[0] * window.kernel[1];
    let depth = inputs * taps;
    let (x, w) = (memory.get(kernel.x), memory.get(kernel.w));
    let bias = kernel.bias.map(|bias| memory.get(bias));
    let bordered = Bordered::of_input(window);
    scratch.offsets.clear();
    for channel in 0..inputs {
        for_taps(window, |h, v| {
            scratch.offsets.push(bordered.at(channel, h * window.dilation[0], v * window.dilation[1]));
        });
    }
    let (in_plane, out_plane) = (plane(window.input), plane(window.output));
    // The border stays zero from sample to sample.
    let buffer = cleared(&mut scratch.bordered, bordered.size(inputs));
    for group in 0..window.groups {
        let weights = &w[group * outputs * depth..(group + 1) * outputs * depth];
        let panels = cleared(&mut scratch.panels, outputs.next_multiple_of(MR) * depth);
        pack(panels, weights, [depth, 1], [outputs, depth], 0, MR);
        let bias = bias.map(|bias| &bias[group * outputs..(group + 1) * outputs]);
        let finish = Finish { row_bias: bias, activation: kernel.activation, ..Finish::PLAIN };
        for (sample, y) in y.chunks_exact_mut(window.out_channels * out_plane).enumerate() {
            let from = ((first + sample) * window.in_channels + group * inputs) * in_plane;
            border_input(window, bordered, &x[from..from + inputs * in_plane], buffer);
            let to = &mut y[group * outputs * out_plane..(group + 1) * outputs * out_plane];
            correlate(buffer, &scratch.offsets, bordered.width, panels, to, window.output, &finish);
        }
    }
}

/// The gradients by the inputs of the samples from `first` on.
fn input_gradient(kernel: &Convolution, memory: &Memory, first: usize, x: &mut [f32], scratch: &mut Scratch) {
    let window = &kernel.window;
    let (inputs, outputs) = per_group(window);
    let taps = window.kernel[0] * window.kernel[1];
    let depth = outputs * taps;
    let (y, w) = (memory.get(kernel.y), memory.get(kernel.w));
    let bias = kernel.bias.map(|bias| memory.get(bias));
    let bordered = Bordered::of_output(window);
    let [reach_h, reach_w] = reach(window);
    scratch.offsets.clear();
    for channel in 0..outputs {
        for_taps(window, |h, v| {
            let (y, x) = (reach_h - h * window.dilation[0], reach_w - v * window.dilation[1]);
            scratch.offsets.push(bordered.at(channel, y, x));
        });
    }
    let (in_plane, out_plane) = (plane(window.input), plane(window.output));
    let buffer = cleared(&mut scratch.bordered, bordered.size(outputs));
    for group in 0..window.groups {
        let weights = &w[group * outputs * inputs * taps..(group + 1) * outputs * inputs * taps];
        let panels = cleared(&mut scratch.panels, inputs.next_multiple_of(MR) * depth);
        for (row, panel) in panels.chunks_exact_mut(MR * depth).enumerate() {
            for (at, to) in panel.chunks_exact_mut(MR).enumerate() {
                let (output, tap) = (at / taps, at % taps);
                for (lane, to) in to.iter_mut().enumerate().take(inputs - row * MR) {
                    *to = weights[(output * inputs + row * MR + lane) * taps + tap];
                }
            }
        }
        let bias = bias.map(|bias| &bias[group * inputs..(group + 1) * inputs]);
        let finish = Finish { row_bias: bias, activation: kernel.activation, ..Finish::PLAIN };
        for (sample, x) in x.chunks_exact_mut(window.in_channels * in_plane).enumerate() {
            let from = ((first + sample) * window.out_channels + group * outputs) * out_plane;
            border_output(window, bordered, &y[from..from + outputs * out_plane], buffer);
            let to = &mut x[group * inputs * in_plane..(group + 1) * inputs * in_plane];
            correlate(buffer, &scratch.offsets, bordered.width, panels, to, window.input, &finish);
        }
    }
}

fn plane(extents: [usize; 2]) -> usize {
    extents[0] * extents[1]
}

fn for_taps(window: &Window, mut visit: impl FnMut(usize, usize)) {
    for h in 0..window.kernel[0] {
        for v in 0..window.kernel[1] {
            visit(h, v);
        }
    }
}

/// `to[r, y, x] = finish(Σ over i of panels[r, i] · buffer[offsets[i] + y width + x])`.
fn correlate(
    buffer: &[f32],
    offsets: &[usize],
    width: usize,
    panels: &[f32],
    to: &mut [f32],
    extents: [usize; 2],
    finish: &Finish<'_>,
) {
    let size = plane(extents);
    for (number, (panel, planes)) in
        panels.chunks_exact(MR * offsets.len()).zip(to.chunks_mut(MR * size)).enumerate()
    {
        for y in 0..extents[0] {
            for x in (0..extents[1]).step_by(WIDE) {
                let tile = tile(&buffer[y * width + x..], offsets, panel);
                let wide = WIDE.min(extents[1] - x);
                for (row, (plane, sums)) in planes.chunks_exact_mut(size).zip(tile).enumerate() {
                    let start = y * extents[1] + x;
                    let offset = F4::splat(finish.row_bias.map_or(0.0, |bias| bias[number * MR + row]));
                    for (to, sum) in plane[start..start + wide].chunks_mut(4).zip(sums) {
                        activate(sum + offset, finish.activation).store(to);
                    }
                }
            }
        }
    }
}

// Not inlined: a caller that walks through the tile would keep it in memory during the loop.
#[inline(never)]
fn tile(buffer: &[f32], offsets: &[usize], panel: &[f32]) -> Tile {
    let mut tile = [[F4::splat(0.0); 2]; MR];
    for (&offset, weights) in offsets.iter().zip(panel.chunks_exact(MR)) {
        let part = &buffer[offset..offset + WIDE];
        let (low, high) = (F4::load(&part[..4]), F4::load(&part[4..]));
        rank_one!(tile, weights, low, high, 0, 1, 2, 3);
    }
    tile
}

/// Outputs and taps of a tile of the weight's gradient.
const TILE_OUT: usize = 2;
const TILE_TAPS: usize = 4;

/// The gradients by the weights of the outputs from `first` on, which are within one group or whole groups. Sums over
/// positions go into four lanes (position along the width mod 4) per sample; samples are added in order.
fn weight_gradient(
    kernel: &Convolution,
    memory: &Memory,
    first: usize,
    w: &mut [f32],
    scratch: &mut Scratch,
) {
    let window = &kernel.window;
    let (inputs, outputs) = per_group(window);
    let taps = window.kernel[0] * window.kernel[1];
    let depth = inputs * taps;
    w.fill(0.0);
    let (x, y) = (memory.get(kernel.x), memory.get(kernel.y));
    let bordered = Bordered::of_input(window);
    scratch.offsets.clear();
    for channel in 0..inputs {
        for_taps(window, |h, v| {
            scratch.offsets.push(bordered.at(channel, h * window.dilation[0], v * window.dilation[1]));
        });
    }
    let (in_plane, out_plane) = (plane(window.input), plane(window.output));
    let pitch = window.output[1].next_multiple_of(4);
    let buffer = cleared(&mut scratch.bordered, bordered.size(inputs));
    let gradient = cleared(&mut scratch.gradient, outputs.min(w.len() / depth) * window.output[0] * pitch);
    for (part, w) in w.chunks_mut(outputs * depth).enumerate() {
        let (group, here) = (first / outputs + part, w.len() / depth);
        for sample in 0..window.batch {
            let from = (sample * window.in_channels + group * inputs) * in_plane;
            border_input(window, bordered, &x[from..from + inputs * in_plane], buffer);
            let from = (sample * window.out_channels + part * outputs + first) * out_plane;
            let rows = y[from..from + here * out_plane].chunks_exact(window.output[1]);
            for (to, from) in gradient.chunks_exact_mut(pitch).zip(rows) {
                to[..from.len()].copy_from_slice(from);
            }
            let sides = Sides { gradient, buffer, pitch, width: bordered.width, rows: window.output[0] };
            sides.accumulate(&scratch.offsets, w, here);
        }
    }
}

struct Sides<'a> {
    gradient: &'a [f32],
    buffer: &'a [f32],
    pitch: usize,
    width: usize,
    rows: usize,
}

impl Sides<'_> {
    fn accumulate(&self, offsets: &[usize], w: &mut [f32], outputs: usize) {
        let depth = offsets.len();
        let size = self.rows * self.pitch;
        for output in (0..outputs).step_by(TILE_OUT) {
            // A tile at the edge repeats its last row or tap and throws the repetition away.
            let planes = [0, 1].map(|next| {
                let output = (output + next).min(outputs - 1);
                &self.gradient[output * size..(output + 1) * size]
            });
            for tap in (0..depth).step_by(TILE_TAPS) {
                let starts = [0, 1, 2, 3].map(|next| offsets[(tap + next).min(depth - 1)]);
                let sums = self.tile(planes, starts);
                for (next, sums) in sums.iter().enumerate().take(outputs - output) {
                    let row = &mut w[(output + next) * depth + tap..(output + next + 1) * depth];
                    for (to, sum) in row.iter_mut().zip(sums) {
                        *to += sum.sum();
                    }
                }
            }
        }
    }

    #[inline(never)]
    fn tile(&self, planes: [&[f32]; TILE_OUT], starts: [usize; TILE_TAPS]) -> [[F4; TILE_TAPS]; TILE_OUT] {
        let mut sums = [[F4::splat(0.0); TILE_TAPS]; TILE_OUT];
        let rows = planes[0].chunks_exact(self.pitch).zip(planes[1].chunks_exact(self.pitch));
        for (y, (first, second)) in rows.enumerate() {
            let taps = starts.map(|start| {
                let start = start + y * self.width;
                &self.buffer[start..start + self.pitch]
            });
            let positions = first.chunks_exact(4).zip(second.chunks_exact(4));
            let [a, b, c, d] = taps.map(|tap| tap.chunks_exact(4));
            for ((((first, second), a), (b, c)), d) in positions.zip(a).zip(b.zip(c)).zip(d) {
                let (first, second) = (F4::load(first), F4::load(second));
                let x = [F4::load(a), F4::load(b), F4::load(c), F4::load(d)];
                sums[0][0] = sums[0][0] + first * x[0];
                sums[1][0] = sums[1][0] + second * x[0];
                sums[0][1] = sums[0][1] + first * x[1];
                sums[1][1] = sums[1][1] + second * x[1];
                sums[0][2] = sums[0][2] + first * x[2];
                sums[1][2] = sums[1][2] + second * x[2];
                sums[0][3] = sums[0][3] + first * x[3];
                sums[1][3] = sums[1][3] + second * x[3];
            }
        }
        sums
    }
}
