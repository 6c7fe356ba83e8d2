//! Pools and their gradients: one thread per element written, so that nothing is written twice.

use lichen_model::program::{Pool, PoolBackward, PoolKind, Window};

use super::convolution::spatial;
use super::launch::{Launch, Operand, Signature, elements, word};
use super::text::{wgsl, without};

const FIELDS: &str = "count kind height width out_height out_width kernel_height kernel_width stride_y stride_x padding_y \
                      padding_x dilation_y dilation_x";
const POOL: Signature<'_> = Signature { name: "pool", fields: FIELDS, arrays: "input -> output" };
const BACKWARD: Signature<'_> =
    Signature { name: "pool backward", fields: FIELDS, arrays: "gradient input output -> result" };

pub(super) fn forward(pool: &Pool) -> Launch {
    let Window { batch, out_channels, output, .. } = pool.window;
    let count = word(batch * out_channels * output[0] * output[1]);
    let text = wgsl!("pool");
    let short = without(text);
    let body = if has_border(&pool.window) { text } else { &short };
    let operands = [pool.input.into(), pool.output.into()];
    POOL.launch(&[body], &dims(count, pool.kind, &pool.window), &operands, elements(count))
}

pub(super) fn backward(pool: &PoolBackward) -> Launch {
    let Window { batch, in_channels, input, output, .. } = pool.window;
    let is_max = pool.kind == PoolKind::Max;
    let is_tiled = is_max && is_tiling(&pool.window);
    let [height, width] = if is_tiled { output } else { input };
    let count = word(batch * in_channels * height * width);
    let text = wgsl!("pool_backward");
    let body: &[&str] = match (is_tiled, is_max) {
        (true, _) => &[wgsl!("pool_backward_tiles")],
        (_, true) => &[text, wgsl!("pool_share_max")],
        _ => &[text, wgsl!("pool_share_average")],
    };
    // Only a maximum has to look at the values again.
    let [input, output] = [pool.input, pool.output].map(|id| Operand::from(is_max.then_some(id)));
    let operands = [pool.gradient.into(), input, output, pool.result.into()];
    BACKWARD.launch(body, &dims(count, pool.kind, &pool.window), &operands, elements(count))
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
    };
    [[count, kind].as_slice(), &spatial(window)].concat()
}
