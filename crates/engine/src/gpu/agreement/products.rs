//! Cases: matrix products.

use super::*;

pub(super) fn products(draw: &mut Draw) -> Case {
    let [m, n, k] = [(); 3].map(|()| draw.one_of(&[1, 3, 4, 8, 12, 17, 32, 40, 64, 260]));
    let batch = [draw.within(1..=2), draw.within(1..=3)];
    let accumulate = draw.flag();
    // Stored with room between rows and matrices, as heads of attention are.
    let mut matrix = |buffer: u32, rows: usize, columns: usize, transposed: bool| {
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        let [offset, gap] = [(); 2].map(|()| draw.one_of(&[0, 1, 4, 8]));
        let row_stride = columns + gap;
        let batch_strides = [batch[1] * rows * row_stride, rows * row_stride];
        let matrix = Matrix { buffer: id(buffer), offset, row_stride, batch_strides, transposed };
        (matrix, draw.floats(offset + batch[0] * batch_strides[0]))
    };
    let [a_transposed, b_transposed] = [m % 2 == 0, n % 3 == 0];
    let (a, a_contents) = matrix(0, m, k, a_transposed);
    let (b, b_contents) = matrix(1, k, n, b_transposed);
    let (c, c_contents) = matrix(2, m, n, false);
    let gemm = Gemm {
        a,
        b,
        c,
        m,
        n,
        k,
        batch,
        alpha: draw.one_of(&[1.0, 0.25]),
        bias: (!accumulate && draw.flag()).then_some(id(3)),
        activation: if accumulate { Epilogue::None } else { draw.epilogue() },
        accumulate,
    };
    let contents = vec![a_contents, b_contents, c_contents, draw.floats(n)];
    Case { kernel: Kernel::Gemm(gemm), contents, tolerance: 2e-5 }
}
