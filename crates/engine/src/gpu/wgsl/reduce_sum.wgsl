fn work(row: u32, lane: u32) {
    let first = row / dims.inner * dims.length * dims.inner + row % dims.inner;
    var sum = 0.0;
    for (var r = lane; r < dims.length; r += LANES) {
        sum += input[first + r * dims.inner];
    }
    sum = lanes_sum(sum, lane);
    if lane == 0u {
        output[row] = sum * bitcast<f32>(dims.scale) * select(1.0, step.loss_scale, dims.loss_scaled == 1u);
    }
}
