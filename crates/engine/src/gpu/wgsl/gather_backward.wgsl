
// Indices looked at before the rows found are added up.
const BLOCK = 1024u;

var<workgroup> counts: array<u32, 64>;
var<workgroup> found: array<u32, 1024>;

// One workgroup per row of the table: find who names it, in order, then add up.
@compute @workgroup_size(64)
fn main(
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let row = group.x + group.y * groups.x;
    if row >= dims.rows {
        return;
    }
    for (var c = lane; c < dims.width; c += 64u) {
        result[row * dims.width + c] = 0.0;
    }
    for (var block = 0u; block < dims.count; block += BLOCK) {
        let first = block + lane * (BLOCK / 64u);
        let end = min(first + BLOCK / 64u, dims.count);
        var mine = 0u;
        for (var i = first; i < end; i++) {
            mine += select(0u, 1u, u32(indices[i]) == row);
        }
        counts[lane] = mine;
        workgroupBarrier();
        var at = 0u;
        var total = 0u;
        for (var other = 0u; other < 64u; other++) {
            at += select(0u, counts[other], other < lane);
            total += counts[other];
        }
        for (var i = first; i < end; i++) {
            if u32(indices[i]) == row {
                found[at] = i;
                at += 1u;
            }
        }
        workgroupBarrier();
        for (var c = lane; c < dims.width; c += 64u) {
            var sum = result[row * dims.width + c];
            for (var k = 0u; k < total; k++) {
                sum += gradient[found[k] * dims.width + c];
            }
            result[row * dims.width + c] = sum;
        }
        workgroupBarrier();
    }
}
