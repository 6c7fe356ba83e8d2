
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    for (var i = id.x; i < dims.count; i += groups.x * 64u) {
        result[i] = gather(i);
    }
}

// The sum over all windows that element i is in.
fn gather(i: u32) -> f32 {
    let ix = i % dims.width;
    let iy = i / dims.width % dims.height;
    let plane = i / (dims.width * dims.height);
    var sum = 0.0;
    for (var ky = 0u; ky < dims.kernel_height; ky++) {
        // Wraps around to something large where the window would lie before the first.
        let y_reach = iy + dims.padding_y - ky * dims.dilation_y;
        let oy = y_reach / dims.stride_y;
        if y_reach % dims.stride_y != 0u || oy >= dims.out_height {
            continue;
        }
        for (var kx = 0u; kx < dims.kernel_width; kx++) {
            let x_reach = ix + dims.padding_x - kx * dims.dilation_x;
            let ox = x_reach / dims.stride_x;
            if x_reach % dims.stride_x != 0u || ox >= dims.out_width {
                continue;
            }
            let at = (plane * dims.out_height + oy) * dims.out_width + ox;
            sum += gradient[at] * share(plane, at, oy, ox, i, ky, kx);
        }
    }
    return sum;
}
