// What kernels of a convolution begin with that give every thread a tile of its own.
// An input of a row, 0 outside: indices before it wrap around, and reading too far gives some number that is not used.
fn load(line: u32, at: i32) -> f32 {
    return select(0.0, x[line + u32(at)], u32(at) < dims.width);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    for (var i = id.x; i < dims.threads; i += groups.x * 64u) {
        tile(i);
    }
}
