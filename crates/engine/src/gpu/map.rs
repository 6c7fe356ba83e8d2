//! Fused elementwise expressions: one kernel per distinct expression, shapes and strides in the uniform block.

use lichen_model::program::{Binary, Instruction, Map, StepValue, Unary};

use super::epilogue::literal;
use super::launch::{Launch, Operand, declare, elements, word};
use super::text::{fill, filled, wgsl};

/// Words of the uniform block.
const WORDS: u32 = 64;
/// A word that is always 0, to keep what is not finite out of constant expressions.
const ZERO: u32 = WORDS - 1;
const FIRST_EXTENT: u32 = 1;

/// The launch of a map. `padded` says that the padding behind the output may be written.
pub(super) fn lower(map: &Map, padded: bool) -> Launch {
    let vectors = Vectors::of(map, padded);
    let step = map.code.iter().any(|instruction| matches!(instruction, Instruction::Step(_)));
    let buffers = map.inputs.iter().map(|input| input.buffer).chain([map.output]);
    let mut operands: Vec<Operand> = buffers.map(Operand::from).collect();
    operands.push(if step { Operand::Step } else { Operand::Missing });
    let extents = vectors.extents(map);
    let count: u32 = extents.iter().product();
    let mut dims = vec![count];
    dims.extend(&extents);
    for (input, &wide) in map.inputs.iter().zip(&vectors.inputs) {
        // Vectors along the last axis are neighbours; all other strides are multiples of four.
        let in_vectors = |&stride: &usize| if wide { word(stride.div_ceil(4)) } else { word(stride) };
        dims.extend(input.strides.iter().map(in_vectors));
    }
    dims.resize(WORDS as usize, 0);
    Launch::new("map", text(map, &vectors, &operands), &dims, &operands, elements(count))
}

/// Where a map can work on four neighbours at once.
struct Vectors {
    all: bool,
    /// Inputs read as vectors; the others are the same for all four.
    inputs: Vec<bool>,
}

impl Vectors {
    fn of(map: &Map, padded: bool) -> Self {
        let last = map.shape.last().copied().unwrap_or(1);
        let whole = last.is_multiple_of(4) || (map.shape.len() == 1 && padded);
        let fits = |strides: &[usize]| match strides.split_last() {
            Some((1, outer)) => outer.iter().all(|stride| stride.is_multiple_of(4)),
            Some((&stride, _)) => stride == 0,
            None => false,
        };
        let all = whole && map.inputs.iter().all(|input| fits(&input.strides));
        let inputs = map.inputs.iter().map(|input| all && input.strides.last() == Some(&1)).collect();
        Self { all, inputs }
    }

    /// The iteration space, the last axis in vectors where they are used.
    fn extents(&self, map: &Map) -> Vec<u32> {
        let mut extents: Vec<u32> = map.shape.iter().map(|&extent| word(extent)).collect();
        if let Some(last) = extents.last_mut().filter(|_| self.all) {
            *last = last.div_ceil(4);
        }
        extents
    }
}

fn text(map: &Map, vectors: &Vectors, operands: &[Operand]) -> String {
    let (element, mark) = if vectors.all { ("vec4f", "*") } else { ("f32", "") };
    let mut arrays = String::new();
    for (number, &wide) in (0..).zip(&vectors.inputs) {
        fill(&mut arrays, "in$a$A ", &[number], &[if wide { "*" } else { "" }]);
    }
    fill(&mut arrays, "-> out$A", &[], &[mark]);
    let mut text = filled("@group(0) @binding(0) var<uniform> dims: array<vec4u, $a>;\n", &[WORDS / 4], &[]);
    declare(&mut text, &arrays, operands);
    let is_used = |function| map.code.contains_function(function);
    let has_gelu = is_used(Unary::Gelu) || is_used(Unary::GeluSlope);
    let has_power = map.code.iter().any(|i| matches!(i, Instruction::Binary(Binary::Pow, ..)));
    let functions = [(ERF, has_gelu || is_used(Unary::Erf)), (CUMULATIVE, has_gelu), (POWER, has_power)];
    functions.iter().filter(|(_, is_needed)| *is_needed).for_each(|(function, _)| text.push_str(function));
    let mut body = String::new();
    indices(&mut body, map);
    for (number, instruction) in (0..).zip(&map.code) {
        fill(&mut body, "let r$a = ", &[number], &[]);
        evaluate(&mut body, map, instruction);
        body.push_str(";\n");
    }
    let last = word(map.code.len().saturating_sub(1));
    fill(&mut text, wgsl!("map"), &[last], &[element, &dim(0), &body]);
    text
}

/// The word of the uniform block, as WGSL.
fn dim(word: u32) -> String {
    filled("dims[$a][$b]", &[word / 4, word % 4], &[])
}

/// Splits `i` into the indices of each dimension and adds up where each input's element lies.
fn indices(text: &mut String, map: &Map) {
    let rank = word(map.shape.len());
    text.push_str("var rest = i;\n");
    for axis in (1..rank).rev() {
        let line = "let i$a = rest % $A;\nrest = rest / $A;\n";
        fill(text, line, &[axis], &[&dim(FIRST_EXTENT + axis)]);
    }
    text.push_str("let i0 = rest;\n");
    for (number, input) in (0..).zip(&map.inputs) {
        let first = FIRST_EXTENT + rank * (1 + number);
        fill(text, "let at$a = 0u", &[number], &[]);
        for (axis, &stride) in (0..).zip(&input.strides) {
            if rank == 1 && stride == 1 {
                text.push_str(" + i");
            } else if stride != 0 {
                fill(text, " + i$a * $A", &[axis], &[&dim(first + axis)]);
            }
        }
        text.push_str(";\n");
    }
}

fn evaluate(text: &mut String, map: &Map, instruction: &Instruction) {
    match *instruction {
        Instruction::Input(number) => fill(text, "T(in$a[at$a])", &[number.into()], &[]),
        Instruction::Constant(value) if value.is_finite() => fill(text, "T($A)", &[], &[&literal(value)]),
        Instruction::Constant(value) => {
            fill(text, "T(bitcast<f32>($A + $au))", &[value.to_bits()], &[&dim(ZERO)]);
        }
        Instruction::Step(StepValue::LearningRate) => text.push_str("T(step.learning_rate)"),
        Instruction::Step(StepValue::LossScale) => text.push_str("T(step.loss_scale)"),
        Instruction::Unary(function, x) => fill(text, unary(function), &[x.into()], &[]),
        Instruction::Binary(function, a, b) => {
            let template = match (function, map.code.get(usize::from(b))) {
                (Binary::Pow, Some(Instruction::Constant(2.0))) => "r$a * r$a",
                (Binary::Pow, Some(Instruction::Constant(3.0))) => "r$a * r$a * r$a",
                _ => binary(function),
            };
            fill(text, template, &[a.into(), b.into()], &[]);
        }
        Instruction::Select(condition, a, b) => {
            fill(text, "select(r$c, r$b, r$a != T())", &[condition.into(), a.into(), b.into()], &[]);
        }
    }
}

/// A function of register `$a`.
const fn unary(function: Unary) -> &'static str {
    match function {
        Unary::Neg => "-r$a",
        Unary::Abs => "abs(r$a)",
        Unary::Sqrt => "sqrt(r$a)",
        Unary::Exp => "exp(r$a)",
        Unary::Log => "log(r$a)",
        Unary::Tanh => "tanh(clamp(r$a, T(-16.0), T(16.0)))",
        Unary::Sigmoid => "T(1.0) / (T(1.0) + exp(-clamp(r$a, T(-80.0), T(80.0))))",
        Unary::Erf => "erf(r$a)",
        Unary::Gelu => "r$a * cumulative(r$a)",
        Unary::GeluSlope => "cumulative(r$a) + r$a * (T(0.3989423) * exp(T(-0.5) * (r$a * r$a)))",
        Unary::Sign => "sign(r$a)",
        Unary::Softplus => "max(r$a, T()) + log(T(1.0) + exp(-abs(r$a)))",
    }
}

/// A function of registers `$a` and `$b`.
const fn binary(function: Binary) -> &'static str {
    match function {
        Binary::Add => "r$a + r$b",
        Binary::Sub => "r$a - r$b",
        Binary::Mul => "r$a * r$b",
        Binary::Div => "r$a / r$b",
        Binary::Pow => "power(r$a, r$b)",
        Binary::Max => "max(r$a, r$b)",
        Binary::Min => "min(r$a, r$b)",
        Binary::Greater => "select(T(), T(1.0), r$a > r$b)",
        Binary::Equal => "select(T(), T(1.0), r$a == r$b)",
    }
}

/// Whether straight-line code uses a function.
trait ContainsFunction {
    fn contains_function(&self, function: Unary) -> bool;
}

impl ContainsFunction for [Instruction] {
    fn contains_function(&self, function: Unary) -> bool {
        self.iter().any(|i| matches!(i, Instruction::Unary(used, _) if *used == function))
    }
}

/// Abramowitz and Stegun 7.1.26: off by at most 1.5e-7.
const ERF: &str = "fn erf(x: T) -> T {
let t = T(1.0) / (T(1.0) + T(0.3275911) * abs(x));
let p = t * (T(0.254829592) + t * (T(-0.284496736) + t * (T(1.421413741) + t * (T(-1.453152027) + t * T(1.061405429)))));
return sign(x) * (T(1.0) - p * exp(-x * x));
}
";

/// Share of a standard normal distribution below x.
const CUMULATIVE: &str = "fn cumulative(x: T) -> T {
return T(0.5) * (T(1.0) + erf(x * T(0.70710678)));
}
";

/// WGSL's `pow` knows no negative base: the sign follows from whether a whole exponent is odd.
const POWER: &str = "fn power(a: T, b: T) -> T {
let odd = abs(b % T(2.0)) == T(1.0);
let size = select(pow(abs(a), b), T(1.0), b == T());
let signed = select(size, -size, odd);
let nan = (a - a) / (b - b);
let negative = select(nan, signed, floor(b) == b);
return select(size, negative, a < T());
}
";
