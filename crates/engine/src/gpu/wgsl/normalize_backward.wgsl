fn work(row: u32, lane: u32) {
    let start = row * dims.width;
    let mean = moments[2u * row];
    let inverse = moments[2u * row + 1u];
    let channel = row % dims.groups * (dims.width / dims.inner);
    var sum = 0.0;
    var along = 0.0;
    for (var j = lane; j < dims.width; j += LANES) {
        let at = $A;
        let g = gradient[start + j] * $B;
        sum += g;
        along += g * (input[start + j] - mean) * inverse;
    }
    sum = select(lanes_sum(sum, lane) / f32(dims.width), 0.0, dims.rms == 1u);
    along = lanes_sum(along, lane) / f32(dims.width);
    for (var j = lane; j < dims.width; j += LANES) {
        let at = $A;
        let x = (input[start + j] - mean) * inverse;
        result[start + j] = inverse * (gradient[start + j] * $B - sum - x * along);
    }
}
