fn work(row: u32, lane: u32) {
    let start = row * dims.width;
    let seen = visible(row);
    var top = LOWEST;
    for (var j = lane; j < seen; j += LANES) {
        top = max(top, input[start + j]);
    }
    top = lanes_max(top, lane);
    var sum = 0.0;
    for (var j = lane; j < seen; j += LANES) {
        let e = exp(input[start + j] - top);
        output[start + j] = e;
        sum += e;
    }
    sum = lanes_sum(sum, lane);
    for (var j = lane; j < dims.width; j += LANES) {
        if j >= seen {
            output[start + j] = select(0.0, LOWEST, dims.log == 1u);
        } else if dims.log == 1u {
            output[start + j] = input[start + j] - top - log(sum);
        } else {
            output[start + j] /= sum;
        }
    }
}
