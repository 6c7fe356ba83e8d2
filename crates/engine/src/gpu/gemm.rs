//! Matrix products: register-tiled kernels for every transposition, with epilogues and split-K for thin shapes.
//!
//! Every thread keeps a tile of the result in registers and reads its operands straight from storage: no workgroup
//! memory, no barriers. Operands whose contiguous dimension is a multiple of four are read as `vec4f`; all others go
//! through one strided kernel, and so does everything on an adapter that is a program: it reads vectors element by
//! element, and compiling takes it longer than most products. A thin product cuts K into slices, whose partial results
//! a second kernel sums in order. Of causally masked attention scores, tiles behind the diagonal are left out.

use lichen_model::program::{Epilogue, Gemm, Matrix};

use super::device::SOFTWARE_WIDTH;
use super::epilogue::{by_slope, expression};
use super::launch::{Launch, Operand, Signature, WORKGROUP, elements, word};
use super::text::{fill, filled, wgsl};
use crate::cpu::Part;

/// A slice of K shorter than this costs more to sum up than it gains.
const SHORTEST_SLICE: u32 = 128;
/// More partial results than this are never worth their memory.
const MOST_SLICES: u32 = 32;

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

/// Adds the launches of a product; `width` is how many threads keep the adapter busy.
pub(super) fn lower(launches: &mut Vec<Launch>, gemm: &Gemm, part: Part, width: u32) {
    let plan = Plan::new(gemm, part, width);
    launches.push(plan.product());
    if plan.slices > 1 {
        launches.push(plan.sum());
    }
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
        let operands = [self.gemm.a.buffer.into(), self.gemm.b.buffer.into(), bias.into(), c];
        let arrays = match (self.reading, self.wide) {
            (Reading::Strided, false) => "a b bias -> c",
            (Reading::Strided, true) => "a b bias* -> c*",
            (_, false) => "a* b* bias -> c",
            (_, true) => "a* b* bias* -> c*",
        };
        let (columns, rows) = self.tiles();
        let [across, down] = self.block();
        let grid = [columns.div_ceil(across), rows.div_ceil(down), self.matrices() * self.slices];
        let signature = Signature { name: "product", fields: FIELDS, arrays };
        signature.launch(&[&self.text()], &self.dims(self.slices > 1), &operands, grid)
    }

    fn sum(&self) -> Launch {
        let operands = [Operand::Scratch(self.partials()), self.gemm.bias.into(), self.gemm.c.buffer.into()];
        let bias = if self.gemm.bias.is_some() { " + bias[column]" } else { "" };
        let old = if self.gemm.accumulate { "c[at] + " } else { "" };
        let body = filled(wgsl!("product_sum"), &[], &[bias, old, &expression(self.gemm.activation)]);
        SUM.launch(&[&body], &self.dims(false), &operands, elements(self.partials() / self.slices))
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

    /// The [`FIELDS`]; `partial` for slices of the product, which lie one after the other.
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

    fn text(&self) -> String {
        let (mut start, mut inner, mut names) = (String::new(), String::new(), String::new());
        self.starts(&mut start, self.reading == Reading::Tn, A);
        self.starts(&mut start, matches!(self.reading, Reading::Nn | Reading::Tn), B);
        self.each(&mut start, "var c$a_$b = vec4f();\n", 0);
        self.inner(&mut inner);
        self.each(&mut names, "c$a_$b, ", 0);
        let (_, activation) = by_slope(self.gemm.activation);
        let activation = expression(if self.slices == 1 { activation } else { Epilogue::None });
        let [bias, old, store] = if self.wide { WIDE } else { NARROW };
        let numbers = [self.tile, self.step(), self.tile * self.tile / 4];
        filled(wgsl!("product"), &numbers, &[&start, &inner, &names, bias, old, store, &activation])
    }

    /// Where each row of an operand's tile starts; rows over the edge repeat the last one.
    fn starts(&self, text: &mut String, in_vectors: bool, [elements, vectors]: [&str; 2]) {
        let (count, line) = if in_vectors { (self.tile / 4, vectors) } else { (self.tile, elements) };
        (0..count).for_each(|i| fill(text, line, &[i], &[]));
    }

    /// One step along K.
    fn inner(&self, text: &mut String) {
        let (tile, vectors) = (self.tile, self.tile / 4);
        let load = |text: &mut String, line: &str, count: u32, u: u32| {
            (0..count).for_each(|i| fill(text, line, &[i, u], &[]));
        };
        match self.reading {
            Reading::Nt => {
                load(text, "let a$a = a[a$a_ + k];\n", tile, 0);
                load(text, "let b$a = b[b$a_ + k];\n", tile, 0);
                let dots = "c$a_$b += vec4f(dot(a$a, b$d), dot(a$a, b$e), dot(a$a, b$f), dot(a$a, b$g));\n";
                self.each(text, dots, 0);
            }
            Reading::Nn => {
                load(text, "let a$a = a[a$a_ + k];\n", tile, 0);
                for u in 0..4 {
                    load(text, "let b$a_$b = b[b$a_ + (4u * k + $bu) * dims.b_row];\n", vectors, u);
                    self.each(text, "c$a_$b += a$a[$c] * b$b_$c;\n", u);
                }
            }
            Reading::Tn => {
                load(text, "let a$a = a[a$a_ + k * dims.a_row];\n", vectors, 0);
                load(text, "let b$a = b[b$a_ + k * dims.b_row];\n", vectors, 0);
                self.each(text, "c$a_$b += a$h[$i] * b$b;\n", 0);
            }
            Reading::Strided => {
                load(text, "let a$a = a[a$a_ + k * dims.a_step];\n", tile, 0);
                load(text, "let b$a = b[b$a_ + k * dims.b_step];\n", tile, 0);
                self.each(text, "c$a_$b += a$a * vec4f(b$d, b$e, b$f, b$g);\n", 0);
            }
        }
    }

    /// A line for each row `$a` and vector `$b` of the tile; `$c` is `u`, `$d` to `$g` are the vector's columns, `$h` and
    /// `$i` the row's vector and its place in it.
    fn each(&self, text: &mut String, line: &str, u: u32) {
        for i in 0..self.tile {
            for v in 0..self.tile / 4 {
                let j = 4 * v;
                fill(text, line, &[i, v, u, j, j + 1, j + 2, j + 3, i / 4, i % 4], &[]);
            }
        }
    }
}

/// Where row `$a` of an operand's tile starts, in elements and in vectors; rows over the edge repeat the last one.
const A: [&str; 2] = [
    "let a$a_ = a0 + min(m0 + $au, dims.m - 1u) * dims.a_row;\n",
    "let a$a_ = a0 + min(m0 / 4u + $au, dims.m / 4u - 1u);\n",
];
const B: [&str; 2] = [
    "let b$a_ = b0 + min(n0 + $au, dims.n - 1u) * dims.b_row;\n",
    "let b$a_ = b0 + min(n0 / 4u + $au, dims.n / 4u - 1u);\n",
];

/// Four columns of the bias, of the result as it was, and storing them: as vectors, and one by one.
const WIDE: [&str; 3] = ["bias[column / 4u]", "c[at / 4u]", "c[at / 4u] = y;"];
const NARROW: [&str; 3] = [
    "vec4f(bias[column], bias[min(column + 1u, last)], bias[min(column + 2u, last)], bias[min(column + 3u, last)])",
    "vec4f(c[at], c[at + min(1u, last - column)], c[at + min(2u, last - column)], c[at + min(3u, last - column)])",
    "for (var j = 0u; j < min(4u, dims.n - column); j++) {
c[at + j] = y[j];
}",
];

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
const FIELDS: &str = "m n k k_slice a_row a_step b_row b_step a_offset a_batch0 a_batch1 b_offset b_batch0 b_batch1 \
                      c_offset c_row c_batch0 c_batch1 slices batch1 across down alpha matrices result_below left_below \
                      left_above biased accumulate slope c_slice";
const SUM: Signature<'_> = Signature { name: "sum slices", fields: FIELDS, arrays: "partials bias -> c" };

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
                let mut launches = Vec::new();
                lower(&mut launches, &gemm(shape, transposed, epilogue), Part::Whole, width);
                launches.iter().for_each(|launch| validate(&launch.source.wgsl));
            }
        }
    }
}
