fn work(row: u32, lane: u32) {
    let items = dims.outer * dims.inner;
    var mean = running_mean[row];
    var variance = running_variance[row];
    if dims.training == 1u {
        var sum = 0.0;
        for (var t = lane; t < items; t += LANES) {
            sum += input[element(row, t)];
        }
        mean = lanes_sum(sum, lane) / f32(items);
        var squares = 0.0;
        for (var t = lane; t < items; t += LANES) {
            let d = input[element(row, t)] - mean;
            squares += d * d;
        }
        squares = lanes_sum(squares, lane);
        variance = squares / f32(items);
        if lane == 0u {
            let share = bitcast<f32>(dims.momentum);
            running_mean[row] += share * (mean - running_mean[row]);
            let unbiased = squares / f32(max(items, 2u) - 1u);
            running_variance[row] += share * (unbiased - running_variance[row]);
        }
    }
    let inverse = 1.0 / sqrt(variance + bitcast<f32>(dims.epsilon));
    if lane == 0u {
        moments[2u * row] = mean;
        moments[2u * row + 1u] = inverse;
    }
    for (var t = lane; t < items; t += LANES) {
        let at = element(row, t);
        output[at] = (input[at] - mean) * inverse * scale[row] + bias[row];
    }
}

// Where item `t` of a channel lies.
fn element(channel: u32, t: u32) -> u32 {
    return (t / dims.inner * dims.rows + channel) * dims.inner + t % dims.inner;
}
