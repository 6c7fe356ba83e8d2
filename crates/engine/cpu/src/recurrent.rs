//! Recurrent layers: the state's product step by step, weights packed once. Samples are independent of each other.

use crate::gemm::{Finish, View, multiply_packed, pack_right};
use crate::math;
use crate::memory::Memory;
use crate::rows::lanes;
use crate::simd::F4;
use crate::threads::{self, Rows, in_parts};
use lichen_model::program::{BufferId, Gru, GruBackward, Lstm, LstmBackward, Recurrence};

/// Memory kept between kernels: the packed weights, and what each part has for itself.
#[derive(Default)]
pub(crate) struct Scratch {
    weights: Vec<f32>,
    parts: threads::Scratch<Part>,
}

/// Memory kept between steps.
#[derive(Default)]
struct Part {
    product: Vec<f32>,
    state: Vec<f32>,
    cell: Vec<f32>,
    left: Vec<f32>,
}

/// Multiply-adds of a sample, those counted in that its gates' functions are worth.
fn cost(shape: &Recurrence, wide: usize) -> usize {
    shape.steps * wide * (shape.hidden + GATE)
}

/// Multiply-adds that take as long as a gate's function.
const GATE: usize = 64;

/// The extents with as many samples as `result` has, `wide` numbers a step.
fn part(shape: &Recurrence, result: &[f32], wide: usize) -> Recurrence {
    Recurrence { batch: result.len() / (shape.steps * wide), ..*shape }
}

/// Rows of the samples from `first` on.
fn from<'a>(first: usize, shape: &Recurrence, data: &'a [f32], wide: usize) -> &'a [f32] {
    &data[first * shape.steps * wide..]
}

/// `product = h Wᵀ (+ bias)` for the states before step `t`, which for t = 0 are zero.
fn recur(shape: &Recurrence, t: usize, output: &[f32], bias: &[f32], weights: &[f32], scratch: &mut Part) {
    let wide = bias.len();
    scratch.product.resize(shape.batch * wide, 0.0);
    if t == 0 {
        scratch.product.chunks_exact_mut(wide).for_each(|row| row.copy_from_slice(bias));
        return;
    }
    let states = View { data: &output[(t - 1) * shape.hidden..], row: shape.steps * shape.hidden, column: 1 };
    let finish = Finish { bias: Some(bias), ..Finish::PLAIN };
    let extents = [shape.batch, wide, shape.hidden];
    multiply_packed(states, weights, &mut scratch.product, wide, extents, &finish, &mut scratch.left);
}

/// Parts of a row, one per gate.
fn gates<const N: usize>(row: &[f32], hidden: usize) -> [std::slice::Chunks<'_, f32>; N] {
    std::array::from_fn(|gate| row[gate * hidden..(gate + 1) * hidden].chunks(4))
}

fn gates_mut<const N: usize>(row: &mut [f32], hidden: usize) -> [&mut [f32]; N] {
    let mut parts = row.chunks_exact_mut(hidden);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Row `(sample, t)` of `[batch, steps, wide]`.
fn row(data: &[f32], shape: &Recurrence, sample: usize, t: usize, wide: usize) -> std::ops::Range<usize> {
    let start = (sample * shape.steps + t) * wide;
    debug_assert!(start + wide <= data.len(), "rows lie inside their buffer");
    start..start + wide
}

pub(crate) fn gru(kernel: &Gru, memory: &mut Memory, scratch: &mut Scratch) {
    let Gru { shape, output, gates, projected, weight, bias } = kernel;
    forward(shape, [output, gates, projected, weight, bias], 3, memory, scratch, gru_samples);
}

pub(crate) fn lstm(kernel: &Lstm, memory: &mut Memory, scratch: &mut Scratch) {
    let Lstm { shape, output, gates, projected, weight, bias } = kernel;
    forward(shape, [output, gates, projected, weight, bias], 4, memory, scratch, lstm_samples);
}

/// Takes some samples through all steps: extents, inputs projected, bias, packed weights, states and gates.
type Samples = fn(&Recurrence, &[f32], &[f32], &[f32], [&mut [f32]; 2], &mut Part);

/// Runs a layer whose state goes into so many `gates`, and of which one number more for each of the state's is kept.
fn forward(
    shape: &Recurrence,
    [output, saved, projected, weight, bias]: [&BufferId; 5],
    gates: usize,
    memory: &mut Memory,
    scratch: &mut Scratch,
    run: Samples,
) {
    let (hidden, wide) = (shape.hidden, gates * shape.hidden);
    let (mut output, mut saved) = (memory.take(*output), memory.take(*saved));
    let (projected, bias) = (memory.get(*projected), memory.get(*bias));
    let weight = View { data: memory.get(*weight), row: 1, column: hidden };
    pack_right(&mut scratch.weights, weight, wide, hidden);
    let Scratch { weights, parts } = scratch;
    let results = [(&mut *output, hidden), (&mut *saved, wide + hidden)];
    let results = results.map(|(data, wide)| Rows::new(data, shape.steps * wide));
    in_parts(results, cost(shape, wide), parts, |first, [output, saved], scratch| {
        let (shape, projected) = (part(shape, output, hidden), from(first, shape, projected, wide));
        run(&shape, projected, bias, weights, [output, saved], scratch);
    });
    memory.put(output);
    memory.put(saved);
}

fn gru_samples(
    shape: &Recurrence,
    projected: &[f32],
    bias: &[f32],
    weights: &[f32],
    [output, saved]: [&mut [f32]; 2],
    scratch: &mut Part,
) {
    let (hidden, wide) = (shape.hidden, 3 * shape.hidden);
    let exponential = math::Exponential::new();
    scratch.state.clear();
    scratch.state.resize(hidden, 0.0);
    for t in 0..shape.steps {
        recur(shape, t, output, bias, weights, scratch);
        for sample in 0..shape.batch {
            let x = &projected[row(projected, shape, sample, t, wide)];
            let u = &scratch.product[sample * wide..(sample + 1) * wide];
            let at = row(output, shape, sample, t, hidden);
            if t > 0 {
                scratch.state.copy_from_slice(&output[at.start - hidden..at.start]);
            } else {
                scratch.state.fill(0.0);
            }
            let gate_row = row(saved, shape, sample, t, 4 * hidden);
            let [r_to, z_to, n_to, u_to] = gates_mut(&mut saved[gate_row], hidden);
            let ([xr, xz, xn], [ur, uz, un]) = (gates::<3>(x, hidden), gates::<3>(u, hidden));
            let inputs = xr.zip(xz).zip(xn).zip(ur.zip(uz).zip(un));
            let places =
                r_to.chunks_mut(4).zip(z_to.chunks_mut(4)).zip(n_to.chunks_mut(4).zip(u_to.chunks_mut(4)));
            let states = output[at].chunks_mut(4).zip(scratch.state.chunks(4));
            for (((((xr, xz), xn), ((ur, uz), un)), ((r_to, z_to), (n_to, u_to))), (to, h)) in
                inputs.zip(places).zip(states)
            {
                let r = exponential.sigmoid(F4::load_in_loop(xr) + F4::load_in_loop(ur));
                let z = exponential.sigmoid(F4::load_in_loop(xz) + F4::load_in_loop(uz));
                let u = F4::load_in_loop(un);
                let n = math::tanh(F4::load_in_loop(xn) + r * u);
                ((F4::splat(1.0) - z) * n + z * F4::load_in_loop(h)).store_in_loop(to);
                r.store_in_loop(r_to);
                z.store_in_loop(z_to);
                n.store_in_loop(n_to);
                u.store_in_loop(u_to);
            }
        }
    }
}

pub(crate) fn gru_backward(kernel: &GruBackward, memory: &mut Memory, scratch: &mut Scratch) {
    let shape = &kernel.shape;
    let (hidden, wide) = (shape.hidden, 3 * shape.hidden);
    let mut by_input = memory.take(kernel.projected_gradient);
    let mut by_state = memory.take(kernel.hidden_gradient);
    let mut previous = memory.take(kernel.previous);
    let (output, saved, gradient) =
        (memory.get(kernel.output), memory.get(kernel.gates), memory.get(kernel.gradient));
    shift(shape, output, &mut previous);
    let weight = View { data: memory.get(kernel.weight), row: hidden, column: 1 };
    pack_right(&mut scratch.weights, weight, hidden, wide);
    let Scratch { weights, parts } = scratch;
    let results = [&mut *by_input, &mut *by_state].map(|data| Rows::new(data, shape.steps * wide));
    in_parts(results, cost(shape, wide), parts, |first, results, scratch| {
        let shape = part(shape, results[0], wide);
        let from = |data, wide| from(first, &shape, data, wide);
        let inputs = [from(&previous, hidden), from(saved, 4 * hidden), from(gradient, hidden)];
        gru_samples_backward(&shape, inputs, weights, results, scratch);
    });
    memory.put(by_input);
    memory.put(by_state);
    memory.put(previous);
}

fn gru_samples_backward(
    shape: &Recurrence,
    [previous, saved, gradient]: [&[f32]; 3],
    weights: &[f32],
    [by_input, by_state]: [&mut [f32]; 2],
    scratch: &mut Part,
) {
    let (hidden, wide) = (shape.hidden, 3 * shape.hidden);
    // Gradient by the state, from later steps.
    scratch.state.clear();
    scratch.state.resize(shape.batch * hidden, 0.0);
    for t in (0..shape.steps).rev() {
        for sample in 0..shape.batch {
            let carried = &mut scratch.state[sample * hidden..(sample + 1) * hidden];
            let g = &gradient[row(gradient, shape, sample, t, hidden)];
            let h = &previous[row(previous, shape, sample, t, hidden)];
            let wide_row = row(by_input, shape, sample, t, wide);
            let [r_to, z_to, n_to] = gates_mut(&mut by_input[wide_row.clone()], hidden);
            let [rh_to, zh_to, nh_to] = gates_mut(&mut by_state[wide_row], hidden);
            let [r, z, n, u] = gates::<4>(&saved[row(saved, shape, sample, t, 4 * hidden)], hidden);
            let inputs = r.zip(z).zip(n.zip(u)).zip(g.chunks(4).zip(h.chunks(4)));
            let places = r_to.chunks_mut(4).zip(z_to.chunks_mut(4)).zip(n_to.chunks_mut(4));
            let copies = rh_to.chunks_mut(4).zip(zh_to.chunks_mut(4)).zip(nh_to.chunks_mut(4));
            for (((((r, z), (n, u)), (g, h)), (((r_to, z_to), n_to), ((rh_to, zh_to), nh_to))), carried) in
                inputs.zip(places.zip(copies)).zip(carried.chunks_mut(4))
            {
                let one = F4::splat(1.0);
                let [r, z, n, u, g, h] = [r, z, n, u, g, h].map(F4::load_in_loop);
                let g = g + F4::load_in_loop(carried);
                let by_n = g * (one - z) * (one - n * n);
                let by_z = g * (h - n) * z * (one - z);
                let by_r = by_n * u * r * (one - r);
                by_r.store_in_loop(r_to);
                by_r.store_in_loop(rh_to);
                by_z.store_in_loop(z_to);
                by_z.store_in_loop(zh_to);
                by_n.store_in_loop(n_to);
                (by_n * r).store_in_loop(nh_to);
                (g * z).store_in_loop(carried);
            }
        }
        let rows = View { data: &by_state[t * wide..], row: shape.steps * wide, column: 1 };
        let finish = Finish { accumulate: true, ..Finish::PLAIN };
        let extents = [shape.batch, hidden, wide];
        multiply_packed(rows, weights, &mut scratch.state, hidden, extents, &finish, &mut scratch.left);
    }
}

/// The states one step later, zeros first.
fn shift(shape: &Recurrence, output: &[f32], previous: &mut [f32]) {
    let size = shape.steps * shape.hidden;
    for (to, from) in previous.chunks_exact_mut(size).zip(output.chunks_exact(size)) {
        to[..shape.hidden].fill(0.0);
        to[shape.hidden..].copy_from_slice(&from[..size - shape.hidden]);
    }
}

fn lstm_samples(
    shape: &Recurrence,
    projected: &[f32],
    bias: &[f32],
    weights: &[f32],
    [output, saved]: [&mut [f32]; 2],
    scratch: &mut Part,
) {
    let (hidden, wide) = (shape.hidden, 4 * shape.hidden);
    scratch.cell.clear();
    scratch.cell.resize(shape.batch * hidden, 0.0);
    for t in 0..shape.steps {
        recur(shape, t, output, bias, weights, scratch);
        for sample in 0..shape.batch {
            let x = &projected[row(projected, shape, sample, t, wide)];
            let u = &scratch.product[sample * wide..(sample + 1) * wide];
            let at = row(output, shape, sample, t, hidden);
            let gate_row = row(saved, shape, sample, t, 5 * hidden);
            let [i_to, f_to, g_to, o_to, c_to] = gates_mut(&mut saved[gate_row], hidden);
            let ([xi, xf, xg, xo], [ui, uf, ug, uo]) = (gates::<4>(x, hidden), gates::<4>(u, hidden));
            let inputs = xi.zip(ui).zip(xf.zip(uf)).zip(xg.zip(ug).zip(xo.zip(uo)));
            let places =
                i_to.chunks_mut(4).zip(f_to.chunks_mut(4)).zip(g_to.chunks_mut(4).zip(o_to.chunks_mut(4)));
            let states = output[at].chunks_mut(4).zip(c_to.chunks_mut(4));
            let cells = scratch.cell[sample * hidden..(sample + 1) * hidden].chunks_mut(4);
            for (
                (((((xi, ui), (xf, uf)), ((xg, ug), (xo, uo))), ((i_to, f_to), (g_to, o_to))), (to, c_to)),
                cell,
            ) in inputs.zip(places).zip(states).zip(cells)
            {
                let pre = |x: &[f32], u: &[f32]| lanes(x, 0.0) + lanes(u, 0.0);
                let (i, f) = (math::sigmoid(pre(xi, ui)), math::sigmoid(pre(xf, uf)));
                let (g, o) = (math::tanh(pre(xg, ug)), math::sigmoid(pre(xo, uo)));
                let c = f * lanes(cell, 0.0) + i * g;
                (o * math::tanh(c)).store(to);
                c.store(cell);
                c.store(c_to);
                i.store(i_to);
                f.store(f_to);
                g.store(g_to);
                o.store(o_to);
            }
        }
    }
}

pub(crate) fn lstm_backward(kernel: &LstmBackward, memory: &mut Memory, scratch: &mut Scratch) {
    let shape = &kernel.shape;
    let (hidden, wide) = (shape.hidden, 4 * shape.hidden);
    let mut by_input = memory.take(kernel.projected_gradient);
    let mut previous = memory.take(kernel.previous);
    let (output, saved, gradient) =
        (memory.get(kernel.output), memory.get(kernel.gates), memory.get(kernel.gradient));
    shift(shape, output, &mut previous);
    let weight = View { data: memory.get(kernel.weight), row: hidden, column: 1 };
    pack_right(&mut scratch.weights, weight, hidden, wide);
    let Scratch { weights, parts } = scratch;
    let results = [Rows::new(&mut by_input, shape.steps * wide)];
    in_parts(results, cost(shape, wide), parts, |first, [by_input], scratch| {
        let shape = part(shape, by_input, wide);
        let from = |data, wide| from(first, &shape, data, wide);
        let inputs = [from(saved, 5 * hidden), from(gradient, hidden)];
        lstm_samples_backward(&shape, inputs, weights, by_input, scratch);
    });
    memory.put(by_input);
    memory.put(previous);
}

fn lstm_samples_backward(
    shape: &Recurrence,
    [saved, gradient]: [&[f32]; 2],
    weights: &[f32],
    by_input: &mut [f32],
    scratch: &mut Part,
) {
    let (hidden, wide) = (shape.hidden, 4 * shape.hidden);
    for carried in [&mut scratch.state, &mut scratch.cell] {
        carried.clear();
        carried.resize(shape.batch * hidden, 0.0);
    }
    let zeros = vec![0.0; hidden];
    for t in (0..shape.steps).rev() {
        for sample in 0..shape.batch {
            let at = sample * hidden..(sample + 1) * hidden;
            let (state, cell) = (&mut scratch.state[at.clone()], &mut scratch.cell[at]);
            let g = &gradient[row(gradient, shape, sample, t, hidden)];
            let gate_row = row(saved, shape, sample, t, 5 * hidden);
            let before = if t == 0 { &zeros } else { &saved[gate_row.start - hidden..gate_row.start] };
            let [i, f, n, o, c] = gates::<5>(&saved[gate_row], hidden);
            let wide_row = row(by_input, shape, sample, t, wide);
            let [i_to, f_to, g_to, o_to] = gates_mut(&mut by_input[wide_row], hidden);
            let inputs = i.zip(f).zip(n.zip(o)).zip(c.zip(before.chunks(4)).zip(g.chunks(4)));
            let places =
                i_to.chunks_mut(4).zip(f_to.chunks_mut(4)).zip(g_to.chunks_mut(4).zip(o_to.chunks_mut(4)));
            let carried = state.chunks_mut(4).zip(cell.chunks_mut(4));
            for (((((i, f), (n, o)), ((c, before), g)), ((i_to, f_to), (g_to, o_to))), (state, cell)) in
                inputs.zip(places).zip(carried)
            {
                let one = F4::splat(1.0);
                let [i, f, n, o, c, before, g] = [i, f, n, o, c, before, g].map(|part| lanes(part, 0.0));
                let g = g + lanes(state, 0.0);
                let squashed = math::tanh(c);
                let by_cell = lanes(cell, 0.0) + g * o * (one - squashed * squashed);
                (by_cell * n * i * (one - i)).store(i_to);
                (by_cell * before * f * (one - f)).store(f_to);
                (by_cell * i * (one - n * n)).store(g_to);
                (g * squashed * o * (one - o)).store(o_to);
                (by_cell * f).store(cell);
            }
        }
        let rows = View { data: &by_input[t * wide..], row: shape.steps * wide, column: 1 };
        let extents = [shape.batch, hidden, wide];
        multiply_packed(
            rows,
            weights,
            &mut scratch.state,
            hidden,
            extents,
            &Finish::PLAIN,
            &mut scratch.left,
        );
    }
}
