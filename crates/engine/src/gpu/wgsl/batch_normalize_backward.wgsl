fn work(row: u32, lane: u32) {
    let items = dims.outer * dims.inner;
    let mean = moments[2u * row];
    let inverse = moments[2u * row + 1u];
    var sum = 0.0;
    var along = 0.0;
    for (var t = lane; t < items; t += LANES) {
        let at = element(row, t);
        sum += gradient[at];
        along += gradient[at] * (input[at] - mean) * inverse;
    }
    sum = lanes_sum(sum, lane);
    along = lanes_sum(along, lane);
    if lane == 0u {
        scale_gradient[row] = along;
        bias_gradient[row] = sum;
    }
    //$
    let share = 1.0 / f32(items);
    for (var t = lane; t < items; t += LANES) {
        let at = element(row, t);
        let x = (input[at] - mean) * inverse;
        result[at] = scale[row] * inverse * (gradient[at] - share * sum - x * share * along);
    }
    //$
}

// Where item `t` of a channel lies.
fn element(channel: u32, t: u32) -> u32 {
    return (t / dims.inner * dims.rows + channel) * dims.inner + t % dims.inner;
}
