alias T = f32;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let size = dims.m * dims.n;
    let count = size * dims.matrices;
    for (var i = id.x; i < count; i += groups.x * 64u) {
        var sum = 0.0;
        for (var slice = 0u; slice < dims.slices; slice++) {
            sum += partials[slice * count + i];
        }
        let matrix = i / size;
        let row = i % size / dims.n;
        let column = i % dims.n;
        let at = dims.c_offset + matrix / dims.batch1 * dims.c_batch0 + matrix % dims.batch1 * dims.c_batch1
            + row * dims.c_row + column;
        let x = sum * bitcast<f32>(dims.alpha)$A;
        c[at] = $B$C;
    }
}
