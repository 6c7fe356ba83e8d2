fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

// One unit of one sample; samples over the edge of the batch are computed like the last one and not written.
fn unit(sample: u32, t: u32, j: u32, old: f32, ur: f32, uz: f32, un: f32) -> f32 {
    let at = min(sample, dims.batch - 1u) * dims.steps + t;
    let r = sigmoid(projected[at * 3u * HIDDEN + j] + ur);
    let z = sigmoid(projected[(at * 3u + 1u) * HIDDEN + j] + uz);
    let n = tanh(clamp(projected[(at * 3u + 2u) * HIDDEN + j] + r * un, -16.0, 16.0));
    let h = (1.0 - z) * n + z * old;
    if sample < dims.batch {
        output[at * HIDDEN + j] = h;
        gates[at * 4u * HIDDEN + j] = r;
        gates[(at * 4u + 1u) * HIDDEN + j] = z;
        gates[(at * 4u + 2u) * HIDDEN + j] = n;
        gates[(at * 4u + 3u) * HIDDEN + j] = un;
    }
    return h;
}
