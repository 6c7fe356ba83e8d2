// `cell` carries the gradient by the cell from step to step.
fn unit(place: u32, sample: u32, t: u32, j: u32, carried: f32) -> f32 {
    let at = min(sample, dims.batch - 1u) * dims.steps + t;
    let i = gates[at * 5u * HIDDEN + j];
    let f = gates[(at * 5u + 1u) * HIDDEN + j];
    let g = gates[(at * 5u + 2u) * HIDDEN + j];
    let o = gates[(at * 5u + 3u) * HIDDEN + j];
    let s = tanh(clamp(gates[(at * 5u + 4u) * HIDDEN + j], -16.0, 16.0));
    var old = 0.0;
    var old_cell = 0.0;
    if t > 0u {
        old = output[(at - 1u) * HIDDEN + j];
        old_cell = gates[((at - 1u) * 5u + 4u) * HIDDEN + j];
    }
    let dh = gradient[at * HIDDEN + j] + carried;
    let slot = place / 4u + j;
    let dc = cell[slot] + dh * o * (1.0 - s * s);
    cell[slot] = dc * f;
    let di = dc * g * i * (1.0 - i);
    let df = dc * old_cell * f * (1.0 - f);
    let dg = dc * i * (1.0 - g * g);
    let do_ = dh * s * o * (1.0 - o);
    du[place + j] = di;
    du[place + HIDDEN + j] = df;
    du[place + 2u * HIDDEN + j] = dg;
    du[place + 3u * HIDDEN + j] = do_;
    if sample < dims.batch {
        previous[at * HIDDEN + j] = old;
        projected_gradient[at * 4u * HIDDEN + j] = di;
        projected_gradient[(at * 4u + 1u) * HIDDEN + j] = df;
        projected_gradient[(at * 4u + 2u) * HIDDEN + j] = dg;
        projected_gradient[(at * 4u + 3u) * HIDDEN + j] = do_;
    }
    return 0.0;
}
