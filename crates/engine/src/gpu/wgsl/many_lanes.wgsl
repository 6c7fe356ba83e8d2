// One workgroup per row; sums are trees of a fixed shape.
const LOWEST = -3.4028234e38f; // Below every logit.
const LANES = 64u;

var<workgroup> shared_lanes: array<f32, 64>;

fn lanes_sum(x: f32, lane: u32) -> f32 {
    shared_lanes[lane] = x;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            shared_lanes[lane] += shared_lanes[lane + half];
        }
        workgroupBarrier();
    }
    let sum = shared_lanes[0];
    workgroupBarrier();
    return sum;
}

fn lanes_max(x: f32, lane: u32) -> f32 {
    shared_lanes[lane] = x;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half {
            shared_lanes[lane] = max(shared_lanes[lane], shared_lanes[lane + half]);
        }
        workgroupBarrier();
    }
    let top = shared_lanes[0];
    workgroupBarrier();
    return top;
}

@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) local: u32,
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let row = group.x + group.y * groups.x;
    if row < dims.rows {
        work(row, local);
    }
}
