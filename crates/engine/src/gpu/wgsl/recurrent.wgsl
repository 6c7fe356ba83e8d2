const HIDDEN = $au;
const SAMPLES = $bu;
const LANES = 64u;

// What the cells of two steps hold, after each other.
var<workgroup> state: array<f32, $c>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let first = group.x * SAMPLES;
    for (var i = lane; i < 2u * SAMPLES * HIDDEN; i += LANES) {
        state[i] = 0.0;
    }
    workgroupBarrier();
    for (var t = 0u; t < dims.steps; t++) {
        let now = t % 2u * SAMPLES * HIDDEN;
        let next = SAMPLES * HIDDEN - now;
        for (var j = lane; j < HIDDEN; j += LANES) {
            $A
            for (var k = 0u; k < HIDDEN; k += $du) {
                $B
            }
            var sums = array<f32, $e>($C);
            for (var s = 0u; s < SAMPLES; s++) {
                let at = s * HIDDEN + j;
                state[next + at] = unit(first + s, t, j, state[now + at]$D);
            }
        }
        workgroupBarrier();
    }
}
