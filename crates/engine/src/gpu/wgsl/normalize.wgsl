fn work(row: u32, lane: u32) {
    let start = row * dims.width;
    var mean = 0.0;
    if dims.rms == 0u {
        for (var j = lane; j < dims.width; j += LANES) {
            mean += input[start + j];
        }
        mean = lanes_sum(mean, lane) / f32(dims.width);
    }
    var variance = 0.0;
    for (var j = lane; j < dims.width; j += LANES) {
        let d = input[start + j] - mean;
        variance += d * d;
    }
    variance = lanes_sum(variance, lane) / f32(dims.width);
    let inverse = 1.0 / sqrt(variance + bitcast<f32>(dims.epsilon));
    if lane == 0u {
        moments[2u * row] = mean;
        moments[2u * row + 1u] = inverse;
    }
    let channel = row % dims.groups * (dims.width / dims.inner);
    for (var j = lane; j < dims.width; j += LANES) {
        let at = $A;
        output[start + j] = (input[start + j] - mean) * inverse * $B + $C;
    }
}
