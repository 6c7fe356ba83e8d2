//! Packed, register-tiled matrix product.
//!
//! Every element of the product is summed over k in order within blocks of [`BLOCK_K`], and blocks are added in
//! order, so the bits do not depend on tile sizes, lanes or edges.

use crate::causal::Part;
use crate::memory::Memory;
use crate::simd::F4;
use crate::threads::{Rows, Scratch, in_parts};
use lichen_model::program::{Epilogue, Gemm, Matrix};
use std::ops::Range;

/// Adds the product of a column and a row to a tile.
macro_rules! rank_one {
    ($tile:ident, $column:ident, $low:ident, $high:ident, $($row:literal),*) => {
        $(
            let x = F4::splat($column[$row]);
            $tile[$row][0] = $tile[$row][0] + x * $low;
            $tile[$row][1] = $tile[$row][1] + x * $high;
        )*
    };
}
pub(crate) use rank_one;

/// Rows of a tile.
pub(crate) const MR: usize = 4;
/// Columns of a tile.
pub(crate) const NR: usize = 8;
/// Multiply-adds that take as long as copying an element.
const COPY: usize = 4;
/// Extent of k summed in registers; part of the definition of the result's bits.
pub(crate) const BLOCK_K: usize = 256;

/// A strided matrix: element (i, j) at `offset + i row + j column`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row: usize,
    pub(crate) column: usize,
}

/// Memory for packed panels, kept between products.
#[derive(Default)]
pub(crate) struct Panels {
    a: Vec<f32>,
    b: Vec<f32>,
}

/// What happens to a finished element.
#[derive(Clone, Copy)]
pub(crate) struct Finish<'a> {
    pub(crate) alpha: f32,
    /// One number per column.
    pub(crate) bias: Option<&'a [f32]>,
    /// One number per row.
    pub(crate) row_bias: Option<&'a [f32]>,
    pub(crate) activation: Epilogue,
    pub(crate) accumulate: bool,
    /// What need not be computed.
    pub(crate) part: Part,
}

impl Finish<'_> {
    pub(crate) const PLAIN: Self = Self {
        alpha: 1.0,
        bias: None,
        row_bias: None,
        activation: Epilogue::None,
        accumulate: false,
        part: Part::Whole,
    };
}

/// Runs a product kernel.
pub(crate) fn run(gemm: &Gemm, part: Part, memory: &mut Memory, panels: &mut Scratch<Panels>) {
    let mut c = memory.take(gemm.c.buffer);
    let (a, b) = (memory.get(gemm.a.buffer), memory.get(gemm.b.buffer));
    let bias = gemm.bias.map(|bias| memory.get(bias));
    let finish = Finish {
        alpha: gemm.alpha,
        bias,
        row_bias: None,
        activation: gemm.activation,
        accumulate: gemm.accumulate,
        part,
    };
    let extents = [gemm.m, gemm.n, gemm.k];
    let stride = gemm.c.row_stride;
    if gemm.batch == [1, 1] {
        let (a, b) = (view(a, &gemm.a, [0, 0]), view(b, &gemm.b, [0, 0]));
        product(a, b, &mut c[gemm.c.offset..], stride, extents, &finish, panels);
        memory.put(c);
        return;
    }
    let [outers, inners] = gemm.batch;
    let c_part = &mut c[gemm.c.offset..];
    let apart = Some(gemm.c.batch_strides[0]).filter(|&apart| apart >= reach(gemm));
    let room = c_part.len().min(apart.map_or(usize::MAX, |apart| apart * outers));
    let rows = Rows::new(&mut c_part[..room], apart.unwrap_or(room));
    let cost = inners * gemm.m * gemm.n * gemm.k;
    in_parts([rows], cost, panels, |first, [c], panels| {
        let count = apart.map_or(outers, |apart| c.len().div_ceil(apart));
        for outer in 0..count {
            for inner in 0..inners {
                let start = outer * gemm.c.batch_strides[0] + inner * gemm.c.batch_strides[1];
                let at = [first + outer, inner];
                let (a, b) = (view(a, &gemm.a, at), view(b, &gemm.b, at));
                panels.multiply(a, b, &mut c[start..], stride, extents, &finish);
            }
        }
    });
    memory.put(c);
}

/// A matrix of a batch.
fn view<'a>(data: &'a [f32], matrix: &Matrix, [outer, inner]: [usize; 2]) -> View<'a> {
    let start = matrix.offset + outer * matrix.batch_strides[0] + inner * matrix.batch_strides[1];
    let (row, column) = if matrix.transposed { (1, matrix.row_stride) } else { (matrix.row_stride, 1) };
    View { data: &data[start..], row, column }
}

/// How far the results of one place on the outer batch axis extend.
fn reach(gemm: &Gemm) -> usize {
    (gemm.batch[1] - 1) * gemm.c.batch_strides[1] + (gemm.m - 1) * gemm.c.row_stride + gemm.n
}

/// `c = finish(a b)` with a m×k, b k×n, rows of c `stride` apart.
pub(crate) fn product(
    a: View<'_>,
    b: View<'_>,
    c: &mut [f32],
    stride: usize,
    [m, n, k]: [usize; 3],
    finish: &Finish<'_>,
    panels: &mut Scratch<Panels>,
) {
    let mut packed = std::mem::take(&mut panels.first().b);
    pack_right(&mut packed, b, n, k);
    // A split would need to know where the diagonal is.
    let cost = if finish.part == Part::Whole { MR * n * k } else { 0 };
    let rows = Rows::new(&mut c[..(m - 1) * stride + n], MR * stride);
    in_parts([rows], cost, panels, |first, [c], panels| {
        let a = View { data: &a.data[first * MR * a.row..], ..a };
        let extents = [c.len().div_ceil(stride), n, k];
        multiply_packed(a, &packed, c, stride, extents, finish, &mut panels.a);
    });
    panels.first().b = packed;
}

impl Panels {
    /// [`product`] by this thread alone.
    fn multiply(
        &mut self,
        a: View<'_>,
        b: View<'_>,
        c: &mut [f32],
        stride: usize,
        extents: [usize; 3],
        finish: &Finish<'_>,
    ) {
        pack_right(&mut self.b, b, extents[1], extents[2]);
        multiply_packed(a, &self.b, c, stride, extents, finish, &mut self.a);
    }
}

/// Packs a right factor (k×n): blocks of k, in them panels of [`NR`] columns.
pub(crate) fn pack_right(packed: &mut Vec<f32>, b: View<'_>, n: usize, k: usize) {
    let size = n.div_ceil(NR) * NR * k;
    if packed.len() < size {
        packed.resize(size, 0.0);
    }
    let mut rest = &mut packed[..size];
    let mut start = 0;
    while start < k {
        let depth = BLOCK_K.min(k - start);
        let (block, behind) = rest.split_at_mut(n.div_ceil(NR) * NR * depth);
        let panels = Rows::new(block, NR * depth);
        in_parts([panels], COPY * NR * depth, &mut Scratch::default(), |first, [panels], ()| {
            let offset = start * b.row + first * NR * b.column;
            pack(panels, b.data, [b.column, b.row], [n - first * NR, depth], offset, NR);
        });
        rest = behind;
        start += depth;
    }
}

/// [`product`] with a right factor packed before.
pub(crate) fn multiply_packed(
    a: View<'_>,
    packed: &[f32],
    c: &mut [f32],
    stride: usize,
    [m, n, k]: [usize; 3],
    finish: &Finish<'_>,
    left: &mut Vec<f32>,
) {
    let columns = n.div_ceil(NR) * NR;
    let rows = m.div_ceil(MR) * MR;
    if left.len() < rows * BLOCK_K.min(k) {
        left.resize(rows * BLOCK_K.min(k), 0.0);
    }
    let mut start = 0;
    while start < k {
        let depth = BLOCK_K.min(k - start);
        let first = start == 0 && !finish.accumulate;
        let last = start + depth == k;
        let block = &packed[columns * start..columns * (start + depth)];
        let left = &mut left[..rows * depth];
        pack(left, a.data, [a.row, a.column], [m, depth], start * a.column, MR);
        for (j, b_panel) in block.chunks_exact(depth * NR).enumerate() {
            let column = j * NR;
            let wide = NR.min(n - column);
            for (i, a_panel) in left.chunks_exact(depth * MR).enumerate() {
                let row = i * MR;
                let high = MR.min(m - row);
                if finish.part == Part::ResultBelow && column >= row + MR {
                    continue;
                }
                let Range { start: from, end: to } = finish.part.along(row, start, depth);
                let tile = multiply(&a_panel[from * MR..to * MR], &b_panel[from * NR..to * NR]);
                let place = Place { stride, row, column, high, wide, first, last };
                place.finish(tile, c, finish);
            }
        }
        start += depth;
    }
}

/// Copies `[count, depth]` elements into panels of `width` by depth, the rest of the last panel zero.
pub(crate) fn pack(
    panels: &mut [f32],
    data: &[f32],
    [across, along]: [usize; 2],
    [count, depth]: [usize; 2],
    offset: usize,
    width: usize,
) {
    for (number, panel) in panels.chunks_exact_mut(width * depth).enumerate() {
        let start = offset + number * width * across;
        let here = width.min(count - number * width);
        if here < width {
            panel.fill(0.0);
        }
        if across == 1 {
            // Widths known here: a copy of unknown length would be a call. In a matrix with a single column rows lie
            // closer than a panel is wide.
            match (here == width && along >= width, width) {
                (true, MR) => pack_columns::<MR>(panel, &data[start..], along),
                (true, NR) => pack_columns::<NR>(panel, &data[start..], along),
                _ => {
                    for (step, to) in panel.chunks_exact_mut(width).enumerate() {
                        let from = start + step * along;
                        to[..here].copy_from_slice(&data[from..from + here]);
                    }
                }
            }
        } else if along == 1 {
            pack_rows(panel, &data[start..], across, here, depth, width);
        } else {
            for (step, to) in panel.chunks_exact_mut(width).enumerate() {
                for (lane, to) in to[..here].iter_mut().enumerate() {
                    *to = data[start + lane * across + step * along];
                }
            }
        }
    }
}

/// Copies the first `WIDTH` of every `stride` elements.
fn pack_columns<const WIDTH: usize>(panel: &mut [f32], data: &[f32], stride: usize) {
    for (to, from) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().zip(data.chunks(stride)) {
        if let Some(from) = from.first_chunk() {
            *to = *from;
        }
    }
}

/// Interleaves contiguous rows, four by four where possible.
fn pack_rows(panel: &mut [f32], data: &[f32], stride: usize, rows: usize, depth: usize, width: usize) {
    let mut lane = 0;
    while lane < rows {
        if lane + 4 <= rows {
            let row = |number: usize| &data[(lane + number) * stride..(lane + number) * stride + depth];
            let rows = [row(0), row(1), row(2), row(3)];
            interleave(panel, rows, lane, width);
            lane += 4;
            continue;
        }
        let row = &data[lane * stride..lane * stride + depth];
        for (to, from) in panel.chunks_exact_mut(width).zip(row) {
            to[lane] = *from;
        }
        lane += 1;
    }
}

fn interleave(panel: &mut [f32], rows: [&[f32]; 4], lane: usize, width: usize) {
    let [(a, a_rest), (b, b_rest), (c, c_rest), (d, d_rest)] = rows.map(<[f32]>::as_chunks::<4>);
    let mut blocks = panel.chunks_exact_mut(4 * width);
    for ((((to, a), b), c), d) in blocks.by_ref().zip(a).zip(b).zip(c).zip(d) {
        let columns = F4::transpose([F4::load(a), F4::load(b), F4::load(c), F4::load(d)]);
        for (to, column) in to.chunks_exact_mut(width).zip(columns) {
            column.store(&mut to[lane..]);
        }
    }
    let ends = blocks.into_remainder().chunks_exact_mut(width);
    for ((((to, a), b), c), d) in ends.zip(a_rest).zip(b_rest).zip(c_rest).zip(d_rest) {
        F4::new([*a, *b, *c, *d]).store(&mut to[lane..]);
    }
}

/// One tile of the product of two panels.
// Not inlined: a caller that walks through the tile would keep it in memory during the loop.
#[inline(never)]
fn multiply(a: &[f32], b: &[f32]) -> Tile {
    // Starting with the first product instead of zeros saves clearing the result's memory; indices are
    // literals, so that the tile stays in registers.
    let (Some((first, a)), Some((row, b))) = (a.split_first_chunk::<MR>(), b.split_first_chunk::<NR>())
    else {
        return [[F4::splat(0.0); 2]; MR];
    };
    let (low, high) = (F4::load(&row[..4]), F4::load(&row[4..]));
    let start = |x: f32| [F4::splat(x) * low, F4::splat(x) * high];
    let mut tile = [start(first[0]), start(first[1]), start(first[2]), start(first[3])];
    for (a, b) in a.chunks_exact(MR).zip(b.chunks_exact(NR)) {
        let (low, high) = (F4::load(&b[..4]), F4::load(&b[4..]));
        rank_one!(tile, a, low, high, 0, 1, 2, 3);
    }
    tile
}

impl Part {
    /// What the rows from `row` on have to sum of the `depth` numbers along k from `start` on.
    fn along(self, row: usize, start: usize, depth: usize) -> Range<usize> {
        match self {
            Self::Whole | Self::ResultBelow => 0..depth,
            Self::LeftBelow => 0..depth.min((row + MR).saturating_sub(start)),
            Self::LeftAbove => depth.min(row.saturating_sub(start))..depth,
        }
    }
}

/// Sums of a tile.
pub(crate) type Tile = [[F4; 2]; MR];

struct Place {
    stride: usize,
    row: usize,
    column: usize,
    high: usize,
    wide: usize,
    first: bool,
    last: bool,
}

impl Place {
    /// Writes a tile, with everything that goes with the last block.
    #[inline(always)]
    fn finish(&self, tile: Tile, c: &mut [f32], finish: &Finish<'_>) {
        if self.wide == NR && self.high == MR {
            return self.finish_whole(tile, c, finish);
        }
        let alpha = F4::splat(finish.alpha);
        let bias = finish.bias.filter(|_| self.last).map(|bias| &bias[self.column..self.column + self.wide]);
        for (i, sums) in tile.into_iter().enumerate().take(self.high) {
            let start = (self.row + i) * self.stride + self.column;
            let row = &mut c[start..start + self.wide];
            let offset = finish.row_bias.filter(|_| self.last).map(|bias| F4::splat(bias[self.row + i]));
            for (half, sum) in sums.into_iter().enumerate() {
                let from = half * 4;
                let Some(to) = row.get_mut(from..).filter(|to| !to.is_empty()) else { break };
                let mut value = sum * alpha;
                if !self.first {
                    value = part(to) + value;
                }
                if let Some(bias) = bias {
                    value = value + part(&bias[from..]);
                }
                if let Some(offset) = offset {
                    value = value + offset;
                }
                if self.last {
                    value = activate(value, finish.activation);
                }
                value.store(to);
            }
        }
    }
}

impl Place {
    /// [`Place::finish`] for tiles that are not cut off by an edge.
    #[inline(always)]
    fn finish_whole(&self, tile: Tile, c: &mut [f32], finish: &Finish<'_>) {
        let alpha = F4::splat(finish.alpha);
        let bias = finish.bias.filter(|_| self.last).map(|bias| {
            let bias = &bias[self.column..self.column + NR];
            [F4::load(&bias[..4]), F4::load(&bias[4..])]
        });
        for (i, [low, high]) in tile.into_iter().enumerate() {
            let start = (self.row + i) * self.stride + self.column;
            let Some(row) = c[start..].first_chunk_mut::<NR>() else { return };
            let mut values = [low * alpha, high * alpha];
            if !self.first {
                values = [F4::load(&row[..4]) + values[0], F4::load(&row[4..]) + values[1]];
            }
            if let Some([low, high]) = bias {
                values = [values[0] + low, values[1] + high];
            }
            if self.last {
                if let Some(bias) = finish.row_bias {
                    let offset = F4::splat(bias[self.row + i]);
                    values = values.map(|value| value + offset);
                }
                if finish.activation != Epilogue::None {
                    values = values.map(|value| activate(value, finish.activation));
                }
            }
            values[0].store(&mut row[..4]);
            values[1].store(&mut row[4..]);
        }
    }
}

#[inline(always)]
fn part(slice: &[f32]) -> F4 {
    if slice.len() >= 4 { F4::load(slice) } else { F4::load_partial(slice, 0.0) }
}

/// Applies an epilogue's function.
#[inline(always)]
pub(crate) fn activate(x: F4, activation: Epilogue) -> F4 {
    let zero = F4::splat(0.0);
    match activation {
        Epilogue::None => x,
        Epilogue::Relu => x.max(zero),
        Epilogue::LeakyRelu(slope) => F4::select(x.gt(zero), x, x * F4::splat(slope)),
        Epilogue::Tanh => crate::math::tanh(x),
        Epilogue::Sigmoid => crate::math::sigmoid(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_all_layouts_agree_with_the_definition() {
        let mut panels = Scratch::default();
        for (m, n, k) in
            [(1, 1, 1), (4, 8, 3), (5, 9, 17), (13, 10, 300), (3, 30, 513), (9, 17, 1), (9, 1, 5)]
        {
            let a: Vec<f32> = (0..m * k).map(|i| ((i * 7 % 13) as f32 - 6.0) / 8.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| ((i * 5 % 11) as f32 - 5.0) / 8.0).collect();
            for layout in 0..4 {
                let a = if layout & 1 == 0 {
                    View { data: &a, row: k, column: 1 }
                } else {
                    View { data: &a, row: 1, column: m }
                };
                let b = if layout & 2 == 0 {
                    View { data: &b, row: n, column: 1 }
                } else {
                    View { data: &b, row: 1, column: k }
                };
                let mut c = vec![f32::NAN; m * n];
                product(a, b, &mut c, n, [m, n, k], &Finish::PLAIN, &mut panels);
                for i in 0..m {
                    for j in 0..n {
                        let at =
                            |x: View<'_>, i: usize, j: usize| f64::from(x.data[i * x.row + j * x.column]);
                        let exact: f64 = (0..k).map(|p| at(a, i, p) * at(b, p, j)).sum();
                        assert!(
                            (f64::from(c[i * n + j]) - exact).abs() < 1e-3,
                            "{m} {n} {k} layout {layout}"
                        );
                    }
                }
            }
        }
    }
}
