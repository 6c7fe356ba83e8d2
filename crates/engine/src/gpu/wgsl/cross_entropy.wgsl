fn work(row: u32, lane: u32) {
    let start = row * dims.width;
    let label = i32(labels[row]);
    var top = LOWEST;
    for (var j = lane; j < dims.width; j += LANES) {
        top = max(top, logits[start + j]);
    }
    top = lanes_max(top, lane);
    var sum = 0.0;
    for (var j = lane; j < dims.width; j += LANES) {
        sum += exp(logits[start + j] - top);
    }
    sum = lanes_sum(sum, lane);
    if lane == 0u {
        let right = logits[start + u32(clamp(label, 0, i32(dims.width) - 1))];
        losses[row] = select(log(sum) + top - right, 0.0, label < 0);
    }
    //$
    for (var j = lane; j < dims.width; j += LANES) {
        let hot = select(0.0, 1.0, i32(j) == label);
        let g = (exp(logits[start + j] - top) / sum - hot) * step.loss_scale;
        gradient[start + j] = select(g, 0.0, label < 0);
    }
    //$
}
