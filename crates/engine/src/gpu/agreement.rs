//! Property tests: over random shapes, every kernel gives on the GPU what it gives on the CPU.
//!
//! Tolerance: 2e-5 of the larger of one and the element's size for everything that is a bounded sum; the tests say where
//! it is another.

use std::marker::Copy as Copyable;
use std::ops::RangeInclusive;
use std::rc::Rc;

use lichen_model::program::*;

use super::lower::lower;
use super::testing::{assert_close, on_cpu, open, program_of, run, validate};

/// Random shapes and contents, the same in every run.
struct Draw(u64);

/// A kernel with what its buffers hold; buffer `n` is the `n`th of `contents`.
struct Case {
    kernel: Kernel,
    contents: Vec<Vec<f32>>,
    tolerance: f64,
}

impl Draw {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn within(&mut self, range: RangeInclusive<usize>) -> usize {
        let size = (range.end() - range.start() + 1) as u64;
        range.start() + (self.word() % size) as usize
    }

    fn flag(&mut self) -> bool {
        self.word() & 1 == 1
    }

    fn one_of<T: Copyable>(&mut self, choices: &[T]) -> T {
        choices[self.within(0..=choices.len() - 1)]
    }

    /// Numbers in -1..1.
    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.word() >> 40) as f32 / 8_388_608.0 - 1.0).collect()
    }

    /// Whole numbers from `from` (may be -1) up to below `below`.
    fn whole(&mut self, count: usize, from: i32, below: usize) -> Vec<f32> {
        (0..count)
            .map(|_| (self.within(0..=below - 1 + usize::from(from < 0)) as i32 + from.min(0)) as f32)
            .collect()
    }

    fn epilogue(&mut self) -> Epilogue {
        self.one_of(&[
            Epilogue::None,
            Epilogue::Relu,
            Epilogue::LeakyRelu(0.1),
            Epilogue::Tanh,
            Epilogue::Sigmoid,
        ])
    }
}

fn id(index: u32) -> BufferId {
    BufferId(index)
}

const STEP: StepValues = StepValues {
    learning_rate: 0.01,
    first_correction: 1.5,
    second_correction: 1.2,
    loss_scale: 0.125,
    step: 3,
    seed: 77,
};

/// Runs random cases of one kind on both back ends and compares every buffer.
async fn agree(make: impl Fn(&mut Draw) -> Case) {
    let Some(mut gpu) = open().await else { return };
    // SwiftShader takes its time to compile.
    const CASES: u64 = if cfg!(target_arch = "wasm32") { 8 } else { 24 };
    for seed in 0..CASES {
        let width = if seed % 2 == 0 { 8192 } else { 1 };
        Rc::get_mut(&mut gpu).unwrap().width = width;
        let Case { kernel, contents, tolerance } = make(&mut Draw(seed));
        let program = program_of(kernel.clone(), &contents);
        lower(&program, width).unwrap().iter().for_each(|launch| validate(&launch.source.wgsl));
        let expected = on_cpu(&program, &contents, &STEP);
        let got = run(&gpu, kernel.clone(), &contents, &STEP).await;
        for (index, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_close(got, expected, tolerance, &(seed, index, &kernel));
        }
    }
}

/// A test of each of these kinds of cases, in the browser in a worker.
macro_rules! agreements {
    ($($name:ident)*) => {
        mod both_back_ends {
            $(
                #[cfg(not(target_arch = "wasm32"))]
                #[test]
                fn $name() {
                    futures::executor::block_on(super::agree(super::$name));
                }

                #[cfg(target_arch = "wasm32")]
                #[wasm_bindgen_test::wasm_bindgen_test]
                async fn $name() {
                    super::agree(super::$name).await;
                }
            )*
        }
    };
}

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

agreements! {
    products
    pools
    pools_backward
    maps
    powers_of_negative_numbers
    reductions
    copies
    fills
    softmaxes
    softmaxes_backward
    cross_entropies
    normalisations
    normalisations_backward
    normalisations_by_parameters
    batch_normalisations
    batch_normalisations_backward
    embeddings
    embeddings_backward
    dropouts
    grus
    lstms
    grus_backward
    lstms_backward
    convolutions
    convolutions_by_input
    convolutions_by_weight
}

fn products(draw: &mut Draw) -> Case {
    let [m, n, k] = [(); 3].map(|()| draw.one_of(&[1, 3, 4, 8, 12, 17, 32, 40, 64, 260]));
    let batch = [draw.within(1..=2), draw.within(1..=3)];
    let accumulate = draw.flag();
    // Stored with room between rows and matrices, as heads of attention are.
    let mut matrix = |buffer: u32, rows: usize, columns: usize, transposed: bool| {
        let (rows, columns) = if transposed { (columns, rows) } else { (rows, columns) };
        let [offset, gap] = [(); 2].map(|()| draw.one_of(&[0, 1, 4, 8]));
        let row_stride = columns + gap;
        let batch_strides = [batch[1] * rows * row_stride, rows * row_stride];
        let matrix = Matrix { buffer: id(buffer), offset, row_stride, batch_strides, transposed };
        (matrix, draw.floats(offset + batch[0] * batch_strides[0]))
    };
    let [a_transposed, b_transposed] = [m % 2 == 0, n % 3 == 0];
    let (a, a_contents) = matrix(0, m, k, a_transposed);
    let (b, b_contents) = matrix(1, k, n, b_transposed);
    let (c, c_contents) = matrix(2, m, n, false);
    let gemm = Gemm {
        a,
        b,
        c,
        m,
        n,
        k,
        batch,
        alpha: draw.one_of(&[1.0, 0.25]),
        bias: (!accumulate && draw.flag()).then_some(id(3)),
        activation: if accumulate { Epilogue::None } else { draw.epilogue() },
        accumulate,
    };
    let contents = vec![a_contents, b_contents, c_contents, draw.floats(n)];
    Case { kernel: Kernel::Gemm(gemm), contents, tolerance: 2e-5 }
}

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

fn convolutions(draw: &mut Draw) -> Case {
    convolution(draw, Direction::Forward)
}

fn convolutions_by_input(draw: &mut Draw) -> Case {
    convolution(draw, Direction::Input)
}

fn convolutions_by_weight(draw: &mut Draw) -> Case {
    convolution(draw, Direction::Weight)
}

fn pool_window(draw: &mut Draw) -> Window {
    // No layer makes a dilated pool.
    let window = Window { dilation: [1, 1], ..window(draw) };
    let half = |axis: usize| window.padding[axis].min(window.kernel[axis] / 2);
    let padding = [half(0), half(1)];
    let reach = |axis: usize| window.dilation[axis] * (window.kernel[axis] - 1) + 1;
    let output =
        [0, 1].map(|axis| (window.input[axis] + 2 * padding[axis] - reach(axis)) / window.stride[axis] + 1);
    Window { out_channels: window.in_channels, groups: 1, padding, output, ..window }
}

const POOLS: [PoolKind; 3] = [PoolKind::Max, PoolKind::Average, PoolKind::AverageIncludingPadding];

fn pools(draw: &mut Draw) -> Case {
    let window = pool_window(draw);
    let Window { batch, in_channels, input, output, .. } = window;
    let contents = vec![
        draw.floats(batch * in_channels * input[0] * input[1]),
        vec![0.0; batch * in_channels * output[0] * output[1]],
    ];
    let pool = Pool { kind: draw.one_of(&POOLS), window, input: id(0), output: id(1) };
    Case { kernel: Kernel::Pool(pool), contents, tolerance: 2e-6 }
}

fn pools_backward(draw: &mut Draw) -> Case {
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

const UNARY: [Unary; 10] = [
    Unary::Neg,
    Unary::Abs,
    Unary::Sqrt,
    Unary::Exp,
    Unary::Log,
    Unary::Tanh,
    Unary::Sigmoid,
    Unary::Erf,
    Unary::Sign,
    Unary::Softplus,
];
const BINARY: [Binary; 9] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Pow,
    Binary::Max,
    Binary::Min,
    Binary::Greater,
    Binary::Equal,
];

fn maps(draw: &mut Draw) -> Case {
    let rank = draw.within(1..=4);
    let shape: Vec<usize> = (0..rank).map(|_| draw.one_of(&[1, 2, 3, 4, 8, 12, 70])).collect();
    let mut contents = Vec::new();
    let mut inputs = Vec::new();
    for index in 0..draw.within(1..=3) {
        let mut strides = vec![0; rank];
        let mut elements = 1;
        for axis in (0..rank).rev() {
            if rank == 1 || draw.within(0..=3) > 0 {
                strides[axis] = elements;
                elements *= shape[axis];
            }
        }
        inputs.push(MapInput { buffer: id(index as u32), strides });
        // Positive: logarithms, roots and powers are defined.
        contents.push(draw.floats(elements).iter().map(|x| x.abs() + 0.25).collect());
    }
    let mut code: Vec<Instruction> = (0..inputs.len()).map(|index| Instruction::Input(index as u8)).collect();
    code.push(Instruction::Constant(draw.one_of(&[0.5, 2.0, 1.25])));
    code.push(Instruction::Step(draw.one_of(&[StepValue::LearningRate, StepValue::LossScale])));
    let operands = code.len();
    let pick = |draw: &mut Draw| draw.within(0..=operands - 1) as u8;
    code.push(Instruction::Unary(draw.one_of(&UNARY), pick(draw)));
    code.push(Instruction::Binary(draw.one_of(&BINARY), pick(draw), pick(draw)));
    let last = code.len() as u8;
    code.push(Instruction::Select(pick(draw), last - 2, last - 1));
    code.push(Instruction::Binary(Binary::Add, last, last - 1));
    contents.push(vec![0.0; shape.iter().product()]);
    let output = id(contents.len() as u32 - 1);
    Case { kernel: Kernel::Map(Map { shape, inputs, code, output }), contents, tolerance: 2e-5 }
}

fn powers_of_negative_numbers(draw: &mut Draw) -> Case {
    let count = draw.within(1..=70);
    let code = vec![Instruction::Input(0), Instruction::Input(1), Instruction::Binary(Binary::Pow, 0, 1)];
    let stride = |buffer| MapInput { buffer: id(buffer), strides: vec![1] };
    let map = Map { shape: vec![count], inputs: vec![stride(0), stride(1)], code, output: id(2) };
    let contents = vec![draw.floats(count), draw.whole(count, 0, 5), vec![0.0; count]];
    Case { kernel: Kernel::Map(map), contents, tolerance: 2e-5 }
}

fn reductions(draw: &mut Draw) -> Case {
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

fn copies(draw: &mut Draw) -> Case {
    let rank = draw.within(1..=4);
    let shape: Vec<usize> = (0..rank).map(|_| draw.within(1..=6)).collect();
    // The input is read with its axes rotated, one of them backwards.
    let mut input_strides = vec![0; rank];
    let mut elements = 1;
    for axis in (0..rank).map(|axis| (axis + 1) % rank).rev() {
        input_strides[axis] = elements as isize;
        elements *= shape[axis];
    }
    let backwards = draw.within(0..=rank - 1);
    let input_offset = input_strides[backwards] as usize * (shape[backwards] - 1);
    input_strides[backwards] = -input_strides[backwards];
    let mut output_strides = vec![0; rank];
    let mut stride = 1;
    for axis in (0..rank).rev() {
        output_strides[axis] = stride as isize;
        stride *= shape[axis] + 1;
    }
    let output_offset = draw.within(0..=3);
    let copy = Copy {
        shape,
        input: id(0),
        input_offset,
        input_strides,
        output: id(1),
        output_offset,
        output_strides,
        accumulate: draw.flag(),
    };
    let contents = vec![draw.floats(elements), draw.floats(stride + output_offset)];
    Case { kernel: Kernel::Copy(copy), contents, tolerance: 1e-7 }
}

fn fills(draw: &mut Draw) -> Case {
    let contents = vec![draw.floats(draw.0 as usize % 900 + 1)];
    Case { kernel: Kernel::Fill { output: id(0), value: -1.5 }, contents, tolerance: 0.0 }
}

fn softmaxes(draw: &mut Draw) -> Case {
    let (width, sequences) = (draw.one_of(&[1, 7, 10, 64, 300]), draw.within(1..=5));
    let causal = if draw.flag() { draw.within(1..=width) } else { 0 };
    let rows = sequences * causal.max(1);
    let softmax =
        Softmax { rows, width, log: causal == 0 && draw.flag(), causal, input: id(0), output: id(1) };
    let contents = vec![draw.floats(rows * width), vec![0.0; rows * width]];
    Case { kernel: Kernel::Softmax(softmax), contents, tolerance: 2e-5 }
}

fn softmaxes_backward(draw: &mut Draw) -> Case {
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

fn cross_entropies(draw: &mut Draw) -> Case {
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

fn normalisations(draw: &mut Draw) -> Case {
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

fn normalisations_backward(draw: &mut Draw) -> Case {
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

fn normalisations_by_parameters(draw: &mut Draw) -> Case {
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

fn batch_normalisations(draw: &mut Draw) -> Case {
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

fn batch_normalisations_backward(draw: &mut Draw) -> Case {
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

fn embeddings(draw: &mut Draw) -> Case {
    let (count, rows, width) = (draw.within(1..=100), draw.within(1..=40), draw.within(1..=70));
    let gather = Gather { count, rows, width, table: id(0), indices: id(1), output: id(2) };
    let contents = vec![draw.floats(rows * width), draw.whole(count, 0, rows), vec![0.0; count * width]];
    Case { kernel: Kernel::Gather(gather), contents, tolerance: 0.0 }
}

fn embeddings_backward(draw: &mut Draw) -> Case {
    let (count, rows, width) = (draw.one_of(&[1, 50, 1500, 3000]), draw.within(1..=40), draw.within(1..=70));
    let gather = GatherBackward { count, rows, width, indices: id(0), gradient: id(1), result: id(2) };
    let contents = vec![draw.whole(count, 0, rows), draw.floats(count * width), vec![0.0; rows * width]];
    Case { kernel: Kernel::GatherBackward(gather), contents, tolerance: 5e-5 }
}

fn dropouts(draw: &mut Draw) -> Case {
    let elements = draw.within(1..=900);
    let dropout =
        Dropout { elements, stream: 5, threshold: 1 << 22, scale: 4.0 / 3.0, input: id(0), output: id(1) };
    let contents = vec![draw.floats(elements), vec![0.0; elements]];
    Case { kernel: Kernel::Dropout(dropout), contents, tolerance: 1e-7 }
}

fn clippings(draw: &mut Draw) -> Case {
    let elements = 64 * draw.one_of(&[1, 3, 70]);
    let limit = draw.one_of(&[0.5, 1e6]);
    let scale = ScaleGradients { elements, limit, norm: id(4) };
    let floats = [(); 4].map(|()| draw.floats(elements));
    let contents = floats.into_iter().chain([vec![0.0]]).collect();
    Case { kernel: Kernel::ScaleGradients(scale), contents, tolerance: 2e-5 }
}

fn updates(draw: &mut Draw) -> Case {
    let elements = 64 * draw.one_of(&[1, 3, 70]);
    let momentum = draw.one_of(&[0.0, 0.9]);
    let rule = draw.one_of(&[
        Rule::Sgd { momentum, decay: 0.01 },
        Rule::Adam {
            beta1: 0.9,
            rest1: 0.1,
            beta2: 0.999,
            rest2: 0.001,
            epsilon: 1e-8,
            decay: 0.01,
            decoupled: momentum > 0.0,
        },
        Rule::Lion { beta1: 0.9, beta2: 0.99, decay: 0.01 },
    ]);
    let mut contents = [(); 4].map(|()| draw.floats(elements));
    // Second moments are squares.
    contents[3].iter_mut().for_each(|square| *square = square.abs() + 0.01);
    Case { kernel: Kernel::Optimise(Optimise { rule, elements }), contents: contents.into(), tolerance: 2e-6 }
}

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

fn grus(draw: &mut Draw) -> Case {
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

fn lstms(draw: &mut Draw) -> Case {
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

fn grus_backward(draw: &mut Draw) -> Case {
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

fn lstms_backward(draw: &mut Draw) -> Case {
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
