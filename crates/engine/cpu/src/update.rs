//! The optimiser and what comes before it, over whole slots.

use crate::memory::Memory;
use crate::simd::F4;
use crate::threads::{Rows, Scratch, in_parts};
use lichen_model::program::{
    GRADIENTS, Optimise, PARAMETERS, Rule, STATE0, STATE1, ScaleGradients, StepValues,
};

pub(crate) fn scale_gradients(kernel: &ScaleGradients, memory: &mut Memory) {
    let mut gradients = memory.take_slot(GRADIENTS);
    let mut squares = F4::splat(0.0);
    for part in gradients.chunks_exact(4) {
        let g = F4::load(part);
        squares = squares + g * g;
    }
    let norm = squares.sum().sqrt();
    let factor = kernel.limit / (norm + 1e-6);
    if factor < 1.0 {
        let factor = F4::splat(factor);
        for part in gradients.chunks_exact_mut(4) {
            (F4::load(part) * factor).store(part);
        }
    }
    memory.put_slot(GRADIENTS, gradients);
    memory.get_mut(kernel.norm)[0] = norm;
}

pub(crate) fn optimise(kernel: &Optimise, memory: &mut Memory, step: &StepValues) {
    let mut parameters = memory.take_slot(PARAMETERS);
    let (mut first, mut second) = (memory.take_slot(STATE0), memory.take_slot(STATE1));
    let gradients = memory.slot(GRADIENTS);
    let parts = [&mut parameters, &mut first, &mut second].map(Vec::as_mut_slice);
    match kernel.rule {
        Rule::Sgd { .. } => update_all(parts, gradients, |[p, s, _], g| sgd(kernel.rule, p, g, s, step)),
        Rule::Adam { .. } => {
            update_all(parts, gradients, |[p, m, v], g| adam(kernel.rule, p, g, [m, v], step))
        }
        Rule::Lion { .. } => update_all(parts, gradients, |[p, s, _], g| lion(kernel.rule, p, g, s, step)),
    }
    memory.put_slot(PARAMETERS, parameters);
    memory.put_slot(STATE0, first);
    memory.put_slot(STATE1, second);
}

/// Elements that are updated together, a multiple of four.
const PART: usize = 1024;
/// Multiply-adds that take as long as the update of an element.
const UPDATE: usize = 16;

/// Gives `update` some of the parameters with their state, which may be empty, and their gradients at a time.
#[inline(always)]
fn update_all(parts: [&mut [f32]; 3], gradients: &[f32], update: impl Fn([&mut [f32]; 3], &[f32]) + Sync) {
    let parts = parts.map(|part| Rows::new(part, PART));
    in_parts(parts, UPDATE * PART, &mut Scratch::default(), |first, parts, ()| {
        update(parts, &gradients[first * PART..]);
    });
}

fn sgd(rule: Rule, parameters: &mut [f32], gradients: &[f32], state: &mut [f32], step: &StepValues) {
    let Rule::Sgd { momentum, decay } = rule else { return };
    let (rate, momentum, decay) = (F4::splat(step.learning_rate), F4::splat(momentum), F4::splat(decay));
    let pairs = parameters.chunks_exact_mut(4).zip(gradients.chunks_exact(4));
    if state.is_empty() {
        for (p, g) in pairs {
            let value = F4::load(p);
            (value - rate * (F4::load(g) + decay * value)).store(p);
        }
        return;
    }
    for ((p, g), s) in pairs.zip(state.chunks_exact_mut(4)) {
        let value = F4::load(p);
        let moved = momentum * F4::load(s) + (F4::load(g) + decay * value);
        moved.store(s);
        (value - rate * moved).store(p);
    }
}

fn adam(rule: Rule, parameters: &mut [f32], gradients: &[f32], states: [&mut [f32]; 2], step: &StepValues) {
    let Rule::Adam { beta1, rest1, beta2, rest2, epsilon, decay, decoupled } = rule else { return };
    let [beta1, rest1, beta2, rest2, epsilon] = [beta1, rest1, beta2, rest2, epsilon].map(F4::splat);
    let rate = F4::splat(step.learning_rate * step.first_correction);
    let correction = F4::splat(step.second_correction);
    let coupled = F4::splat(if decoupled { 0.0 } else { decay });
    let kept = F4::splat(if decoupled { 1.0 - step.learning_rate * decay } else { 1.0 });
    let [first, second] = states;
    let pairs = parameters.chunks_exact_mut(4).zip(gradients.chunks_exact(4));
    let states = first.chunks_exact_mut(4).zip(second.chunks_exact_mut(4));
    for ((p, g), (m, v)) in pairs.zip(states) {
        let value = F4::load(p);
        let g = F4::load(g) + coupled * value;
        let mean = beta1 * F4::load(m) + rest1 * g;
        let square = beta2 * F4::load(v) + rest2 * (g * g);
        mean.store(m);
        square.store(v);
        (value * kept - rate * mean / (square.sqrt() * correction + epsilon)).store(p);
    }
}

fn lion(rule: Rule, parameters: &mut [f32], gradients: &[f32], state: &mut [f32], step: &StepValues) {
    let Rule::Lion { beta1, beta2, decay } = rule else { return };
    let rate = F4::splat(step.learning_rate);
    let [beta1, rest1, beta2, rest2, decay] = [beta1, 1.0 - beta1, beta2, 1.0 - beta2, decay].map(F4::splat);
    let pairs = parameters.chunks_exact_mut(4).zip(gradients.chunks_exact(4));
    for ((p, g), s) in pairs.zip(state.chunks_exact_mut(4)) {
        let (value, g, momentum) = (F4::load(p), F4::load(g), F4::load(s));
        let direction = crate::math::sign(beta1 * momentum + rest1 * g);
        (value - rate * (direction + decay * value)).store(p);
        (beta2 * momentum + rest2 * g).store(s);
    }
}
