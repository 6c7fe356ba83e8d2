//! Cases: reductions, softmaxes and normalisations.

use super::*;

pub(super) fn reductions(draw: &mut Draw) -> Case {
    let (outer, length, inner) =
        (draw.within(1..=5), draw.one_of(&[1, 7, 64, 300, 1000]), draw.one_of(&[1, 3, 48, 130]));
    let kind = draw.one_of(&[ReduceKind::Sum, ReduceKind::Max]);
    let reduce = Reduce {
        kind,
        outer,
        length,
        inner,
        scale: if kind == ReduceKind::Sum { 0.5 } else { 1.0 },
        loss_scaled: kind == ReduceKind::Sum && draw.flag(),
        input: id(0),
        output: id(1),
    };
    let contents = vec![draw.floats(outer * length * inner), vec![0.0; outer * inner]];
    Case { kernel: Kernel::Reduce(reduce), contents, tolerance: 2e-5 }
}

pub(super) fn softmaxes(draw: &mut Draw) -> Case {
    let (width, sequences) = (draw.one_of(&[1, 7, 10, 64, 300]), draw.within(1..=5));
    let causal = if draw.flag() { draw.within(1..=width) } else { 0 };
    let rows = sequences * causal.max(1);
    let softmax =
        Softmax { rows, width, log: causal == 0 && draw.flag(), causal, input: id(0), output: id(1) };
    let contents = vec![draw.floats(rows * width), vec![0.0; rows * width]];
    Case { kernel: Kernel::Softmax(softmax), contents, tolerance: 2e-5 }
}

pub(super) fn softmaxes_backward(draw: &mut Draw) -> Case {
    let (width, sequences) = (draw.one_of(&[1, 7, 10, 64, 300]), draw.within(1..=5));
    let causal = if draw.flag() { draw.within(1..=width) } else { 0 };
    let rows = sequences * causal.max(1);
    let log = causal == 0 && draw.flag();
    let forward = Softmax { rows, width, log, causal, input: id(0), output: id(1) };
    let contents = vec![draw.floats(rows * width), vec![0.0; rows * width]];
    let output = on_cpu(&program_of(Kernel::Softmax(forward), &contents), &contents, &STEP).remove(1);
    let softmax = SoftmaxBackward { rows, width, log, causal, output: id(0), gradient: id(1), result: id(2) };
    let contents = vec![output, draw.floats(rows * width), vec![0.0; rows * width]];
    Case { kernel: Kernel::SoftmaxBackward(softmax), contents, tolerance: 2e-5 }
}

pub(super) fn cross_entropies(draw: &mut Draw) -> Case {
    let (rows, classes) = (draw.within(1..=90), draw.one_of(&[1, 2, 10, 64, 400]));
    let gradient = draw.flag();
    let loss = CrossEntropy {
        rows,
        classes,
        logits: id(0),
        labels: id(1),
        losses: id(2),
        gradient: gradient.then_some(id(3)),
    };
    let contents = vec![
        draw.floats(rows * classes),
        draw.whole(rows, -1, classes),
        vec![0.0; rows],
        vec![0.0; rows * classes],
    ];
    Case { kernel: Kernel::CrossEntropy(loss), contents, tolerance: 2e-5 }
}

/// Shapes of layer (and RMS) and of group normalisation.
fn norm_shape(draw: &mut Draw) -> NormShape {
    if draw.flag() {
        return NormShape {
            rows: draw.within(1..=80),
            width: draw.one_of(&[1, 5, 48, 300]),
            groups: 1,
            inner: 1,
        };
    }
    let (samples, groups, channels, inner) =
        (draw.within(1..=4), draw.within(1..=4), draw.within(1..=3), draw.one_of(&[1, 9, 100]));
    NormShape { rows: samples * groups, width: channels * inner, groups, inner }
}

pub(super) fn normalisations(draw: &mut Draw) -> Case {
    let shape = norm_shape(draw);
    let (elements, scales) = (shape.rows * shape.width, shape.groups * shape.width / shape.inner);
    let norm = Normalize {
        shape,
        rms: draw.flag(),
        epsilon: 1e-5,
        input: id(0),
        scale: draw.flag().then_some(id(1)),
        bias: draw.flag().then_some(id(2)),
        output: id(3),
        moments: id(4),
    };
    let contents = vec![
        draw.floats(elements),
        draw.floats(scales),
        draw.floats(scales),
        vec![0.0; elements],
        vec![0.0; 2 * shape.rows],
    ];
    // A row of one element has variance 0: 1 / sqrt(epsilon) magnifies.
    Case { kernel: Kernel::Normalize(norm), contents, tolerance: 1e-4 }
}

/// Moments of random rows, as the forward kernel leaves them.
fn moments(draw: &mut Draw, shape: NormShape, rms: bool) -> [Vec<f32>; 2] {
    let elements = shape.rows * shape.width;
    let forward = Normalize {
        shape,
        rms,
        epsilon: 1e-2,
        input: id(0),
        scale: None,
        bias: None,
        output: id(1),
        moments: id(2),
    };
    let contents = vec![draw.floats(elements), vec![0.0; elements], vec![0.0; 2 * shape.rows]];
    let mut after = on_cpu(&program_of(Kernel::Normalize(forward), &contents), &contents, &STEP);
    let moments = after.remove(2);
    [after.remove(0), moments]
}

pub(super) fn normalisations_backward(draw: &mut Draw) -> Case {
    let (shape, rms) = (norm_shape(draw), draw.flag());
    let [input, moments] = moments(draw, shape, rms);
    let norm = NormalizeBackward {
        shape,
        rms,
        input: id(0),
        scale: draw.flag().then_some(id(1)),
        moments: id(2),
        gradient: id(3),
        result: id(4),
    };
    let elements = shape.rows * shape.width;
    let scale = draw.floats(shape.groups * shape.width / shape.inner);
    let contents = vec![input, scale, moments, draw.floats(elements), vec![0.0; elements]];
    Case { kernel: Kernel::NormalizeBackward(norm), contents, tolerance: 1e-4 }
}

pub(super) fn normalisations_by_parameters(draw: &mut Draw) -> Case {
    let (shape, rms) = (norm_shape(draw), draw.flag());
    let [input, moments] = moments(draw, shape, rms);
    let scales = shape.groups * shape.width / shape.inner;
    let norm = NormalizeParameters {
        shape,
        input: id(0),
        moments: id(1),
        gradient: id(2),
        scale: id(3),
        bias: draw.flag().then_some(id(4)),
    };
    let gradient = draw.floats(shape.rows * shape.width);
    let contents = vec![input, moments, gradient, vec![0.0; scales], vec![0.0; scales]];
    Case { kernel: Kernel::NormalizeParameters(norm), contents, tolerance: 1e-4 }
}

pub(super) fn batch_normalisations(draw: &mut Draw) -> Case {
    let (outer, channels, inner) = (draw.within(2..=5), draw.within(1..=9), draw.one_of(&[1, 16, 100]));
    let elements = outer * channels * inner;
    let norm = BatchNormalize {
        outer,
        channels,
        inner,
        training: draw.flag(),
        momentum: 0.1,
        epsilon: 1e-5,
        input: id(0),
        scale: id(1),
        bias: id(2),
        running_mean: id(3),
        running_variance: id(4),
        output: id(5),
        moments: id(6),
    };
    let contents = vec![
        draw.floats(elements),
        draw.floats(channels),
        draw.floats(channels),
        draw.floats(channels),
        draw.floats(channels).iter().map(|x| x.abs() + 0.1).collect(),
        vec![0.0; elements],
        vec![0.0; 2 * channels],
    ];
    Case { kernel: Kernel::BatchNormalize(norm), contents, tolerance: 1e-4 }
}

pub(super) fn batch_normalisations_backward(draw: &mut Draw) -> Case {
    let (outer, channels, inner) = (draw.within(2..=5), draw.within(1..=9), draw.one_of(&[1, 16, 100]));
    let elements = outer * channels * inner;
    let moments = (0..channels).flat_map(|_| [draw.floats(1)[0] * 0.1, 1.5]).collect();
    let norm = BatchNormalizeBackward {
        outer,
        channels,
        inner,
        input: id(0),
        scale: id(1),
        moments: id(2),
        gradient: id(3),
        result: draw.flag().then_some(id(4)),
        scale_gradient: id(5),
        bias_gradient: id(6),
    };
    let contents = vec![
        draw.floats(elements),
        draw.floats(channels),
        moments,
        draw.floats(elements),
        vec![0.0; elements],
        vec![0.0; channels],
        vec![0.0; channels],
    ];
    Case { kernel: Kernel::BatchNormalizeBackward(norm), contents, tolerance: 1e-4 }
}
