//! Matrix products: register-tiled kernels for every transposition, with epilogues and split-K for thin shapes.
//!
//! Every thread keeps a tile of the result in registers and reads its operands straight from storage: no workgroup
//! memory, no barriers. Operands whose contiguous dimension is a multiple of four are read as `vec4f`; all others go
//! through one strided kernel, and so does everything on an adapter that is a program: it reads vectors element by
//! element, and compiling takes it longer than most products. A thin product cuts K into slices, whose partial results a second kernel sums in order.
//! Of causally masked attention scores, tiles behind the diagonal are left out.

use lichen_model::program::{Epilogue, Gemm, Matrix};

use super::device::SOFTWARE_WIDTH;
use super::epilogue::{by_slope, expression};
use super::launch::{Launch, Operand, Source, WORKGROUP, arrays, elements, word};
use crate::cpu::Part;

/// A slice of K shorter than this costs more to sum up than it gains.
const SHORTEST_SLICE: u32 = 128;
/// More partial results than this are never worth their memory.
const MOST_SLICES: u32 = 32;
const LANES: [&str; 4] = ["x", "y", "z", "w"];

/// How the operands are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Vectors along K of both.
    Nt,
    /// Vectors along K of a, along N of b.
    Nn,
    /// Vectors along M of a, along N of b.
    Tn,
    /// Single elements with any strides.
    Strided,
}

/// Which kernel computes a product and over which grid; chosen by shape alone, so that a program always runs the same
/// kernels.
struct Plan<'a> {
    gemm: &'a Gemm,
    reading: Reading,
    tile: u32,
    /// Whether rows of the result are stored as vectors.
    wide: bool,
    /// Parts that K is cut into; 1 writes the result directly.
    slices: u32,
    /// What of a masked matrix is worked on.
    part: Part,
    /// Most tiles of a workgroup.
    room: u32,
}

/// The launches of a product; `width` is how many threads keep the adapter busy.
pub(super) fn lower(gemm: &Gemm, part: Part, width: u32) -> Vec<Launch> {
    let plan = Plan::new(gemm, part, width);
    if plan.slices == 1 {
        return vec![plan.product()];
    }
    vec![plan.product(), plan.sum()]
}

impl<'a> Plan<'a> {
    fn new(gemm: &'a Gemm, part: Part, width: u32) -> Self {
        let reading = if width == SOFTWARE_WIDTH { Reading::Strided } else { reading(gemm) };
        let wide = gemm.n.is_multiple_of(4) && in_vectors(&gemm.c);
        let (m, n, k) = (word(gemm.m), word(gemm.n), word(gemm.k));
        let matrices = word(gemm.batch.iter().product());
        let threads =
            |tile| matrices.saturating_mul(m.div_ceil(tile)).saturating_mul(n.div_ceil(tile)).max(1);
        let most_slices = (k / SHORTEST_SLICE).clamp(1, MOST_SLICES);
        // Large tiles read less, but take three times as long to compile, and there must be enough of them.
        let pays = threads(8) >= 256 || threads(8) * most_slices >= 768;
        let pays = if width == SOFTWARE_WIDTH { wide } else { pays && reading != Reading::Strided };
        let tile = if pays && m >= 8 && n >= 8 { 8 } else { 4 };
        let slices = (width / threads(tile)).clamp(1, most_slices);
        // A program runs workgroups side by side, one on every core.
        let room = if width == SOFTWARE_WIDTH && threads(tile) < 8 * WORKGROUP { 16 } else { WORKGROUP };
        Self { gemm, reading, tile, wide, slices, part, room }
    }

    fn product(&self) -> Launch {
        let c = if self.slices == 1 { self.gemm.c.buffer.into() } else { Operand::Scratch(self.partials()) };
        // Something must be bound where there is no bias, so that one kernel does for both.
        let bias = self.gemm.bias.unwrap_or(self.gemm.b.buffer);
        let operands = vec![self.gemm.a.buffer.into(), self.gemm.b.buffer.into(), bias.into(), c];
        let source = Source { name: "product", wgsl: self.product_wgsl(), reads: 3, writes: 1, step: false };
        let (columns, rows) = self.tiles();
        let [across, down] = self.block();
        let grid = [columns.div_ceil(across), rows.div_ceil(down), self.matrices() * self.slices];
        Launch { source, dims: self.dims(self.slices > 1), operands, grid }
    }

    fn sum(&self) -> Launch {
        let mut operands: Vec<Operand> = vec![Operand::Scratch(self.partials())];
        operands.extend(self.gemm.bias.map(Operand::from));
        operands.push(self.gemm.c.buffer.into());
        let source = Source {
            name: "sum slices",
            wgsl: self.sum_wgsl(),
            reads: word(operands.len()) - 1,
            writes: 1,
            step: false,
        };
        Launch { source, dims: self.dims(false), operands, grid: elements(self.partials() / self.slices) }
    }

    fn matrices(&self) -> u32 {
        word(self.gemm.batch.iter().product())
    }

    fn partials(&self) -> u32 {
        self.slices * self.matrices() * word(self.gemm.m * self.gemm.n)
    }

    fn tiles(&self) -> (u32, u32) {
        (word(self.gemm.n).div_ceil(self.tile), word(self.gemm.m).div_ceil(self.tile))
    }

    /// Tiles that a workgroup covers along N and M: nearly square ones share most operands, others leave fewer threads
    /// without a tile.
    fn block(&self) -> [u32; 2] {
        let (columns, rows) = self.tiles();
        let covered = |across: u32| {
            let down = self.room / across;
            u64::from(columns.div_ceil(across)) * u64::from(rows.div_ceil(down))
        };
        let widths = [8, 4, 6, 2, 5, 3, 7, 1].into_iter().filter(|&across| across < 2 * columns);
        let across = widths.min_by_key(|&across| covered(across)).unwrap_or(1);
        [across, self.room / across]
    }

    /// Extent along K of one step.
    fn step(&self) -> u32 {
        match self.reading {
            Reading::Nt | Reading::Nn => 4,
            Reading::Tn | Reading::Strided => 1,
        }
    }

    /// The fields of [`DIMS`]; `partial` for slices of the product, which lie one after the other.
    fn dims(&self, partial: bool) -> Vec<u32> {
        let Gemm { a, b, c, m, n, k, batch, .. } = self.gemm;
        let size = m * n;
        let c = if partial {
            [0, *n, batch[1] * size, size]
        } else {
            [c.offset, c.row_stride, c.batch_strides[0], c.batch_strides[1]]
        };
        let (slope, _) = by_slope(self.gemm.activation);
        let [alpha, slope] = if partial { [1.0, 1.0] } else { [self.gemm.alpha, slope] };
        let vector = if self.reading == Reading::Strided { 1 } else { 4 };
        let k_steps = word(*k) / self.step();
        // Strides of a along M and K, of b along N and K; the vector kernels step over stored rows only.
        let (a_row, a_step) = strides(a, a.transposed, self.reading);
        let (b_row, b_step) = strides(b, !b.transposed, self.reading);
        let in_elements = |matrix: &Matrix| {
            [matrix.offset, matrix.batch_strides[0], matrix.batch_strides[1]].map(|x| word(x) / vector)
        };
        let [across, down] = self.block();
        let mut dims = vec![word(*m), word(*n), k_steps, k_steps.div_ceil(self.slices)];
        dims.extend([a_row, a_step, b_row, b_step]);
        dims.extend(in_elements(a));
        dims.extend(in_elements(b));
        dims.extend(c.map(word));
        dims.extend([self.slices, word(batch[1]), across, down]);
        dims.extend([alpha.to_bits(), self.matrices()]);
        dims.extend([Part::ResultBelow, Part::LeftBelow, Part::LeftAbove].map(|p| u32::from(p == self.part)));
        dims.extend([self.gemm.bias.is_some() && !partial, self.gemm.accumulate && !partial].map(u32::from));
        dims.extend([slope.to_bits(), if partial { self.partials() / self.slices } else { 0 }]);
        dims
    }

    fn product_wgsl(&self) -> String {
        let element = if self.reading == Reading::Strided { "f32" } else { "vec4f" };
        let result = if self.wide { "vec4f" } else { "f32" };
        format!(
            "{DIMS}alias T = vec4f;
{}{}{}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {{
    let row = local / dims.across;
    let m0 = (group.y * dims.down + row) * {tile}u;
    let n0 = (group.x * dims.across + local % dims.across) * {tile}u;
    if row >= dims.down || m0 >= dims.m || n0 >= dims.n || dims.result_below * n0 > m0 {{
        return;
    }}
    let matrix = group.z / dims.slices;
    let slice = group.z % dims.slices;
    let p = matrix / dims.batch1;
    let q = matrix % dims.batch1;
    var begin = slice * dims.k_slice;
    var end = min(dims.k, begin + dims.k_slice);
    begin = max(begin, dims.left_above * (m0 / {step}u));
    end = min(end, select(dims.k, (m0 + {tile}u) / {step}u, dims.left_below == 1u));
{}{}    for (var k = begin; k < end; k++) {{
{}    }}
{}}}
",
            arrays(1, "read", element, &["a", "b"]),
            arrays(3, "read", result, &["bias"]),
            arrays(4, "read_write", result, &["c"]),
            self.operands(),
            self.each(&|i, v| format!("    var c{i}_{v} = vec4f();\n")),
            self.inner(),
            self.store(),
            tile = self.tile,
            step = self.step(),
        )
    }

    fn sum_wgsl(&self) -> String {
        let bias_array =
            if self.gemm.bias.is_some() { arrays(2, "read", "f32", &["bias"]) } else { String::new() };
        let bias = if self.gemm.bias.is_some() { " + bias[column]" } else { "" };
        let old = if self.gemm.accumulate { "c[at] + " } else { "" };
        format!(
            "{DIMS}alias T = f32;
{}{bias_array}{}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
    let size = dims.m * dims.n;
    let count = size * dims.matrices;
    for (var i = id.x; i < count; i += groups.x * {WORKGROUP}u) {{
        var sum = 0.0;
        for (var slice = 0u; slice < dims.slices; slice++) {{
            sum += partials[slice * count + i];
        }}
        let matrix = i / size;
        let row = i % size / dims.n;
        let column = i % dims.n;
        let at = dims.c_offset + matrix / dims.batch1 * dims.c_batch0 + matrix % dims.batch1 * dims.c_batch1
            + row * dims.c_row + column;
        let x = sum * bitcast<f32>(dims.alpha){bias};
        c[at] = {old}{};
    }}
}}
",
            arrays(1, "read", "f32", &["partials"]),
            arrays(2 + u32::from(self.gemm.bias.is_some()), "read_write", "f32", &["c"]),
            expression(self.gemm.activation),
        )
    }

    /// Where each row of the tile's operands starts; rows over the edge repeat the last one.
    fn operands(&self) -> String {
        let starts = |name: &str, origin: &str, extent: &str, vectors: bool| -> String {
            let (count, scale, stride) = if vectors {
                (self.tile / 4, " / 4u", String::from("1u"))
            } else {
                (self.tile, "", format!("dims.{name}_row"))
            };
            let start = format!("dims.{name}_offset + p * dims.{name}_batch0 + q * dims.{name}_batch1");
            let row = |i| format!("min({origin}{scale} + {i}u, dims.{extent}{scale} - 1u)");
            (0..count).map(|i| format!("    let {name}{i}_ = {start} + {} * {stride};\n", row(i))).collect()
        };
        let a = starts("a", "m0", "m", self.reading == Reading::Tn);
        let b = starts("b", "n0", "n", matches!(self.reading, Reading::Nn | Reading::Tn));
        a + &b
    }

    /// One step along K.
    fn inner(&self) -> String {
        let (tile, vectors) = (self.tile, self.tile / 4);
        let load = |name: &str, count, offset: &str| -> String {
            (0..count).map(|i| format!("        let {name}{i} = {name}[{name}{i}_ + {offset}];\n")).collect()
        };
        let lane = |i: u32| LANES.get(i as usize % 4).copied().unwrap_or_default();
        match self.reading {
            Reading::Nt => {
                let dots = self.each(&|i, v| {
                    let dot = |j| format!("dot(a{i}, b{})", 4 * v + j);
                    format!("        c{i}_{v} += vec4f({}, {}, {}, {});\n", dot(0), dot(1), dot(2), dot(3))
                });
                load("a", tile, "k") + &load("b", tile, "k") + &dots
            }
            Reading::Nn => {
                let steps = (0..4).map(|u| {
                    let row =
                        |v| format!("        let b{v}_{u} = b[b{v}_ + (4u * k + {u}u) * dims.b_row];\n");
                    let b: String = (0..vectors).map(row).collect();
                    b + &self.each(&|i, v| format!("        c{i}_{v} += a{i}.{} * b{v}_{u};\n", lane(u)))
                });
                load("a", tile, "k") + &steps.collect::<String>()
            }
            Reading::Tn => {
                let products =
                    self.each(&|i, v| format!("        c{i}_{v} += a{}.{} * b{v};\n", i / 4, lane(i)));
                load("a", vectors, "k * dims.a_row") + &load("b", vectors, "k * dims.b_row") + &products
            }
            Reading::Strided => {
                let products = self.each(&|i, v| {
                    let j = 4 * v;
                    format!("        c{i}_{v} += a{i} * vec4f(b{j}, b{}, b{}, b{});\n", j + 1, j + 2, j + 3)
                });
                load("a", tile, "k * dims.a_step") + &load("b", tile, "k * dims.b_step") + &products
            }
        }
    }

    /// The tile goes through an array, so that the kernel stays short enough to be compiled quickly.
    fn store(&self) -> String {
        let (_, activation) = by_slope(self.gemm.activation);
        let activation = expression(if self.slices == 1 { activation } else { Epilogue::None });
        let (bias, old, store) = if self.wide {
            ("bias[column / 4u]", "c[at / 4u]", "c[at / 4u] = y;")
        } else {
            (
                "vec4f(bias[column], bias[min(column + 1u, last)], bias[min(column + 2u, last)], \
                 bias[min(column + 3u, last)])",
                "vec4f(c[at], c[at + min(1u, last - column)], c[at + min(2u, last - column)], \
                 c[at + min(3u, last - column)])",
                "for (var j = 0u; j < min(4u, dims.n - column); j++) {
                c[at + j] = y[j];
            }",
            )
        };
        let vectors = self.tile / 4;
        format!(
            "    var tile = array<vec4f, {}>({});
    let c0 = dims.c_offset + slice * dims.c_slice + p * dims.c_batch0 + q * dims.c_batch1;
    let last = dims.n - 1u;
    for (var i = 0u; i < min({}u, dims.m - m0); i++) {{
        for (var column = n0; column < min(n0 + {}u, dims.n); column += 4u) {{
            let at = c0 + (m0 + i) * dims.c_row + column;
            var y = tile[i * {vectors}u + (column - n0) / 4u] * bitcast<f32>(dims.alpha);
            if dims.biased == 1u {{
                y += {bias};
            }}
            let x = select(y * bitcast<f32>(dims.slope), y, y > T());
            y = {activation};
            if dims.accumulate == 1u {{
                y += {old};
            }}
            {store}
        }}
    }}
",
            self.tile * vectors,
            self.each(&|i, v| format!("c{i}_{v}, ")),
            self.tile,
            self.tile,
        )
    }

    /// One line per row and vector of the tile.
    fn each(&self, line: &dyn Fn(u32, u32) -> String) -> String {
        (0..self.tile)
            .flat_map(|i| (0..self.tile / 4).map(move |v| (i, v)))
            .map(|(i, v)| line(i, v))
            .collect()
    }
}

/// Whether everything about a stored matrix is a whole number of vectors.
fn in_vectors(matrix: &Matrix) -> bool {
    let [p, q] = matrix.batch_strides;
    [matrix.offset, matrix.row_stride, p, q].iter().all(|x| x.is_multiple_of(4))
}

fn reading(gemm: &Gemm) -> Reading {
    let Gemm { a, b, m, n, k, .. } = gemm;
    let fits =
        |extents: &[usize]| in_vectors(a) && in_vectors(b) && extents.iter().all(|x| x.is_multiple_of(4));
    match (a.transposed, b.transposed) {
        (false, true) if fits(&[*k]) => Reading::Nt,
        (false, false) if fits(&[*k, *n]) => Reading::Nn,
        (true, false) if fits(&[*m, *n]) => Reading::Tn,
        _ => Reading::Strided,
    }
}

/// Strides across the tile and along K; `k_rows` where K runs over the stored rows.
fn strides(matrix: &Matrix, k_rows: bool, reading: Reading) -> (u32, u32) {
    let row = word(matrix.row_stride);
    match (reading, k_rows) {
        (Reading::Strided, false) => (row, 1),
        (Reading::Strided, true) => (1, row),
        _ => (row / 4, 1),
    }
}

/// Extents in elements; `k`, `k_slice` in steps of the loop; offsets and strides of a and b in elements of their arrays.
const DIMS: &str = "struct Dims {
    m: u32, n: u32, k: u32, k_slice: u32,
    a_row: u32, a_step: u32, b_row: u32, b_step: u32,
    a_offset: u32, a_batch0: u32, a_batch1: u32,
    b_offset: u32, b_batch0: u32, b_batch1: u32,
    c_offset: u32, c_row: u32, c_batch0: u32, c_batch1: u32,
    slices: u32, batch1: u32, across: u32, down: u32,
    alpha: u32, matrices: u32,
    result_below: u32, left_below: u32, left_above: u32,
    biased: u32, accumulate: u32, slope: u32, c_slice: u32,
}
@group(0) @binding(0) var<uniform> dims: Dims;
";

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use futures::executor::block_on;
    use lichen_model::program::{BufferId, Kernel, StepValues};

    use std::rc::Rc;

    use super::*;
    use crate::gpu::testing::{assert_close, noise, open, run, validate};

    /// A product of dense matrices: a, b, bias and c are buffers 0 to 3.
    fn gemm([batch, m, n, k]: [usize; 4], [a_transposed, b_transposed]: [bool; 2], epilogue: bool) -> Gemm {
        let matrix = |id, [rows, columns]: [usize; 2], transposed: bool| Matrix {
            buffer: BufferId(id),
            offset: 0,
            row_stride: if transposed { rows } else { columns },
            batch_strides: [rows * columns, 0],
            transposed,
        };
        Gemm {
            a: matrix(0, [m, k], a_transposed),
            b: matrix(1, [k, n], b_transposed),
            c: matrix(3, [m, n], false),
            m,
            n,
            k,
            batch: [batch, 1],
            alpha: if epilogue { 1.0 } else { 0.5 },
            bias: epilogue.then_some(BufferId(2)),
            activation: if epilogue { Epilogue::Relu } else { Epilogue::None },
            accumulate: !epilogue,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounding to single precision is meant")]
    fn expected(gemm: &Gemm, contents: &[Vec<f32>]) -> Vec<f32> {
        let Gemm { m, n, k, .. } = *gemm;
        let at = |matrix: &Matrix, p: usize, i: usize, j: usize| {
            let (i, j) = if matrix.transposed { (j, i) } else { (i, j) };
            f64::from(
                contents[matrix.buffer.index()][p * matrix.batch_strides[0] + i * matrix.row_stride + j],
            )
        };
        let element = |(index, old): (usize, &f32)| {
            let (p, i, j) = (index / (m * n), index / n % m, index % n);
            let sum: f64 = (0..k).map(|l| at(&gemm.a, p, i, l) * at(&gemm.b, p, l, j)).sum();
            let product = f64::from(gemm.alpha) * sum;
            match gemm.bias {
                Some(bias) => (product + f64::from(contents[bias.index()][j])).max(0.0) as f32,
                None => (product + f64::from(*old)) as f32,
            }
        };
        contents[3].iter().enumerate().map(element).collect()
    }

    const SHAPES: [[usize; 4]; 10] = [
        [1, 1, 1, 1],
        [1, 32, 10, 32],
        [1, 64, 512, 784],
        [1, 10, 256, 64],
        [3, 7, 13, 5],
        [2, 48, 48, 36],
        [1, 9, 12, 300],
        [1, 16, 28, 1028],
        [1, 130, 132, 20],
        [5, 3, 4, 4],
    ];
    const TRANSPOSITIONS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

    #[test]
    fn products_agree_with_the_definition() {
        block_on(async {
            let Some(mut gpu) = open().await else { return };
            for (shape, transposed) in SHAPES.into_iter().flat_map(|s| TRANSPOSITIONS.map(|t| (s, t))) {
                for (epilogue, width) in
                    [false, true].into_iter().flat_map(|e| [1, 8192, SOFTWARE_WIDTH].map(|w| (e, w)))
                {
                    let [batch, m, n, k] = shape;
                    let gemm = gemm(shape, transposed, epilogue);
                    let sizes = [batch * m * k, batch * k * n, n, batch * m * n];
                    let contents: Vec<_> = (1..).zip(sizes).map(|(seed, size)| noise(seed, size)).collect();
                    Rc::get_mut(&mut gpu).unwrap().width = width;
                    let after =
                        run(&gpu, Kernel::Gemm(gemm.clone()), &contents, &StepValues::default()).await;
                    let tolerance = 1e-6 * (k as f64).sqrt();
                    assert_close(&after[3], &expected(&gemm, &contents), tolerance, &(gemm, width));
                }
            }
        });
    }

    #[test]
    fn kernels_are_valid() {
        for (shape, transposed) in SHAPES.into_iter().flat_map(|s| TRANSPOSITIONS.map(|t| (s, t))) {
            for (epilogue, width) in [(true, 8192), (false, 1), (true, SOFTWARE_WIDTH)] {
                lower(&gemm(shape, transposed, epilogue), Part::Whole, width)
                    .iter()
                    .for_each(|launch| validate(&launch.source.wgsl));
            }
        }
    }
}
