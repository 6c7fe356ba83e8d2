//! Cases: recurrent layers.

use super::*;

fn recurrence(draw: &mut Draw) -> Recurrence {
    Recurrence {
        batch: draw.within(1..=9),
        steps: draw.within(1..=6),
        hidden: draw.one_of(&[1, 3, 8, 64, 70]),
    }
}

/// Random weights small enough that states stay in the middle of their range.
fn weights(draw: &mut Draw, gates: usize, hidden: usize) -> Vec<f32> {
    draw.floats(gates * hidden * hidden).iter().map(|x| x / (hidden as f32).sqrt()).collect()
}

pub(super) fn grus(draw: &mut Draw) -> Case {
    let shape = recurrence(draw);
    let Recurrence { batch, steps, hidden } = shape;
    let gru = Gru { shape, projected: id(0), weight: id(1), bias: id(2), output: id(3), gates: id(4) };
    let contents = vec![
        draw.floats(batch * steps * 3 * hidden),
        weights(draw, 3, hidden),
        draw.floats(3 * hidden),
        vec![0.0; batch * steps * hidden],
        vec![0.0; batch * steps * 4 * hidden],
    ];
    Case { kernel: Kernel::Gru(gru), contents, tolerance: 2e-5 }
}

pub(super) fn lstms(draw: &mut Draw) -> Case {
    let shape = recurrence(draw);
    let Recurrence { batch, steps, hidden } = shape;
    let lstm = Lstm { shape, projected: id(0), weight: id(1), bias: id(2), output: id(3), gates: id(4) };
    let contents = vec![
        draw.floats(batch * steps * 4 * hidden),
        weights(draw, 4, hidden),
        draw.floats(4 * hidden),
        vec![0.0; batch * steps * hidden],
        vec![0.0; batch * steps * 5 * hidden],
    ];
    Case { kernel: Kernel::Lstm(lstm), contents, tolerance: 2e-5 }
}

pub(super) fn grus_backward(draw: &mut Draw) -> Case {
    let shape = recurrence(draw);
    let Recurrence { batch, steps, hidden } = shape;
    let gru = GruBackward {
        shape,
        weight: id(0),
        output: id(1),
        gates: id(2),
        gradient: id(3),
        projected_gradient: id(4),
        hidden_gradient: id(5),
        previous: id(6),
    };
    let states = batch * steps * hidden;
    let contents = vec![
        weights(draw, 3, hidden),
        draw.floats(states),
        draw.floats(4 * states).iter().map(|x| 0.5 + 0.5 * x).collect(),
        draw.floats(states),
        vec![0.0; 3 * states],
        vec![0.0; 3 * states],
        vec![0.0; states],
    ];
    Case { kernel: Kernel::GruBackward(gru), contents, tolerance: 5e-5 }
}

pub(super) fn lstms_backward(draw: &mut Draw) -> Case {
    let shape = recurrence(draw);
    let Recurrence { batch, steps, hidden } = shape;
    let lstm = LstmBackward {
        shape,
        weight: id(0),
        output: id(1),
        gates: id(2),
        gradient: id(3),
        projected_gradient: id(4),
        previous: id(5),
    };
    let states = batch * steps * hidden;
    let contents = vec![
        weights(draw, 4, hidden),
        draw.floats(states),
        draw.floats(5 * states).iter().map(|x| 0.5 + 0.5 * x).collect(),
        draw.floats(states),
        vec![0.0; 4 * states],
        vec![0.0; states],
    ];
    Case { kernel: Kernel::LstmBackward(lstm), contents, tolerance: 5e-5 }
}
