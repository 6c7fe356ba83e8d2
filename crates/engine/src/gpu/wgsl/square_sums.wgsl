fn work(row: u32, lane: u32) {
    var sum = 0.0;
    for (var i = row * LANES + lane; i < dims.elements; i += dims.rows * LANES) {
        sum += gradients[i] * gradients[i];
    }
    sum = lanes_sum(sum, lane);
    if lane == 0u {
        partials[row] = sum;
    }
}
