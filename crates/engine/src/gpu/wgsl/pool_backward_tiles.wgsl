
// One thread per window: the gradient goes to its first largest element, the others get 0.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    for (var i = id.x; i < dims.count; i += groups.x * 64u) {
        spread(i);
    }
}

fn spread(i: u32) {
    let rows = i / dims.out_width * dims.kernel_height;
    let first = rows * dims.width + i % dims.out_width * dims.kernel_width;
    let largest = output[i];
    var left = gradient[i];
    for (var ky = 0u; ky < dims.kernel_height; ky++) {
        for (var kx = 0u; kx < dims.kernel_width; kx++) {
            let at = first + ky * dims.width + kx;
            let found = input[at] == largest;
            result[at] = select(0.0, left, found);
            left = select(left, 0.0, found);
        }
    }
}
