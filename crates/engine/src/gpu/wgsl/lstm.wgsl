fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

fn squash(x: f32) -> f32 {
    return tanh(clamp(x, -16.0, 16.0));
}

// One unit of one sample; the cell before is read back from where this thread wrote it.
fn unit(sample: u32, t: u32, j: u32, old: f32, ui: f32, uf: f32, ug: f32, uo: f32) -> f32 {
    let at = min(sample, dims.batch - 1u) * dims.steps + t;
    let i = sigmoid(projected[at * 4u * HIDDEN + j] + ui);
    let f = sigmoid(projected[(at * 4u + 1u) * HIDDEN + j] + uf);
    let g = squash(projected[(at * 4u + 2u) * HIDDEN + j] + ug);
    let o = sigmoid(projected[(at * 4u + 3u) * HIDDEN + j] + uo);
    var c = i * g;
    if t > 0u {
        c += f * gates[((at - 1u) * 5u + 4u) * HIDDEN + j];
    }
    let h = o * squash(c);
    if sample < dims.batch {
        output[at * HIDDEN + j] = h;
        gates[at * 5u * HIDDEN + j] = i;
        gates[(at * 5u + 1u) * HIDDEN + j] = f;
        gates[(at * 5u + 2u) * HIDDEN + j] = g;
        gates[(at * 5u + 3u) * HIDDEN + j] = o;
        gates[(at * 5u + 4u) * HIDDEN + j] = c;
    }
    return h;
}
