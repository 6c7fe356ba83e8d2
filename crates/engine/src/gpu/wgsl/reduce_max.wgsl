fn work(row: u32, lane: u32) {
    let first = row / dims.inner * dims.length * dims.inner + row % dims.inner;
    var top = LOWEST;
    for (var r = lane; r < dims.length; r += LANES) {
        top = max(top, input[first + r * dims.inner]);
    }
    top = lanes_max(top, lane);
    if lane == 0u {
        output[row] = top * bitcast<f32>(dims.scale) * select(1.0, step.loss_scale, dims.loss_scaled == 1u);
    }
}
