
// One over how many elements the window has.
fn share(plane: u32, at: u32, oy: u32, ox: u32, i: u32, ky: u32, kx: u32) -> f32 {
    let top = i32(oy * dims.stride_y) - i32(dims.padding_y);
    let left = i32(ox * dims.stride_x) - i32(dims.padding_x);
    let rows = inside(top, dims.kernel_height, dims.dilation_y, dims.height);
    return 1.0 / f32(rows * inside(left, dims.kernel_width, dims.dilation_x, dims.width));
}

// How many of the kernel's positions along an axis lie inside.
fn inside(first: i32, positions: u32, dilation: u32, extent: u32) -> u32 {
    var count = 0u;
    for (var k = 0u; k < positions; k++) {
        let at = first + i32(k * dilation);
        count += select(0u, 1u, at >= 0 && at < i32(extent));
    }
    return count;
}
