fn work(row: u32, lane: u32) {
    let channels = dims.width / dims.inner;
    let group = row / channels;
    let channel = row % channels;
    var along = 0.0;
    var sum = 0.0;
    for (var t = lane; t < dims.items; t += LANES) {
        let sample = t / dims.inner * dims.groups + group;
        let at = sample * dims.width + channel * dims.inner + t % dims.inner;
        let g = gradient[at];
        along += g * (input[at] - moments[2u * sample]) * moments[2u * sample + 1u];
        sum += g;
    }
    along = lanes_sum(along, lane);
    sum = lanes_sum(sum, lane);
    if lane == 0u {
        scale[row] = along;
        //BIAS bias[row] = sum;
    }
}
