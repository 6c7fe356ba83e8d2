alias T = vec4f;
// Rows and columns of a thread's tile of the result, and extent along K of one step.
const TILE = $au;
const STEP = $bu;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) local: u32, @builtin(workgroup_id) group: vec3u) {
    let row = local / dims.across;
    let m0 = (group.y * dims.down + row) * TILE;
    let n0 = (group.x * dims.across + local % dims.across) * TILE;
    if row >= dims.down || m0 >= dims.m || n0 >= dims.n || dims.result_below * n0 > m0 {
        return;
    }
    let matrix = group.z / dims.slices;
    let slice = group.z % dims.slices;
    let p = matrix / dims.batch1;
    let q = matrix % dims.batch1;
    var begin = slice * dims.k_slice;
    var end = min(dims.k, begin + dims.k_slice);
    begin = max(begin, dims.left_above * (m0 / STEP));
    end = min(end, select(dims.k, (m0 + TILE) / STEP, dims.left_below == 1u));
    let a0 = dims.a_offset + p * dims.a_batch0 + q * dims.a_batch1;
    let b0 = dims.b_offset + p * dims.b_batch0 + q * dims.b_batch1;
    let c0 = dims.c_offset + slice * dims.c_slice + p * dims.c_batch0 + q * dims.c_batch1;
    $A
    for (var k = begin; k < end; k++) {
        $B
    }
    // The tile goes through an array, so that the kernel stays short enough to be compiled quickly.
    var tile = array<vec4f, $c>($C);
    let last = dims.n - 1u;
    for (var i = 0u; i < min(TILE, dims.m - m0); i++) {
        for (var column = n0; column < min(n0 + TILE, dims.n); column += 4u) {
            let at = c0 + (m0 + i) * dims.c_row + column;
            var y = tile[i * (TILE / 4u) + (column - n0) / 4u] * bitcast<f32>(dims.alpha);
            if dims.biased == 1u {
                y += $D;
            }
            let x = select(y * bitcast<f32>(dims.slope), y, y > T());
            y = $G;
            if dims.accumulate == 1u {
                y += $E;
            }
            $F
        }
    }
}
