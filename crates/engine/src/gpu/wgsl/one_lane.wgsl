// One thread per row.
const LOWEST = -3.4028234e38f; // Below every logit.
const LANES = 1u;

fn lanes_sum(x: f32, lane: u32) -> f32 {
    return x;
}

fn lanes_max(x: f32, lane: u32) -> f32 {
    return x;
}

@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let row = (group.x + group.y * groups.x) * 64u + local;
    if row < dims.rows {
        work(row, 0u);
    }
}
