alias T = f32;
// Outputs along the last axis and channels of a thread.
const PIXELS = $au;
const CHANNELS = $bu;

fn tile(i: u32) {
    let column = i % dims.columns * PIXELS;
    let row = i / dims.columns % dims.rows;
    let tiles = i / (dims.columns * dims.rows);
    let channel = tiles % dims.channel_tiles * CHANNELS;
    let group = tiles / dims.channel_tiles % dims.groups;
    let sample = tiles / (dims.channel_tiles * dims.groups);
    let x0 = (sample * dims.groups + group) * dims.group_in * dims.height * dims.width;
    let w0 = group * dims.group_stride;
    $A
    let left = i32(column * dims.stride_x) - i32(dims.padding_x);
    for (var c = 0u; c < dims.group_in; c++) {
        for (var ky = 0u; ky < dims.kernel_height; ky++) {
            let iy = i32(row * dims.stride_y + ky * dims.dilation_y) - i32(dims.padding_y);
            if iy < 0 || iy >= i32(dims.height) {
                continue;
            }
            let line = x0 + (c * dims.height + u32(iy)) * dims.width;
            let k = c * dims.in_stride + (dims.first_row + ky * dims.tap_step) * dims.kernel_width + dims.first_tap;
            $B
        }
    }
    let plane = dims.rows * dims.out_width;
    let y0 = ((sample * dims.groups + group) * dims.group_out * dims.rows + row) * dims.out_width + column;
    var sums = array<vec4f, $c>($C);
    for (var i = 0u; i < min(CHANNELS, dims.group_out - channel); i++) {
        let b = select(0.0, bias[group * dims.group_out + channel + i], dims.biased != 0u);
        let at = y0 + (channel + i) * plane;
        for (var p = 0u; p < min(PIXELS, dims.out_width - column); p++) {
            let sum = sums[p * (CHANNELS / 4u) + i / 4u][i % 4u] + b;
            let x = select(sum * bitcast<f32>(dims.slope), sum, sum > 0.0);
            y[at + p] = $D;
        }
    }
}
