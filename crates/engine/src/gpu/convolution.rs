//! Direct convolution: every thread keeps a tile of neighbouring outputs for several channels in registers, so that each
//! input and each weight it loads is used many times. Nothing is unfolded in memory.

use std::collections::BTreeSet;

use lichen_model::program::{Convolution, Direction, Epilogue, Window};

use super::device::SOFTWARE_WIDTH;
use super::epilogue::{by_slope, expression};
use super::launch::{Launch, Operand, WORKGROUP, elements, source, word};
use super::text::wgsl;

/// Kernel widths up to this are unrolled, so that neighbouring outputs share their inputs.
const WIDEST_UNROLLED: usize = 7;
/// Outputs along the last axis per thread, at most.
const MOST_OUTPUTS: usize = 8;

/// The launches of a convolution or of one of its gradients; `width` is how many threads keep the adapter busy.
pub(super) fn lower(convolution: &Convolution, width: u32) -> Vec<Launch> {
    let Convolution { window, .. } = convolution;
    match convolution.direction {
        Direction::Forward => vec![correlate(convolution)],
        Direction::Input if window.stride == [1, 1] => vec![correlate(&turned(convolution))],
        Direction::Input => vec![scatter(convolution)],
        Direction::Weight => weight_gradient(convolution, width),
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

/// `y = activation(x ⋆ w + bias)`.
fn correlate(convolution: &Convolution) -> Launch {
    let Window { batch, in_channels, out_channels, input, output, kernel, stride, padding, dilation, groups } =
        convolution.window;
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
    let threads = batch * groups * channel_tiles * output[0] * columns;
    // Something is bound as bias in any case: one text to compile instead of two.
    let bias = convolution.bias.unwrap_or(convolution.w);
    let operands = [convolution.x, convolution.w, bias, convolution.y].map(Operand::from).into();
    let exact = output[1].is_multiple_of(pixels);
    let tile = Tile { pixels, vectors, stride: stride[1], dilation: dilation[1], kernel: kernel[1], exact };
    let (slope, activation) = by_slope(convolution.activation);
    let body = tile.correlate(activation);
    // Turned around, the kernel's last position comes first.
    let (first, step) = if turned { ([kernel[0] - 1, kernel[1] - 1], u32::MAX) } else { ([0, 0], 1) };
    #[expect(clippy::cast_possible_truncation, reason = "negative extents are meant to wrap around")]
    let signed = |extent: usize| extent as u32;
    Launch {
        source: source("convolution", CORRELATE, &["x", "w", "bias"], &["y"], false, &body),
        dims: vec![
            word(threads),
            word(columns),
            word(output[0]),
            word(channel_tiles),
            word(groups),
            word(group_in),
            word(group_out),
            word(input[0]),
            word(input[1]),
            word(output[1]),
            word(kernel[0]),
            word(kernel[1]),
            word(stride[0]),
            signed(padding[0]),
            signed(padding[1]),
            word(dilation[0]),
            word(out_stride),
            word(in_stride),
            word(group_stride),
            word(stride[1]),
            word(dilation[1]),
            word(first[0]),
            word(first[1]),
            step,
            u32::from(convolution.bias.is_some()),
            slope.to_bits(),
        ],
        operands,
        grid: elements(word(threads)),
    }
}

const CORRELATE: &str = "threads columns rows channel_tiles groups group_in group_out height width out_width kernel_height \
                         kernel_width stride_y padding_y padding_x dilation_y out_stride in_stride group_stride stride_x dilation_x \
                         first_row first_tap tap_step biased slope";

/// Fewest wasted outputs, then the most per thread.
fn outputs_per_thread(extent: usize) -> usize {
    let waste = |pixels: usize| extent.div_ceil(pixels) * pixels - extent;
    (4..=MOST_OUTPUTS).rev().min_by_key(|&pixels| waste(pixels)).unwrap_or(MOST_OUTPUTS)
}

/// What a thread computes: outputs along the last axis, for `4 · vectors` channels.
struct Tile {
    pixels: usize,
    vectors: usize,
    stride: usize,
    dilation: usize,
    kernel: usize,
    /// Whether the outputs are a whole number of tiles.
    exact: bool,
}

impl Tile {
    fn correlate(&self, activation: Epilogue) -> String {
        let accumulators = self.each(|p, v| format!("    var c{p}_{v} = vec4f();\n"));
        let inner = if self.kernel <= WIDEST_UNROLLED { self.unrolled() } else { self.rolled() };
        format!(
            "alias T = f32;
{LOAD}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
    for (var i = id.x; i < dims.threads; i += groups.x * {WORKGROUP}u) {{
        tile(i);
    }}
}}

fn tile(i: u32) {{
    let column = i % dims.columns * {pixels}u;
    let row = i / dims.columns % dims.rows;
    let tiles = i / (dims.columns * dims.rows);
    let channel = tiles % dims.channel_tiles * {channels}u;
    let group = tiles / dims.channel_tiles % dims.groups;
    let sample = tiles / (dims.channel_tiles * dims.groups);
    let x0 = (sample * dims.groups + group) * dims.group_in * dims.height * dims.width;
    let w0 = group * dims.group_stride;
{weights}{accumulators}    let left = i32(column * dims.stride_x) - i32(dims.padding_x);
    for (var c = 0u; c < dims.group_in; c++) {{
        for (var ky = 0u; ky < dims.kernel_height; ky++) {{
            let iy = i32(row * dims.stride_y + ky * dims.dilation_y) - i32(dims.padding_y);
            if iy < 0 || iy >= i32(dims.height) {{
                continue;
            }}
            let line = x0 + (c * dims.height + u32(iy)) * dims.width;
            let k = c * dims.in_stride + (dims.first_row + ky * dims.tap_step) * dims.kernel_width + dims.first_tap;
{inner}        }}
    }}
    let plane = dims.rows * dims.out_width;
    let y0 = ((sample * dims.groups + group) * dims.group_out * dims.rows + row) * dims.out_width + column;
    var sums = array<vec4f, {count}>({sums});
    for (var i = 0u; i < min({channels}u, dims.group_out - channel); i++) {{
        let b = select(0.0, bias[group * dims.group_out + channel + i], dims.biased != 0u);
        let at = y0 + (channel + i) * plane;
        for (var p = 0u; p < min({pixels}u, dims.out_width - column); p++) {{
            let sum = sums[p * {vectors}u + i / 4u][i % 4u] + b;
            let x = select(sum * bitcast<f32>(dims.slope), sum, sum > 0.0);
            y[at + p] = {activation};
        }}
    }}
}}
",
            pixels = self.pixels,
            channels = 4 * self.vectors,
            vectors = self.vectors,
            count = self.pixels * self.vectors,
            sums = self.each(|p, v| format!("c{p}_{v}, ")),
            activation = expression(activation),
            weights = self.weights(),
        )
    }

    /// Where each channel's weights start; channels over the edge repeat the last one.
    fn weights(&self) -> String {
        (0..4 * self.vectors)
            .map(|i| {
                format!("    let w{i}_ = w0 + min(channel + {i}u, dims.group_out - 1u) * dims.out_stride;\n")
            })
            .collect()
    }

    /// All positions along the kernel's row: each input is loaded once and used by all outputs that see it.
    fn unrolled(&self) -> String {
        let mut loaded = BTreeSet::new();
        let mut text = String::new();
        for k in 0..self.kernel {
            for t in (0..self.pixels).map(|p| p * self.stride + k * self.dilation) {
                if loaded.insert(t) {
                    text.push_str(&format!("            let x{t} = load(line, left + {t});\n"));
                }
            }
            text.push_str(&format!("            let k{k} = k + {k}u * dims.tap_step;\n"));
            text.push_str(&self.weight_vectors(k, &format!("k{k}")));
            text.push_str(&self.each(|p, v| {
                format!("            c{p}_{v} += x{} * w{k}_{v};\n", p * self.stride + k * self.dilation)
            }));
        }
        text
    }

    /// One position of a wide kernel after the other.
    fn rolled(&self) -> String {
        let products = self.each(|p, v| {
            let load = if v == 0 {
                format!("            let x{p} = load(line, left + i32({p}u * dims.stride_x + kx * dims.dilation_x));\n")
            } else {
                String::new()
            };
            format!("{load}            c{p}_{v} += x{p} * w0_{v};\n")
        });
        format!(
            "            for (var kx = 0u; kx < dims.kernel_width; kx++) {{\n{}{products}            }}\n",
            self.weight_vectors(0, "k + kx * dims.tap_step")
        )
    }

    fn weight_vectors(&self, k: usize, at: &str) -> String {
        (0..self.vectors)
            .map(|v| {
                let lane = |i: usize| format!("w[w{}_ + {at}]", 4 * v + i);
                format!(
                    "            let w{k}_{v} = vec4f({}, {}, {}, {});\n",
                    lane(0),
                    lane(1),
                    lane(2),
                    lane(3)
                )
            })
            .collect()
    }

    fn each(&self, line: impl Fn(usize, usize) -> String) -> String {
        self.lines(&line)
    }

    fn lines(&self, line: &dyn Fn(usize, usize) -> String) -> String {
        (0..self.pixels)
            .flat_map(|p| (0..self.vectors).map(move |v| (p, v)))
            .map(|(p, v)| line(p, v))
            .collect()
    }
}

/// An input of a row, 0 outside: indices before it wrap around, and reading too far gives some number that is not used.
const LOAD: &str = "fn load(line: u32, at: i32) -> f32 {
    return select(0.0, x[line + u32(at)], u32(at) < dims.width);
}
";

/// The gradient by the input for strides above 1: every input gathers from the outputs that saw it.
fn scatter(convolution: &Convolution) -> Launch {
    let Window { batch, in_channels, out_channels, input, output, kernel, stride, padding, dilation, groups } =
        convolution.window;
    let count = word(batch * in_channels * input[0] * input[1]);
    let mut operands: Vec<Operand> = vec![convolution.y.into(), convolution.w.into()];
    operands.extend(convolution.bias.map(Operand::from));
    operands.push(convolution.x.into());
    let reads: &[&str] = if convolution.bias.is_some() { &["y", "w", "bias"] } else { &["y", "w"] };
    let bias = if convolution.bias.is_some() { "bias[group * dims.group_in + c]" } else { "0.0" };
    let body = wgsl!("convolution_input")
        .replace("BIAS", bias)
        .replace("ACTIVATION", &expression(convolution.activation));
    Launch {
        source: source("convolution input", WINDOW, reads, &["x"], false, &body),
        dims: [count, word(in_channels / groups), word(out_channels / groups), word(groups)]
            .into_iter()
            .chain([input, output, kernel, stride, padding, dilation].into_iter().flatten().map(word))
            .collect(),
        operands,
        grid: elements(count),
    }
}

const WINDOW: &str = "count group_in group_out groups height width out_height out_width kernel_height kernel_width stride_y \
                      stride_x padding_y padding_x dilation_y dilation_x";

/// The gradient by the weight: each thread sums one row of the kernel for four output channels and one input channel
/// over a slice of all output rows; a second kernel sums the slices. (Two input channels share more loads, but took
/// SwiftShader four seconds to compile.)
fn weight_gradient(convolution: &Convolution, width: u32) -> Vec<Launch> {
    let Window { batch, in_channels, out_channels, input, output, kernel, stride, padding, dilation, groups } =
        convolution.window;
    let (group_in, group_out) = (in_channels / groups, out_channels / groups);
    let unrolled = kernel[1] <= WIDEST_UNROLLED;
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
    let tile = Tile { pixels, vectors: 1, stride: stride[1], dilation: dilation[1], kernel: taps, exact };
    let threads = word(tiles * slices);
    let product = Launch {
        source: source("convolution weight", WEIGHT, &["x", "y"], &["w"], false, &tile.weight_gradient()),
        dims: [
            kernel_tiles,
            rows,
            rows.div_ceil(slices),
            weights,
            group_out.div_ceil(4),
            tiles,
            tiles * slices,
        ]
        .into_iter()
        .chain([group_in, group_out, groups])
        .chain([input, output, kernel, stride, padding, dilation].into_iter().flatten())
        .map(word)
        .collect(),
        operands: vec![convolution.x.into(), convolution.y.into(), target],
        grid: elements(threads),
    };
    if slices == 1 {
        return vec![product];
    }
    let body = wgsl!("sum_slices");
    let sum = Launch {
        source: source("sum slices", "count slices", &["partials"], &["output"], false, body),
        dims: vec![word(weights), word(slices)],
        operands: vec![target, convolution.w.into()],
        grid: elements(word(weights)),
    };
    vec![product, sum]
}

const WEIGHT: &str = "kernel_tiles rows rows_per_slice weights channel_tiles tiles threads group_in group_out groups \
                      height width out_height out_width kernel_height kernel_width stride_y stride_x padding_y \
                      padding_x dilation_y dilation_x";

impl Tile {
    /// The gradients of four channels at output `p` of the tile.
    fn gradients(&self, p: usize) -> String {
        if self.exact {
            let lane = |i: usize| format!("y[y{i}_ + column + {p}u]");
            return format!(
                "            let g{p} = vec4f({}, {}, {}, {});\n",
                lane(0),
                lane(1),
                lane(2),
                lane(3)
            );
        }
        let lane = |i: usize| format!("y[y{i}_ + at{p}]");
        format!(
            "            let at{p} = min(column + {p}u, dims.out_width - 1u);\n            let g{p} = select(vec4f(), \
             vec4f({}, {}, {}, {}), column + {p}u < dims.out_width);\n",
            lane(0),
            lane(1),
            lane(2),
            lane(3)
        )
    }

    /// Sums `kernel` positions of the kernel's row at once.
    fn weight_gradient(&self) -> String {
        let (pixels, taps) = (self.pixels, self.kernel);
        // Each input is loaded just before its first use: few are alive at once.
        let mut loaded = BTreeSet::new();
        let mut inner = String::new();
        for p in 0..pixels {
            for t in (0..taps).map(|k| p * self.stride + k * self.dilation) {
                if loaded.insert(t) {
                    inner.push_str(&format!("            let x{t} = load(line, left + {t});\n"));
                }
            }
            inner.push_str(&self.gradients(p));
            for k in 0..taps {
                let t = p * self.stride + k * self.dilation;
                inner.push_str(&format!("            c{k} += x{t} * g{p};\n"));
            }
        }
        let starts: String = (0..4)
            .map(|i| {
                let channel = format!("y0 + min(channel + {i}u, dims.group_out - 1u)");
                format!("        let y{i}_ = ({channel}) * plane + oy * dims.out_width;\n")
            })
            .collect();
        let accumulators: String = (0..taps).map(|k| format!("    var c{k} = vec4f();\n")).collect();
        let names: String = (0..taps).map(|k| format!("c{k}, ")).collect();
        format!(
            "{LOAD}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
    for (var i = id.x; i < dims.threads; i += groups.x * {WORKGROUP}u) {{
        tile(i);
    }}
}}

fn tile(i: u32) {{
    let slice = i / dims.tiles;
    let kx = i % dims.kernel_tiles;
    var rest = i % dims.tiles / dims.kernel_tiles;
    let ky = rest % dims.kernel_height;
    rest /= dims.kernel_height;
    let c = rest % dims.group_in;
    rest /= dims.group_in;
    let channel = rest % dims.channel_tiles * 4u;
    let group = rest / dims.channel_tiles;
    let plane = dims.out_height * dims.out_width;
{accumulators}    let end = min(dims.rows, (slice + 1u) * dims.rows_per_slice);
    for (var r = slice * dims.rows_per_slice; r < end; r++) {{
        let sample = r / dims.out_height;
        let oy = r % dims.out_height;
        let iy = i32(oy * dims.stride_y + ky * dims.dilation_y) - i32(dims.padding_y);
        if iy < 0 || iy >= i32(dims.height) {{
            continue;
        }}
        let line = (((sample * dims.groups + group) * dims.group_in + c) * dims.height + u32(iy)) * dims.width;
        let y0 = (sample * dims.groups + group) * dims.group_out;
{starts}        for (var column = 0u; column < dims.out_width; column += {pixels}u) {{
            let left = i32(column * dims.stride_x + kx * dims.dilation_x) - i32(dims.padding_x);
{inner}        }}
    }}
    let across = dims.group_in * dims.kernel_height * dims.kernel_width;
    let w0 = slice * dims.weights + (group * dims.group_out + channel) * across
        + (c * dims.kernel_height + ky) * dims.kernel_width + kx;
    var sums = array<vec4f, {taps}>({names});
    for (var i = 0u; i < min(4u, dims.group_out - channel); i++) {{
        for (var k = 0u; k < {taps}u; k++) {{
            w[w0 + i * across + k] = sums[k][i];
        }}
    }}
}}
"
        )
    }
}
