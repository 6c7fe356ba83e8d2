//! Every operator's gradient on the CPU against central differences.
#![cfg(test)]

use lichen_engine::cpu::CpuExecutor;
use lichen_model::graph::{Graph, Init, Value};
use lichen_model::lower::{Purpose, lower};
use lichen_model::op::{ConvAttributes, Op};
use lichen_model::program::{StepValues, random_bits};

const STEP: StepValues = StepValues {
    learning_rate: 0.0,
    first_correction: 1.0,
    second_correction: 1.0,
    loss_scale: 0.25,
    step: 0,
    seed: 3,
};

/// Distance of the central differences; single precision allows no smaller one.
const DISTANCE: f32 = 0.01;

fn number(seed: u32, index: usize) -> f32 {
    random_bits(seed, u32::try_from(index).unwrap()) as f32 / 2f32.powi(31) - 1.0
}

/// Operand: shape, and the range its numbers come from.
type Operand<'a> = (&'a [usize], f32, f32);

/// Checks the gradient of `Σ weights · build(operands)` by all operands.
fn check(name: &str, operands: &[Operand<'_>], build: impl Fn(&mut Graph, &[Value]) -> Value) {
    let mut graph = Graph::new(&[1], &[1]);
    let values: Vec<Value> = operands
        .iter()
        .enumerate()
        .map(|(index, (shape, ..))| {
            graph.parameter(format!("p{index}"), shape, Init::Constant(0.0), true).unwrap()
        })
        .collect();
    let y = build(&mut graph, &values);
    let shape = graph.shape(y).to_vec();
    let weights = graph.parameter("weights".into(), &shape, Init::Constant(0.0), false).unwrap();
    let product = graph.apply(Op::Mul, &[y, weights]).unwrap();
    let axes = (0..shape.len()).collect();
    let loss = graph.apply(Op::ReduceSum { axes, keep: false }, &[product]).unwrap();
    graph.finish(y, loss);
    compare(name, &graph, operands, 0);
}

fn compare(name: &str, graph: &Graph, operands: &[Operand<'_>], classes: usize) {
    let program = lower(graph, Purpose::Differentiate).unwrap();
    let mut executor = CpuExecutor::new(program.clone().into());
    for binding in &program.parameters {
        let range = binding
            .name
            .strip_prefix('p')
            .and_then(|index| operands.get(index.parse::<usize>().ok()?))
            .copied();
        let (_, low, high) = range.unwrap_or((&[], -1.0, 1.0));
        let seed = binding.name.bytes().fold(17, |seed: u32, byte| seed.wrapping_mul(31) + u32::from(byte));
        for (index, value) in executor.write(binding.value).iter_mut().enumerate() {
            *value = low + (high - low) * (number(seed, index) + 1.0) / 2.0;
        }
    }
    if classes > 0 {
        for (index, label) in executor.write(program.target).iter_mut().enumerate() {
            *label = if index == 1 { -1.0 } else { (index % classes) as f32 };
        }
    }
    executor.run(&STEP);
    #[cfg(not(target_arch = "wasm32"))]
    compare_threads(name, &mut executor);
    for binding in program.parameters.iter().filter(|binding| binding.gradient.is_some()) {
        let gradient = executor.read(binding.gradient.unwrap()).to_vec();
        for (index, &found) in gradient.iter().enumerate() {
            let start = executor.read(binding.value)[index];
            let mut at = |value: f32| {
                executor.write(binding.value)[index] = value;
                executor.run(&STEP);
                f64::from(executor.read(program.loss)[0])
            };
            let (high, low) = (at(start + DISTANCE), at(start - DISTANCE));
            at(start);
            let expected = (high - low) / f64::from((start + DISTANCE) - (start - DISTANCE));
            let error = (f64::from(found) - expected).abs();
            assert!(
                error < 2e-3 + 4e-3 * expected.abs(),
                "{name}: d/d{}[{index}] is {found}, differences give {expected}",
                binding.name
            );
        }
    }
}

/// Checks that threads that share every kernel give the gradients that one thread gave, to the bit.
#[cfg(not(target_arch = "wasm32"))]
fn compare_threads(name: &str, executor: &mut CpuExecutor) {
    lichen_engine::cpu::split_everything();
    let gradients = |executor: &CpuExecutor| -> Vec<u32> {
        let bindings = executor.program().parameters.iter().filter_map(|binding| binding.gradient);
        bindings.flat_map(|gradient| executor.read(gradient)).map(|number| number.to_bits()).collect()
    };
    let alone = gradients(executor);
    for threads in [2, 3] {
        let pool = rayon_core::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| executor.run(&STEP));
        assert!(gradients(executor) == alone, "{name}: {threads} threads give other bits");
    }
}

fn unary(name: &str, op: &Op, low: f32, high: f32) {
    check(name, &[(&[3, 5], low, high)], |graph, x| graph.apply(op.clone(), x).unwrap());
}

#[test]
fn functions_of_one_number() {
    unary("Neg", &Op::Neg, -1.0, 1.0);
    unary("Abs", &Op::Abs, 0.1, 1.0);
    unary("Sqrt", &Op::Sqrt, 0.5, 2.0);
    unary("Exp", &Op::Exp, -1.0, 1.0);
    unary("Log", &Op::Log, 0.5, 2.0);
    unary("Erf", &Op::Erf, -1.5, 1.5);
    unary("Tanh", &Op::Tanh, -1.5, 1.5);
    unary("Sigmoid", &Op::Sigmoid, -2.0, 2.0);
    unary("Softplus", &Op::Softplus, -2.0, 2.0);
    unary("Relu above", &Op::Relu, 0.1, 1.0);
    unary("Relu below", &Op::Relu, -1.0, -0.1);
    unary("LeakyRelu below", &Op::LeakyRelu { alpha: 0.1 }, -1.0, -0.1);
    unary("LeakyRelu above", &Op::LeakyRelu { alpha: 0.1 }, 0.1, 1.0);
    unary("Gelu", &Op::Gelu, -2.0, 2.0);
    unary("Clip inside", &Op::Clip { min: -2.0, max: 2.0 }, -1.0, 1.0);
    unary("Clip outside", &Op::Clip { min: -0.2, max: 0.2 }, 0.3, 1.0);
    unary("Softmax", &Op::Softmax, -1.0, 1.0);
    unary("LogSoftmax", &Op::LogSoftmax, -1.0, 1.0);
}

#[test]
fn functions_of_two_numbers_broadcast() {
    let ops = [Op::Add, Op::Sub, Op::Mul, Op::Div, Op::Pow];
    let shapes: [(&[usize], &[usize]); 5] =
        [(&[2, 3], &[2, 3]), (&[2, 3], &[3]), (&[2, 1, 3], &[4, 1]), (&[3], &[2, 3]), (&[1], &[2, 2])];
    for op in ops {
        for (a, b) in shapes {
            check(&format!("{op:?} {a:?} {b:?}"), &[(a, 0.6, 1.6), (b, 0.6, 1.6)], |graph, x| {
                graph.apply(op.clone(), x).unwrap()
            });
        }
    }
    for op in [Op::Max, Op::Min] {
        check("Max, Min", &[(&[2, 3], 0.0, 0.4), (&[3], 0.5, 1.0)], |graph, x| {
            graph.apply(op.clone(), x).unwrap()
        });
        check("Max, Min", &[(&[2, 3], 0.5, 1.0), (&[3], 0.0, 0.4)], |graph, x| {
            graph.apply(op.clone(), x).unwrap()
        });
    }
}

#[test]
fn choices_by_condition() {
    check("Where", &[(&[2, 6], -1.0, 1.0), (&[6], -1.0, 1.0)], |graph, x| {
        let zero = graph.constant(0.0);
        let pattern = graph.parameter("pattern".into(), &[6], Init::Constant(0.0), false).unwrap();
        let condition = graph.apply(Op::Greater, &[pattern, zero]).unwrap();
        graph.apply(Op::Where, &[condition, x[0], x[1]]).unwrap()
    });
}

#[test]
fn chains_are_fused_without_changing_gradients() {
    check("chain", &[(&[4, 6], -1.0, 1.0), (&[6], 0.5, 1.0)], |graph, x| {
        let a = graph.apply(Op::Tanh, &[x[0]]).unwrap();
        let b = graph.apply(Op::Mul, &[a, x[1]]).unwrap();
        let c = graph.apply(Op::Exp, &[b]).unwrap();
        let d = graph.apply(Op::Sub, &[c, a]).unwrap();
        graph.apply(Op::Sigmoid, &[d]).unwrap()
    });
}

#[test]
fn products() {
    for trans_b in [false, true] {
        let b: &[usize] = if trans_b { &[5, 3] } else { &[3, 5] };
        check("Gemm", &[(&[4, 3], -1.0, 1.0), (b, -1.0, 1.0), (&[5], -1.0, 1.0)], |graph, x| {
            graph.apply(Op::Gemm { trans_b }, x).unwrap()
        });
    }
    let shapes: [(&[usize], &[usize]); 5] = [
        (&[4, 3], &[3, 5]),
        (&[2, 4, 3], &[2, 3, 5]),
        (&[2, 4, 3], &[3, 5]),
        (&[4, 3], &[2, 3, 5]),
        (&[2, 1, 4, 3], &[3, 3, 2]),
    ];
    for (a, b) in shapes {
        check(&format!("MatMul {a:?} {b:?}"), &[(a, -1.0, 1.0), (b, -1.0, 1.0)], |graph, x| {
            graph.apply(Op::MatMul, x).unwrap()
        });
    }
}

#[test]
fn activations_in_products() {
    for op in [Op::Tanh, Op::Sigmoid, Op::LeakyRelu { alpha: 0.2 }] {
        check("epilogue", &[(&[2, 3], 0.1, 1.0), (&[4, 3], 0.1, 0.5), (&[4], 0.0, 1.0)], |graph, x| {
            let y = graph.apply(Op::Gemm { trans_b: true }, x).unwrap();
            graph.apply(op.clone(), &[y]).unwrap()
        });
    }
}

fn attributes(kernel: [usize; 2]) -> ConvAttributes {
    ConvAttributes {
        kernel,
        stride: [1, 1],
        pads: [[0; 2]; 2],
        dilation: [1, 1],
        groups: 1,
        output_padding: [0, 0],
    }
}

#[test]
fn convolutions() {
    let plain = attributes([3, 2]);
    let cases = [
        ("plain", plain, 2, 3),
        ("padded", ConvAttributes { pads: [[1, 1], [1, 0]], ..plain }, 2, 3),
        ("wide padding", ConvAttributes { pads: [[3, 3], [2, 2]], ..plain }, 2, 3),
        ("strided", ConvAttributes { stride: [2, 3], pads: [[1, 0], [1, 1]], ..plain }, 2, 3),
        ("dilated", ConvAttributes { dilation: [2, 3], pads: [[1, 1], [2, 2]], ..plain }, 2, 3),
        (
            "strided and dilated",
            ConvAttributes { stride: [2, 2], dilation: [2, 1], pads: [[2, 2], [1, 1]], ..plain },
            2,
            3,
        ),
        ("grouped", ConvAttributes { groups: 2, pads: [[1, 1], [1, 1]], ..plain }, 2, 4),
        ("depthwise", ConvAttributes { groups: 2, stride: [2, 1], ..plain }, 2, 2),
        ("one by one", attributes([1, 1]), 2, 5),
    ];
    for (name, attributes, channels, filters) in cases {
        let weight = [filters, channels / attributes.groups, attributes.kernel[0], attributes.kernel[1]];
        let operands: [Operand<'_>; 3] =
            [(&[2, channels, 6, 7], -1.0, 1.0), (&weight, -0.5, 0.5), (&[filters], -1.0, 1.0)];
        check(&format!("Conv {name}"), &operands, |graph, x| graph.apply(Op::Conv(attributes), x).unwrap());
    }
    let line = ConvAttributes { stride: [1, 2], pads: [[0, 0], [1, 1]], ..attributes([1, 3]) };
    let operands: [Operand<'_>; 2] = [(&[2, 2, 11], -1.0, 1.0), (&[3, 2, 3], -0.5, 0.5)];
    check("Conv 1D", &operands, |graph, x| graph.apply(Op::Conv(line), x).unwrap());
}

#[test]
fn transposed_convolutions() {
    let plain = attributes([3, 2]);
    let cases = [
        ("plain", plain),
        (
            "strided",
            ConvAttributes { stride: [2, 3], pads: [[1, 0], [1, 1]], output_padding: [1, 2], ..plain },
        ),
        ("dilated", ConvAttributes { dilation: [2, 1], pads: [[1, 1], [0, 1]], ..plain }),
        ("grouped", ConvAttributes { groups: 2, stride: [2, 2], ..plain }),
    ];
    for (name, attributes) in cases {
        let weight = [4, 6 / attributes.groups, 3, 2];
        let operands: [Operand<'_>; 3] =
            [(&[2, 4, 3, 4], -1.0, 1.0), (&weight, -0.5, 0.5), (&[6], -1.0, 1.0)];
        check(&format!("ConvTranspose {name}"), &operands, |graph, x| {
            graph.apply(Op::ConvTranspose(attributes), x).unwrap()
        });
    }
}

#[test]
fn pools() {
    let two = ConvAttributes { stride: [2, 2], ..attributes([2, 2]) };
    let cases = [
        ("pairs", two),
        ("overlapping", ConvAttributes { stride: [1, 2], pads: [[1, 1], [1, 1]], ..attributes([3, 3]) }),
    ];
    for (name, attributes) in cases {
        // Far apart, so that the differences do not change which one is the largest.
        check(&format!("MaxPool {name}"), &[(&[1, 2, 6, 6], -20.0, 20.0)], |graph, x| {
            graph.apply(Op::MaxPool(attributes), x).unwrap()
        });
        check(&format!("AveragePool {name}"), &[(&[2, 2, 6, 6], -1.0, 1.0)], |graph, x| {
            graph.apply(Op::AveragePool(attributes), x).unwrap()
        });
    }
    check("GlobalAveragePool", &[(&[2, 3, 3, 5], -1.0, 1.0)], |graph, x| {
        graph.apply(Op::GlobalAveragePool, x).unwrap()
    });
}

#[test]
fn normalisations() {
    let operands: [Operand<'_>; 3] = [(&[3, 7], -1.0, 1.0), (&[7], 0.5, 1.5), (&[7], -1.0, 1.0)];
    check("LayerNormalization", &operands, |graph, x| {
        graph.apply(Op::LayerNormalization { epsilon: 1e-2 }, x).unwrap()
    });
    check("RMSNormalization", &operands[..2], |graph, x| {
        graph.apply(Op::RmsNormalization { epsilon: 1e-2 }, x).unwrap()
    });
    let operands: [Operand<'_>; 3] = [(&[2, 4, 2, 3], -1.0, 1.0), (&[4], 0.5, 1.5), (&[4], -1.0, 1.0)];
    check("GroupNormalization", &operands, |graph, x| {
        graph.apply(Op::GroupNormalization { groups: 2, epsilon: 1e-2 }, x).unwrap()
    });
    check("BatchNormalization", &operands, |graph, x| {
        let mean = graph.parameter("mean".into(), &[4], Init::Constant(0.0), false).unwrap();
        let variance = graph.parameter("variance".into(), &[4], Init::Constant(1.0), false).unwrap();
        let op = Op::BatchNormalization { epsilon: 1e-2, momentum: 0.1 };
        graph.apply(op, &[x[0], x[1], x[2], mean, variance]).unwrap()
    });
}

#[test]
fn movements() {
    let x: [Operand<'_>; 1] = [(&[2, 3, 4], -1.0, 1.0)];
    check("Reshape", &x, |graph, x| graph.apply(Op::Reshape { shape: vec![6, 4] }, x).unwrap());
    check("Transpose", &x, |graph, x| graph.apply(Op::Transpose { perm: vec![2, 0, 1] }, x).unwrap());
    check("Slice", &x, |graph, x| {
        graph.apply(Op::Slice { axis: 2, start: 1, step: 2, count: 2 }, x).unwrap()
    });
    check("Slice backwards", &x, |graph, x| {
        graph.apply(Op::Slice { axis: 1, start: 2, step: -1, count: 3 }, x).unwrap()
    });
    check("Pad", &x, |graph, x| {
        graph.apply(Op::Pad { before: vec![0, 1, 2], after: vec![1, 0, 1], value: 0.5 }, x).unwrap()
    });
    check("Concat", &[(&[2, 3], -1.0, 1.0), (&[2, 1], -1.0, 1.0), (&[2, 2], -1.0, 1.0)], |graph, x| {
        graph.apply(Op::Concat { axis: 1 }, x).unwrap()
    });
    check("Split", &x, |graph, x| {
        let part = |start, count| Op::Slice { axis: 2, start, step: 1, count };
        let a = graph.apply(part(0, 2), x).unwrap();
        let b = graph.apply(part(2, 2), x).unwrap();
        graph.apply(Op::Mul, &[a, b]).unwrap()
    });
}

#[test]
fn reductions() {
    let x: [Operand<'_>; 1] = [(&[2, 3, 4, 2], -20.0, 20.0)];
    for keep in [false, true] {
        for axes in [vec![0], vec![1, 2], vec![0, 2], vec![0, 1, 2, 3], vec![3]] {
            check("ReduceSum", &x, |graph, x| {
                graph.apply(Op::ReduceSum { axes: axes.clone(), keep }, x).unwrap()
            });
            check("ReduceMean", &x, |graph, x| {
                graph.apply(Op::ReduceMean { axes: axes.clone(), keep }, x).unwrap()
            });
            check("ReduceMax", &x, |graph, x| {
                graph.apply(Op::ReduceMax { axes: axes.clone(), keep }, x).unwrap()
            });
        }
    }
}

#[test]
fn embeddings() {
    check("Gather", &[(&[5, 3], -1.0, 1.0)], |graph, x| {
        // Indices 0 and 1 by comparison: operators read whole numbers, wherever they come from.
        let pattern = graph.parameter("pattern".into(), &[7], Init::Constant(0.0), false).unwrap();
        let zero = graph.constant(0.0);
        let indices = graph.apply(Op::Greater, &[pattern, zero]).unwrap();
        graph.apply(Op::Gather, &[x[0], indices]).unwrap()
    });
}

#[test]
fn dropout() {
    check("Dropout", &[(&[4, 9], -1.0, 1.0)], |graph, x| graph.apply(Op::Dropout { rate: 0.4 }, x).unwrap());
}

#[test]
fn recurrences() {
    for (name, gates) in [("GRU", 3), ("LSTM", 4)] {
        let hidden = 5;
        let (w, r, b) = ([gates * hidden, 3], [gates * hidden, hidden], [gates * hidden]);
        let operands: [Operand<'_>; 5] =
            [(&[2, 4, 3], -1.0, 1.0), (&w, -0.5, 0.5), (&r, -0.5, 0.5), (&b, -0.5, 0.5), (&b, -0.5, 0.5)];
        check(name, &operands, |graph, x| {
            let op = if gates == 3 { Op::Gru { hidden } } else { Op::Lstm { hidden } };
            graph.apply(op, x).unwrap()
        });
    }
}

#[test]
fn attention() {
    for causal in [false, true] {
        check("packed attention", &[(&[2, 5, 18], -1.0, 1.0)], |graph, x| {
            graph.apply(Op::Attention { heads: 2, causal }, x).unwrap()
        });
    }
    let operands: [Operand<'_>; 3] =
        [(&[2, 3, 6], -1.0, 1.0), (&[2, 5, 6], -1.0, 1.0), (&[2, 5, 6], -1.0, 1.0)];
    check("attention", &operands, |graph, x| {
        graph.apply(Op::Attention { heads: 3, causal: false }, x).unwrap()
    });
}

#[test]
fn cross_entropy() {
    let mut graph = Graph::new(&[1], &[6]);
    let shape = [6, 5];
    let x = graph.parameter("p0".into(), &shape, Init::Constant(0.0), true).unwrap();
    let target = graph.target();
    let loss = graph.apply(Op::SoftmaxCrossEntropyLoss, &[x, target]).unwrap();
    graph.finish(x, loss);
    compare("SoftmaxCrossEntropyLoss", &graph, &[(&shape, -1.0, 1.0)], 5);
}
