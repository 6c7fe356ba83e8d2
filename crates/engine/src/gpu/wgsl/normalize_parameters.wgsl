fn work(row: u32, lane: u32) {
    let channels = dims.width / dims.inner;
    let group = row % dims.channels / channels;
    let channel = row % channels;
    let first = row / dims.channels * dims.part;
    var along = 0.0;
    var sum = 0.0;
    for (var t = first; t < min(first + dims.part, dims.items); t++) {
        let sample = t / dims.inner * dims.groups + group;
        let at = sample * dims.width + channel * dims.inner + t % dims.inner;
        let g = gradient[at];
        along += g * (input[at] - moments[2u * sample]) * moments[2u * sample + 1u];
        sum += g;
    }
    partials[row] = along;
    partials[dims.rows + row] = sum;
}
