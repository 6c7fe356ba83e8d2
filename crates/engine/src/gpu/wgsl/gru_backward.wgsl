fn unit(place: u32, sample: u32, t: u32, j: u32, carried: f32) -> f32 {
    let at = min(sample, dims.batch - 1u) * dims.steps + t;
    let r = gates[at * 4u * HIDDEN + j];
    let z = gates[(at * 4u + 1u) * HIDDEN + j];
    let n = gates[(at * 4u + 2u) * HIDDEN + j];
    let un = gates[(at * 4u + 3u) * HIDDEN + j];
    var old = 0.0;
    if t > 0u {
        old = output[(at - 1u) * HIDDEN + j];
    }
    let dh = gradient[at * HIDDEN + j] + carried;
    let dz = dh * (old - n) * z * (1.0 - z);
    let dn = dh * (1.0 - z) * (1.0 - n * n);
    let dr = dn * un * r * (1.0 - r);
    du[place + j] = dr;
    du[place + HIDDEN + j] = dz;
    du[place + 2u * HIDDEN + j] = dn * r;
    if sample < dims.batch {
        previous[at * HIDDEN + j] = old;
        projected_gradient[at * 3u * HIDDEN + j] = dr;
        projected_gradient[(at * 3u + 1u) * HIDDEN + j] = dz;
        projected_gradient[(at * 3u + 2u) * HIDDEN + j] = dn;
        hidden_gradient[at * 3u * HIDDEN + j] = dr;
        hidden_gradient[(at * 3u + 1u) * HIDDEN + j] = dz;
        hidden_gradient[(at * 3u + 2u) * HIDDEN + j] = dn * r;
    }
    return dh * z;
}
