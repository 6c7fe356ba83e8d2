// Outputs along the last axis that are worked on at once, and positions of the kernel's row.
const PIXELS = $au;
const TAPS = $bu;

fn tile(i: u32) {
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
    $A
    let end = min(dims.rows, (slice + 1u) * dims.rows_per_slice);
    for (var r = slice * dims.rows_per_slice; r < end; r++) {
        let sample = r / dims.out_height;
        let oy = r % dims.out_height;
        let iy = i32(oy * dims.stride_y + ky * dims.dilation_y) - i32(dims.padding_y);
        if iy < 0 || iy >= i32(dims.height) {
            continue;
        }
        let line = (((sample * dims.groups + group) * dims.group_in + c) * dims.height + u32(iy)) * dims.width;
        let y0 = (sample * dims.groups + group) * dims.group_out;
        $B
        for (var column = 0u; column < dims.out_width; column += PIXELS) {
            let left = i32(column * dims.stride_x + kx * dims.dilation_x) - i32(dims.padding_x);
            $C
        }
    }
    let across = dims.group_in * dims.kernel_height * dims.kernel_width;
    let w0 = slice * dims.weights + (group * dims.group_out + channel) * across
        + (c * dims.kernel_height + ky) * dims.kernel_width + kx;
    var sums = array<vec4f, TAPS>($D);
    for (var i = 0u; i < min(4u, dims.group_out - channel); i++) {
        for (var k = 0u; k < TAPS; k++) {
            w[w0 + i * across + k] = sums[k][i];
        }
    }
}
