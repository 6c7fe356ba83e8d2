const HIDDEN = $au;
const SAMPLES = $bu;
const LANES = 64u;
// Gradients by gates that a sample has.
const GATES = $cu;

var<workgroup> du: array<f32, $d>;
var<workgroup> carry: array<f32, $e>;
var<workgroup> cell: array<f32, $e>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {
    let first = group.x * SAMPLES;
    for (var i = lane; i < SAMPLES * HIDDEN; i += LANES) {
        carry[i] = 0.0;
        cell[i] = 0.0;
    }
    workgroupBarrier();
    for (var back = 0u; back < dims.steps; back++) {
        let t = dims.steps - 1u - back;
        for (var j = lane; j < HIDDEN; j += LANES) {
            for (var s = 0u; s < SAMPLES; s++) {
                let at = s * HIDDEN + j;
                carry[at] = unit(s * GATES, first + s, t, j, carry[at]);
            }
        }
        workgroupBarrier();
        for (var j = lane; j < HIDDEN; j += LANES) {
            $A
            for (var i = 0u; i < GATES; i++) {
                let w = weight[i * HIDDEN + j];
                $B
            }
            $C
        }
        workgroupBarrier();
    }
}
