alias T = f32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    for (var i = id.x; i < dims.count; i += groups.x * 64u) {
        gather(i);
    }
}

fn gather(i: u32) {
    let ix = i % dims.width;
    let iy = i / dims.width % dims.height;
    let c = i / (dims.width * dims.height) % dims.group_in;
    let group = i / (dims.width * dims.height * dims.group_in) % dims.groups;
    let sample = i / (dims.width * dims.height * dims.group_in * dims.groups);
    let positions = dims.kernel_height * dims.kernel_width;
    var sum = $A;
    for (var ky = 0u; ky < dims.kernel_height; ky++) {
        // Wraps around to something large where the output would lie before the first.
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
            var at = ((sample * dims.groups + group) * dims.group_out * dims.out_height + oy) * dims.out_width + ox;
            var k = ((group * dims.group_out) * dims.group_in + c) * positions + ky * dims.kernel_width + kx;
            for (var o = 0u; o < dims.group_out; o++) {
                sum += y[at] * w[k];
                at += dims.out_height * dims.out_width;
                k += dims.group_in * positions;
            }
        }
    }
    let x_ = sum;
    x[i] = activate(x_);
}

fn activate(x: f32) -> f32 {
    return $B;
}
