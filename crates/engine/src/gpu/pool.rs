//! Pools and their gradients: one thread per element written, so that nothing is written twice.

use lichen_model::program::{Pool, PoolBackward, PoolKind, Window};

use super::launch::{Launch, elements, source, word};
use super::text::wgsl;

const FIELDS: &str = "count kind height width out_height out_width kernel_height kernel_width stride_y stride_x padding_y \
                      padding_x dilation_y dilation_x";

pub(super) fn forward(pool: &Pool) -> Launch {
    let Window { batch, out_channels, output, .. } = pool.window;
    let count = word(batch * out_channels * output[0] * output[1]);
    let text = wgsl!("pool");
    let body =
        if has_border(&pool.window) { text.to_owned() } else { text.split("//BORDER").step_by(2).collect() };
    Launch {
        source: source("pool", FIELDS, &["input"], &["output"], false, &body),
        dims: dims(count, pool.kind, &pool.window),
        operands: vec![pool.input.into(), pool.output.into()],
        grid: elements(count),
    }
}

pub(super) fn backward(pool: &PoolBackward) -> Launch {
    let Window { batch, in_channels, input, output, .. } = pool.window;
    if pool.kind == PoolKind::Max && is_tiling(&pool.window) {
        let count = word(batch * in_channels * output[0] * output[1]);
        let body = wgsl!("pool_backward_tiles");
        return Launch {
            source: source(
                "pool backward",
                FIELDS,
                &["gradient", "input", "output"],
                &["result"],
                false,
                body,
            ),
            dims: dims(count, pool.kind, &pool.window),
            operands: vec![pool.gradient.into(), pool.input.into(), pool.output.into(), pool.result.into()],
            grid: elements(count),
        };
    }
    let count = word(batch * in_channels * input[0] * input[1]);
    let text = wgsl!("pool_backward");
    let (reads, operands, share): (&[&str], _, _) = match pool.kind {
        PoolKind::Max => (
            &["gradient", "input", "output"],
            vec![pool.gradient.into(), pool.input.into(), pool.output.into(), pool.result.into()],
            wgsl!("pool_share_max"),
        ),
        PoolKind::Average | PoolKind::AverageIncludingPadding => {
            (&["gradient"], vec![pool.gradient.into(), pool.result.into()], wgsl!("pool_share_average"))
        }
    };
    Launch {
        source: source("pool backward", FIELDS, reads, &["result"], false, &(text.to_owned() + share)),
        dims: dims(count, pool.kind, &pool.window),
        operands,
        grid: elements(count),
    }
}

/// Whether a window reaches beyond the input, on either side.
#[expect(clippy::indexing_slicing, reason = "there are two spatial axes in every array")]
fn has_border(window: &Window) -> bool {
    let Window { input, output, kernel, stride, padding, dilation, .. } = *window;
    let end = |axis: usize| (output[axis] - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1;
    padding != [0, 0] || end(0) > input[0] || end(1) > input[1]
}

/// Whether every input lies in exactly one window.
fn is_tiling(window: &Window) -> bool {
    let Window { input, output, kernel, stride, padding, dilation, .. } = *window;
    let covered = [output[0] * stride[0], output[1] * stride[1]];
    kernel == stride && padding == [0, 0] && dilation == [1, 1] && covered == input
}

fn dims(count: u32, kind: PoolKind, window: &Window) -> Vec<u32> {
    let kind = match kind {
        PoolKind::Max => 0,
        PoolKind::Average => 1,
        PoolKind::AverageIncludingPadding => 2,
    };
    let Window { input, output, kernel, stride, padding, dilation, .. } = *window;
    let extents = [input, output, kernel, stride, padding, dilation];
    [count, kind].into_iter().chain(extents.into_iter().flatten().map(word)).collect()
}
