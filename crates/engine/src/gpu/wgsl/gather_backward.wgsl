
// Columns that one thread adds up: it goes through all indices, which should serve for more than one.
const COLUMNS = 16u;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
    let parts = (dims.width + COLUMNS - 1u) / COLUMNS;
    for (var part = id.x; part < dims.rows * parts; part += groups.x * 64u) {
        let row = part / parts;
        let first = part % parts * COLUMNS;
        let end = min(first + COLUMNS, dims.width);
        let start = row * dims.width;
        for (var c = first; c < end; c++) {
            result[start + c] = 0.0;
        }
        for (var i = 0u; i < dims.count; i++) {
            if u32(indices[i]) == row {
                for (var c = first; c < end; c++) {
                    result[start + c] += gradient[i * dims.width + c];
                }
            }
        }
    }
}
