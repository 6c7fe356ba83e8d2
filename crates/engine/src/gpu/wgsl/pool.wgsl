
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    for (var i = id.x; i < dims.count; i += groups.x * 64u) {
        output[i] = pool(i);
    }
}

fn pool(i: u32) -> f32 {
    let top = i32(i / dims.out_width % dims.out_height * dims.stride_y) - i32(dims.padding_y);
    let left = i32(i % dims.out_width * dims.stride_x) - i32(dims.padding_x);
    let plane = i / (dims.out_width * dims.out_height) * dims.height;
    var largest = -3.4028234e38f;
    var sum = 0.0;
    var seen = 0u;
    for (var ky = 0u; ky < dims.kernel_height; ky++) {
        let iy = top + i32(ky * dims.dilation_y);
        //$
        if iy < 0 || iy >= i32(dims.height) {
            continue;
        }
        //$
        for (var kx = 0u; kx < dims.kernel_width; kx++) {
            let ix = left + i32(kx * dims.dilation_x);
            //$
            if ix < 0 || ix >= i32(dims.width) {
                continue;
            }
            //$
            let x = input[(plane + u32(iy)) * dims.width + u32(ix)];
            largest = max(largest, x);
            sum += x;
            seen += 1u;
        }
    }
    if dims.kind == 0u {
        return largest;
    }
    return sum / f32(max(seen, 1u));
}
