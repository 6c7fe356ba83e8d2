fn work(row: u32, lane: u32) {
    var squares = 0.0;
    for (var i = lane; i < dims.parts; i += LANES) {
        squares += partials[i];
    }
    let length = sqrt(lanes_sum(squares, lane));
    if row == 0u && lane == 0u {
        norm[0] = length;
    }
    let factor = min(1.0, bitcast<f32>(dims.limit) / (length + 1e-6));
    for (var i = row * LANES + lane; i < dims.elements; i += dims.rows * LANES) {
        gradients[i] *= factor;
    }
}
