fn work(row: u32, lane: u32) {
    let start = row * dims.width;
    let seen = visible(row);
    var sum = 0.0;
    for (var j = lane; j < seen; j += LANES) {
        let g = gradient[start + j];
        sum += select(g * output[start + j], g, dims.log == 1u);
    }
    sum = lanes_sum(sum, lane);
    for (var j = lane; j < dims.width; j += LANES) {
        let g = gradient[start + j];
        let y = output[start + j];
        let r = select(y * (g - sum), g - exp(y) * sum, dims.log == 1u);
        result[start + j] = select(0.0, r, j < seen);
    }
}
