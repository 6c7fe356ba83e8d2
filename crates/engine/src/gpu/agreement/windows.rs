//! Cases: convolutions and pools.

use super::*;

fn window(draw: &mut Draw) -> Window {
    let groups = draw.one_of(&[1, 1, 2]);
    let kernel = [draw.within(1..=3), draw.one_of(&[1, 2, 3, 5, 9])];
    let stride = [draw.within(1..=2), draw.one_of(&[1, 1, 2, 3])];
    let dilation = [1, draw.one_of(&[1, 1, 2])];
    let padding = [draw.within(0..=kernel[0] - 1), draw.within(0..=kernel[1] - 1)];
    let reach = |axis: usize| dilation[axis] * (kernel[axis] - 1) + 1;
    let input = [reach(0) + draw.within(0..=6), reach(1) + draw.within(0..=12)];
    let output = [0, 1].map(|axis| (input[axis] + 2 * padding[axis] - reach(axis)) / stride[axis] + 1);
    let (in_channels, out_channels) = (groups * draw.within(1..=5), groups * draw.within(1..=9));
    Window {
        batch: draw.within(1..=3),
        in_channels,
        out_channels,
        input,
        output,
        kernel,
        stride,
        padding,
        dilation,
        groups,
    }
}

fn convolution(draw: &mut Draw, direction: Direction) -> Case {
    let window = window(draw);
    let Window { batch, in_channels, out_channels, input, output, kernel, groups, .. } = window;
    let written = if direction == Direction::Input { in_channels } else { out_channels };
    let with_bias = direction != Direction::Weight && draw.flag();
    let activation = if with_bias { draw.epilogue() } else { Epilogue::None };
    let convolution = Convolution {
        direction,
        window,
        x: id(0),
        w: id(1),
        y: id(2),
        bias: with_bias.then_some(id(3)),
        activation,
    };
    let contents = vec![
        draw.floats(batch * in_channels * input[0] * input[1]),
        draw.floats(out_channels * in_channels / groups * kernel[0] * kernel[1]),
        draw.floats(batch * out_channels * output[0] * output[1]),
        draw.floats(written),
    ];
    Case { kernel: Kernel::Convolution(convolution), contents, tolerance: 5e-5 }
}

pub(super) fn convolutions(draw: &mut Draw) -> Case {
    convolution(draw, Direction::Forward)
}

pub(super) fn convolutions_by_input(draw: &mut Draw) -> Case {
    convolution(draw, Direction::Input)
}

pub(super) fn convolutions_by_weight(draw: &mut Draw) -> Case {
    convolution(draw, Direction::Weight)
}

fn pool_window(draw: &mut Draw) -> Window {
    // No layer makes a dilated pool.
    let window = Window { dilation: [1, 1], ..window(draw) };
    let half = |axis: usize| window.padding[axis].min(window.kernel[axis] / 2);
    let padding = [half(0), half(1)];
    // Behind the last element the border may be wider than before the first.
    let behind = [0, 1].map(|axis| draw.within(padding[axis]..=window.kernel[axis] / 2));
    let output = [0, 1].map(|axis| {
        let extent = window.input[axis] + padding[axis] + behind[axis];
        (extent - window.kernel[axis]) / window.stride[axis] + 1
    });
    Window { out_channels: window.in_channels, groups: 1, padding, output, ..window }
}

const POOLS: [PoolKind; 2] = [PoolKind::Max, PoolKind::Average];

pub(super) fn pools(draw: &mut Draw) -> Case {
    let window = pool_window(draw);
    let Window { batch, in_channels, input, output, .. } = window;
    let contents = vec![
        draw.floats(batch * in_channels * input[0] * input[1]),
        vec![0.0; batch * in_channels * output[0] * output[1]],
    ];
    let pool = Pool { kind: draw.one_of(&POOLS), window, input: id(0), output: id(1) };
    Case { kernel: Kernel::Pool(pool), contents, tolerance: 2e-6 }
}

pub(super) fn pools_backward(draw: &mut Draw) -> Case {
    let window = pool_window(draw);
    let Window { batch, in_channels, input, output, .. } = window;
    let (inputs, outputs) =
        (batch * in_channels * input[0] * input[1], batch * in_channels * output[0] * output[1]);
    let kind = draw.one_of(&POOLS);
    // Few distinct numbers, so that windows have several largest elements.
    let contents = vec![draw.whole(inputs, 0, 5), vec![0.0; outputs]];
    let forward = Pool { kind, window, input: id(0), output: id(1) };
    let forward = on_cpu(&program_of(Kernel::Pool(forward), &contents), &contents, &STEP);
    let pool = PoolBackward { kind, window, input: id(0), output: id(1), gradient: id(2), result: id(3) };
    let contents = vec![forward[0].clone(), forward[1].clone(), draw.floats(outputs), vec![0.0; inputs]];
    Case { kernel: Kernel::PoolBackward(pool), contents, tolerance: 2e-5 }
}
