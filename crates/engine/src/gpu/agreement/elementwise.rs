//! Cases: what works on single elements: maps, copies, embeddings, dropout, optimisers.

use super::*;

const UNARY: [Unary; 12] = [
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
    Unary::Gelu,
    Unary::GeluSlope,
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

pub(super) fn maps(draw: &mut Draw) -> Case {
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

pub(super) fn powers_of_negative_numbers(draw: &mut Draw) -> Case {
    let count = draw.within(1..=70);
    let code = vec![Instruction::Input(0), Instruction::Input(1), Instruction::Binary(Binary::Pow, 0, 1)];
    let stride = |buffer| MapInput { buffer: id(buffer), strides: vec![1] };
    let map = Map { shape: vec![count], inputs: vec![stride(0), stride(1)], code, output: id(2) };
    let contents = vec![draw.floats(count), draw.whole(count, 0, 5), vec![0.0; count]];
    Case { kernel: Kernel::Map(map), contents, tolerance: 2e-5 }
}

pub(super) fn copies(draw: &mut Draw) -> Case {
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

pub(super) fn fills(draw: &mut Draw) -> Case {
    let contents = vec![draw.floats(draw.0 as usize % 900 + 1)];
    Case { kernel: Kernel::Fill { output: id(0), value: -1.5 }, contents, tolerance: 0.0 }
}

pub(super) fn embeddings(draw: &mut Draw) -> Case {
    let (count, rows, width) = (draw.within(1..=100), draw.within(1..=40), draw.within(1..=70));
    let gather = Gather { count, rows, width, table: id(0), indices: id(1), output: id(2) };
    let contents = vec![draw.floats(rows * width), draw.whole(count, 0, rows), vec![0.0; count * width]];
    Case { kernel: Kernel::Gather(gather), contents, tolerance: 0.0 }
}

pub(super) fn embeddings_backward(draw: &mut Draw) -> Case {
    let (count, rows, width) = (draw.one_of(&[1, 50, 1500, 3000]), draw.within(1..=40), draw.within(1..=70));
    let gather = GatherBackward { count, rows, width, indices: id(0), gradient: id(1), result: id(2) };
    let contents = vec![draw.whole(count, 0, rows), draw.floats(count * width), vec![0.0; rows * width]];
    Case { kernel: Kernel::GatherBackward(gather), contents, tolerance: 5e-5 }
}

pub(super) fn dropouts(draw: &mut Draw) -> Case {
    let elements = draw.within(1..=900);
    let dropout =
        Dropout { elements, stream: 5, threshold: 1 << 22, scale: 4.0 / 3.0, input: id(0), output: id(1) };
    let contents = vec![draw.floats(elements), vec![0.0; elements]];
    Case { kernel: Kernel::Dropout(dropout), contents, tolerance: 1e-7 }
}

pub(super) fn clippings(draw: &mut Draw) -> Case {
    let elements = 64 * draw.one_of(&[1, 3, 70]);
    let limit = draw.one_of(&[0.5, 1e6]);
    let scale = ScaleGradients { elements, limit, norm: id(4) };
    let floats = [(); 4].map(|()| draw.floats(elements));
    let contents = floats.into_iter().chain([vec![0.0]]).collect();
    Case { kernel: Kernel::ScaleGradients(scale), contents, tolerance: 2e-5 }
}

pub(super) fn updates(draw: &mut Draw) -> Case {
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
    let mut contents = vec![draw.floats(elements), draw.floats(elements)];
    // Plain descent has no state, the others have one or two.
    match rule {
        Rule::Sgd { momentum: 0.0, .. } => {}
        Rule::Sgd { .. } | Rule::Lion { .. } => contents.push(draw.floats(elements)),
        // Second moments are squares.
        Rule::Adam { .. } => {
            let squares = draw.floats(elements).iter().map(|square| square.abs() + 0.01).collect();
            contents.extend([draw.floats(elements), squares]);
        }
    }
    Case { kernel: Kernel::Optimise(Optimise { rule, elements }), contents, tolerance: 2e-6 }
}
