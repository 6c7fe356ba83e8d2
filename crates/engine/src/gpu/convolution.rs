//! Direct convolution: every thread keeps a tile of neighbouring outputs for several channels in registers, so that each
//! input and each weight it loads is used many times. Nothing is unfolded in memory.

use lichen_model::program::{Convolution, Direction, Window};

use super::device::SOFTWARE_WIDTH;
use super::epilogue::{by_slope, expression};
use super::launch::{Launch, Operand, Signature, elements, word};
use super::text::{fill, filled, wgsl};

/// The part that convolutions and their weights' gradients have in common.
const TILES: &str = wgsl!("convolution_tiles");
/// Kernel widths up to this are unrolled, so that neighbouring outputs share their inputs.
const WIDEST_UNROLLED: u32 = 7;
/// Outputs along the last axis per thread, at most.
const MOST_OUTPUTS: usize = 8;

/// Adds the launches of a convolution or of one of its gradients; `width` is how many threads keep the adapter busy.
pub(super) fn lower(launches: &mut Vec<Launch>, convolution: &Convolution, width: u32) {
    match convolution.direction {
        Direction::Forward => launches.push(correlate(convolution)),
        Direction::Input if convolution.window.stride == [1, 1] => {
            launches.push(correlate(&turned(convolution)));
        }
        Direction::Input => launches.push(scatter(convolution)),
        Direction::Weight => weight_gradient(launches, convolution, width),
    }
}

/// The gradient by the input of a convolution with stride 1 is a convolution of the outputs with the kernel turned
/// around. `direction` stays `Input`, which is how the weights' places are told apart.
fn turned(convolution: &Convolution) -> Convolution {
    let window = &convolution.window;
    let before =
        |dilation: usize, kernel: usize, padding: usize| (dilation * (kernel - 1)).wrapping_sub(padding);
    let padding = [
        before(window.dilation[0], window.kernel[0], window.padding[0]),
        before(window.dilation[1], window.kernel[1], window.padding[1]),
    ];
    Convolution {
        window: Window {
            in_channels: window.out_channels,
            out_channels: window.in_channels,
            input: window.output,
            output: window.input,
            padding,
            ..*window
        },
        x: convolution.y,
        y: convolution.x,
        ..convolution.clone()
    }
}

/// Extents of both axes, as the fields are called from `height` to `dilation_x`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a turned kernel's padding may be negative, and wraps around"
)]
pub(super) fn spatial(window: &Window) -> Vec<u32> {
    let Window { input, output, kernel, stride, padding, dilation, .. } = *window;
    let extents = [input, output, kernel, stride, padding, dilation];
    extents.as_flattened().iter().map(|&extent| extent as u32).collect()
}

const CORRELATE: Signature<'_> = Signature {
    name: "convolution",
    fields: "threads columns rows channel_tiles groups group_in group_out out_stride in_stride group_stride first_row \
             first_tap tap_step biased slope height width out_height out_width kernel_height kernel_width stride_y \
             stride_x padding_y padding_x dilation_y dilation_x",
    arrays: "x w bias -> y",
};

/// `y = activation(x ⋆ w + bias)`.
fn correlate(convolution: &Convolution) -> Launch {
    let window = &convolution.window;
    let &Window { batch, in_channels, out_channels, output, kernel, stride, dilation, groups, .. } = window;
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let vectors = if group_out > 4 { 2 } else { 1 };
    let pixels = outputs_per_thread(output[1]);
    let turned = convolution.direction == Direction::Input;
    let positions = kernel[0] * kernel[1];
    // Turned around, the weight's first axis is the channel read.
    let (out_stride, in_stride) =
        if turned { (positions, group_out * positions) } else { (group_in * positions, positions) };
    let group_stride = group_in * group_out * positions;
    let columns = output[1].div_ceil(pixels);
    let channel_tiles = group_out.div_ceil(4 * vectors);
    let threads = word(batch * groups * channel_tiles * output[0] * columns);
    // Something is bound as bias in any case: one text to compile instead of two.
    let bias = convolution.bias.unwrap_or(convolution.w);
    let operands = [convolution.x, convolution.w, bias, convolution.y].map(Operand::from);
    let exact = output[1].is_multiple_of(pixels);
    let [pixels, vectors, stride, dilation, kernel_width] =
        [pixels, vectors, stride[1], dilation[1], kernel[1]].map(word);
    let tile = Tile { pixels, vectors, stride, dilation, kernel: kernel_width, exact };
    let (slope, activation) = by_slope(convolution.activation);
    let body = tile.correlate(&expression(activation));
    // Turned around, the kernel's last position comes first.
    let (first, step) = if turned { ([kernel[0] - 1, kernel[1] - 1], u32::MAX) } else { ([0, 0], 1) };
    let counts = [columns, output[0], channel_tiles, groups, group_in, group_out];
    let [columns, rows, channel_tiles, groups, group_in, group_out] = counts.map(word);
    let strides = [out_stride, in_stride, group_stride, first[0], first[1]];
    let [out_stride, in_stride, group_stride, first_row, first_tap] = strides.map(word);
    let dims = [
        threads,
        columns,
        rows,
        channel_tiles,
        groups,
        group_in,
        group_out,
        out_stride,
        in_stride,
        group_stride,
        first_row,
        first_tap,
        step,
        u32::from(convolution.bias.is_some()),
        slope.to_bits(),
    ];
    CORRELATE.launch(
        &[TILES, &body],
        &[dims.as_slice(), &spatial(window)].concat(),
        &operands,
        elements(threads),
    )
}

/// Fewest wasted outputs, then the most per thread.
fn outputs_per_thread(extent: usize) -> usize {
    let waste = |pixels: usize| extent.div_ceil(pixels) * pixels - extent;
    (4..=MOST_OUTPUTS).rev().min_by_key(|&pixels| waste(pixels)).unwrap_or(MOST_OUTPUTS)
}

/// What a thread computes: outputs along the last axis, for `4 · vectors` channels.
struct Tile {
    pixels: u32,
    vectors: u32,
    stride: u32,
    dilation: u32,
    kernel: u32,
    /// Whether the outputs are a whole number of tiles.
    exact: bool,
}

impl Tile {
    fn correlate(&self, activation: &str) -> String {
        let (mut start, mut sums) = (String::new(), String::new());
        // Where each channel's weights start; channels over the edge repeat the last one.
        for i in 0..4 * self.vectors {
            let line = "let w$a_ = w0 + min(channel + $au, dims.group_out - 1u) * dims.out_stride;\n";
            fill(&mut start, line, &[i], &[]);
        }
        self.each(&mut start, "var c$a_$b = vec4f();\n");
        self.each(&mut sums, "c$a_$b, ");
        let inner = if self.kernel <= WIDEST_UNROLLED { self.unrolled() } else { self.rolled() };
        let numbers = [self.pixels, 4 * self.vectors, self.pixels * self.vectors];
        filled(wgsl!("convolution"), &numbers, &[&start, &inner, &sums, activation])
    }

    /// All positions along the kernel's row: each input is loaded once and used by all outputs that see it.
    fn unrolled(&self) -> String {
        let mut loaded = Vec::new();
        let mut text = String::new();
        for k in 0..self.kernel {
            for p in 0..self.pixels {
                self.load(&mut text, &mut loaded, p, k);
            }
            fill(&mut text, "let k$a = k + $au * dims.tap_step;\n", &[k], &[]);
            self.weights(&mut text, k, "k$a");
            for p in 0..self.pixels {
                for v in 0..self.vectors {
                    let numbers = [p, v, self.input(p, k), k];
                    fill(&mut text, "c$a_$b += x$c * w$d_$b;\n", &numbers, &[]);
                }
            }
        }
        text
    }

    /// One position of a wide kernel after the other.
    fn rolled(&self) -> String {
        let mut text = String::from("for (var kx = 0u; kx < dims.kernel_width; kx++) {\n");
        self.weights(&mut text, 0, "k + kx * dims.tap_step");
        for p in 0..self.pixels {
            let line = "let x$a = load(line, left + i32($au * dims.stride_x + kx * dims.dilation_x));\n";
            fill(&mut text, line, &[p], &[]);
        }
        self.each(&mut text, "c$a_$b += x$a * w0_$b;\n");
        text + "}\n"
    }

    /// Which input, from the tile's first on, output `p` sees at position `k` of the kernel's row.
    fn input(&self, p: u32, k: u32) -> u32 {
        p * self.stride + k * self.dilation
    }

    /// Loads that input unless it is loaded already.
    fn load(&self, text: &mut String, loaded: &mut Vec<u32>, p: u32, k: u32) {
        let input = self.input(p, k);
        if !loaded.contains(&input) {
            loaded.push(input);
            fill(text, "let x$a = load(line, left + $a);\n", &[input], &[]);
        }
    }

    /// Loads the weights of all channels that lie at `at`, where `$a` is `k`.
    fn weights(&self, text: &mut String, k: u32, at: &str) {
        let at = filled(at, &[k], &[]);
        for v in 0..self.vectors {
            let i = 4 * v;
            let line = "let w$a_$b = vec4f(w[w$c_ + $A], w[w$d_ + $A], w[w$e_ + $A], w[w$f_ + $A]);\n";
            fill(text, line, &[k, v, i, i + 1, i + 2, i + 3], &[&at]);
        }
    }

    /// A line for each output `$a` and each vector of channels `$b`.
    fn each(&self, text: &mut String, line: &str) {
        for p in 0..self.pixels {
            for v in 0..self.vectors {
                fill(text, line, &[p, v], &[]);
            }
        }
    }
}

const SCATTER: Signature<'_> = Signature {
    name: "convolution input",
    fields: "count group_in group_out groups height width out_height out_width kernel_height kernel_width stride_y \
             stride_x padding_y padding_x dilation_y dilation_x",
    arrays: "y w bias -> x",
};

/// The gradient by the input for strides above 1: every input gathers from the outputs that saw it.
fn scatter(convolution: &Convolution) -> Launch {
    let window = &convolution.window;
    let &Window { batch, in_channels, out_channels, input, groups, .. } = window;
    let count = word(batch * in_channels * input[0] * input[1]);
    let operands =
        [convolution.y.into(), convolution.w.into(), convolution.bias.into(), convolution.x.into()];
    let bias = if convolution.bias.is_some() { "bias[group * dims.group_in + c]" } else { "0.0" };
    let body = filled(wgsl!("convolution_input"), &[], &[bias, &expression(convolution.activation)]);
    let dims = [count, word(in_channels / groups), word(out_channels / groups), word(groups)];
    SCATTER.launch(&[&body], &[dims.as_slice(), &spatial(window)].concat(), &operands, elements(count))
}

const WEIGHT: Signature<'_> = Signature {
    name: "convolution weight",
    fields: "kernel_tiles rows rows_per_slice weights channel_tiles tiles threads group_in group_out groups height \
             width out_height out_width kernel_height kernel_width stride_y stride_x padding_y padding_x dilation_y \
             dilation_x",
    arrays: "x y -> w",
};
const SUM_SLICES: Signature<'_> =
    Signature { name: "sum slices", fields: "count slices", arrays: "partials -> output" };

/// The gradient by the weight: each thread sums one row of the kernel for four output channels and one input channel
/// over a slice of all output rows; a second kernel sums the slices. (Two input channels share more loads, but took
/// SwiftShader four seconds to compile.)
fn weight_gradient(launches: &mut Vec<Launch>, convolution: &Convolution, width: u32) {
    let window = &convolution.window;
    let &Window { batch, in_channels, out_channels, output, kernel, stride, dilation, groups, .. } = window;
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let unrolled = word(kernel[1]) <= WIDEST_UNROLLED;
    let kernel_tiles = if unrolled { 1 } else { kernel[1] };
    let tiles = groups * group_out.div_ceil(4) * group_in * kernel[0] * kernel_tiles;
    let rows = batch * output[0];
    // At least a few workgroups, even where few threads keep the adapter busy.
    let slices = (width.max(512) as usize / tiles.max(1)).clamp(1, rows.max(1)).min(64);
    let weights = out_channels * group_in * kernel[0] * kernel[1];
    let target = if slices == 1 { convolution.w.into() } else { Operand::Scratch(word(weights * slices)) };
    // A program gains nothing from large tiles, but compiles them for long.
    let pixels = if width == SOFTWARE_WIDTH { 2 } else { outputs_per_thread(output[1]) };
    let exact = output[1].is_multiple_of(pixels);
    let taps = if unrolled { kernel[1] } else { 1 };
    let [pixels, stride, dilation, taps] = [pixels, stride[1], dilation[1], taps].map(word);
    let tile = Tile { pixels, vectors: 1, stride, dilation, kernel: taps, exact };
    let counts = [kernel_tiles, rows, rows.div_ceil(slices), weights, group_out.div_ceil(4), tiles];
    let counts = counts.map(word);
    let channels = [tiles * slices, group_in, group_out, groups].map(word);
    let dims = [counts.as_slice(), &channels, &spatial(window)].concat();
    let operands = [convolution.x.into(), convolution.y.into(), target];
    let grid = elements(word(tiles * slices));
    launches.push(WEIGHT.launch(&[TILES, &tile.weight_gradient()], &dims, &operands, grid));
    if slices > 1 {
        let weights = word(weights);
        let operands = [target, convolution.w.into()];
        let dims = [weights, word(slices)];
        launches.push(SUM_SLICES.launch(&[wgsl!("sum_slices")], &dims, &operands, elements(weights)));
    }
}

impl Tile {
    /// Sums `kernel` positions of the kernel's row at once.
    fn weight_gradient(&self) -> String {
        // Each input is loaded just before its first use: few are alive at once.
        let mut loaded = Vec::new();
        let (mut start, mut rows, mut inner, mut names) =
            (String::new(), String::new(), String::new(), String::new());
        for i in 0..4 {
            let line =
                "let y$a_ = (y0 + min(channel + $au, dims.group_out - 1u)) * plane + oy * dims.out_width;\n";
            fill(&mut rows, line, &[i], &[]);
        }
        for p in 0..self.pixels {
            for k in 0..self.kernel {
                self.load(&mut inner, &mut loaded, p, k);
            }
            fill(&mut inner, if self.exact { GRADIENTS } else { GRADIENTS_AT_EDGE }, &[p], &[]);
            for k in 0..self.kernel {
                fill(&mut inner, "c$a += x$b * g$c;\n", &[k, self.input(p, k), p], &[]);
            }
        }
        for k in 0..self.kernel {
            fill(&mut start, "var c$a = vec4f();\n", &[k], &[]);
            fill(&mut names, "c$a, ", &[k], &[]);
        }
        let numbers = [self.pixels, self.kernel];
        filled(wgsl!("convolution_weight"), &numbers, &[&start, &rows, &inner, &names])
    }
}

/// The gradients of four channels at output `$a` of the tile.
const GRADIENTS: &str = "let at$a = column + $au;
let g$a = vec4f(y[y0_ + at$a], y[y1_ + at$a], y[y2_ + at$a], y[y3_ + at$a]);
";
/// The same where the tile may reach over the edge.
const GRADIENTS_AT_EDGE: &str = "let at$a = min(column + $au, dims.out_width - 1u);
let g$a = select(vec4f(), vec4f(y[y0_ + at$a], y[y1_ + at$a], y[y2_ + at$a], y[y3_ + at$a]), \
column + $au < dims.out_width);
";
