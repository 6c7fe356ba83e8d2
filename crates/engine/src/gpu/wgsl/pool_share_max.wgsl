
// 1 if the element at (ky, kx) of the window is its first largest.
fn share(plane: u32, at: u32, oy: u32, ox: u32, i: u32, ky: u32, kx: u32) -> f32 {
    let largest = output[at];
    if input[i] != largest {
        return 0.0;
    }
    let top = i32(oy * dims.stride_y) - i32(dims.padding_y);
    let left = i32(ox * dims.stride_x) - i32(dims.padding_x);
    for (var before = 0u; before < ky * dims.kernel_width + kx; before++) {
        let y = top + i32(before / dims.kernel_width * dims.dilation_y);
        let x = left + i32(before % dims.kernel_width * dims.dilation_x);
        if y < 0 || y >= i32(dims.height) || x < 0 || x >= i32(dims.width) {
            continue;
        }
        if input[(plane * dims.height + u32(y)) * dims.width + u32(x)] == largest {
            return 0.0;
        }
    }
    return 1.0;
}
