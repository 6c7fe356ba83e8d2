//! Fused elementwise expressions: one kernel per distinct expression, shapes and strides in the uniform block.

use lichen_model::program::{Binary, Instruction, Map, StepValue, Unary};

use super::epilogue::literal;
use super::launch::{Launch, Operand, Source, WORKGROUP, arrays, elements, step_block, word};

/// Words of the uniform block.
const WORDS: u32 = 64;
/// A word that is always 0, to keep what is not finite out of constant expressions.
const ZERO: u32 = WORDS - 1;
const FIRST_EXTENT: u32 = 1;

/// The launch of a map. `padded` says that the padding behind the output may be written.
pub(super) fn lower(map: &Map, padded: bool) -> Launch {
    let vectors = Vectors::of(map, padded);
    let step = map.code.iter().any(|instruction| matches!(instruction, Instruction::Step(_)));
    let reads = word(map.inputs.len());
    let source = Source { name: "map", wgsl: wgsl(map, &vectors, step), reads, writes: 1, step };
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
    let operands =
        map.inputs.iter().map(|input| input.buffer).chain([map.output]).map(Operand::from).collect();
    Launch { source, dims, operands, grid: elements(count) }
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

fn wgsl(map: &Map, vectors: &Vectors, step: bool) -> String {
    let element = if vectors.all { "vec4f" } else { "f32" };
    let inputs: String = (1..)
        .zip(&vectors.inputs)
        .map(|(binding, &wide)| {
            arrays(binding, "read", if wide { "vec4f" } else { "f32" }, &[&format!("in{}", binding - 1)])
        })
        .collect();
    let output = 1 + word(map.inputs.len());
    let step_block = if step { step_block(output + 1) } else { String::new() };
    let code: String = (0..)
        .zip(&map.code)
        .map(|(i, instruction)| format!("        let r{i} = {};\n", evaluate(map, instruction)))
        .collect();
    let is_used = |function| map.code.contains_function(function);
    let functions: String = [
        (ERF, is_used(Unary::Erf) || is_used(Unary::Gelu) || is_used(Unary::GeluSlope)),
        (CUMULATIVE, is_used(Unary::Gelu) || is_used(Unary::GeluSlope)),
    ]
    .into_iter()
    .filter_map(|(text, is_needed)| is_needed.then_some(text))
    .collect();
    let power =
        if map.code.iter().any(|i| matches!(i, Instruction::Binary(Binary::Pow, ..))) { POWER } else { "" };
    format!(
        "@group(0) @binding(0) var<uniform> dims: array<vec4u, {}>;
{inputs}{}{step_block}alias T = {element};
{functions}{power}
@compute @workgroup_size({WORKGROUP})
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
    for (var i = id.x; i < {}; i += groups.x * {WORKGROUP}u) {{
{}{code}        out[i] = r{};
    }}
}}
",
        WORDS / 4,
        arrays(output, "read_write", element, &["out"]),
        dim(0),
        indices(map),
        map.code.len().saturating_sub(1),
    )
}

/// The word of the uniform block, as WGSL.
fn dim(word: u32) -> String {
    let lane = ["x", "y", "z", "w"].get(word as usize % 4).copied().unwrap_or_default();
    format!("dims[{}].{lane}", word / 4)
}

/// Splits `i` into the indices of each dimension and adds up where each input's element lies.
fn indices(map: &Map) -> String {
    let rank = word(map.shape.len());
    let mut text = String::new();
    if rank > 1 {
        text.push_str("        var rest = i;\n");
        for axis in (1..rank).rev() {
            let extent = dim(FIRST_EXTENT + axis);
            text.push_str(&format!(
                "        let i{axis} = rest % {extent};\n        rest = rest / {extent};\n"
            ));
        }
        text.push_str("        let i0 = rest;\n");
    } else {
        text.push_str("        let i0 = i;\n");
    }
    for (number, input) in (0..).zip(&map.inputs) {
        let first = FIRST_EXTENT + rank * (1 + number);
        let terms: Vec<String> = (0..)
            .zip(&input.strides)
            .filter(|(_, stride)| **stride != 0)
            .map(|(axis, _)| format!("i{axis} * {}", dim(first + axis)))
            .collect();
        let at = match (terms.is_empty(), rank == 1 && input.strides.first() == Some(&1)) {
            (true, _) => String::from("0u"),
            (_, true) => String::from("i"),
            _ => terms.join(" + "),
        };
        text.push_str(&format!("        let at{number} = {at};\n"));
    }
    text
}

fn evaluate(map: &Map, instruction: &Instruction) -> String {
    match *instruction {
        Instruction::Input(number) => format!("T(in{number}[at{number}])"),
        Instruction::Constant(value) if value.is_finite() => format!("T({})", literal(value)),
        Instruction::Constant(value) => format!("T(bitcast<f32>({} + {}u))", dim(ZERO), value.to_bits()),
        Instruction::Step(StepValue::LearningRate) => String::from("T(step.learning_rate)"),
        Instruction::Step(StepValue::LossScale) => String::from("T(step.loss_scale)"),
        Instruction::Unary(function, x) => unary(function, x),
        Instruction::Binary(Binary::Pow, a, b) => match map.code.get(usize::from(b)) {
            Some(Instruction::Constant(2.0)) => format!("r{a} * r{a}"),
            Some(Instruction::Constant(3.0)) => format!("r{a} * r{a} * r{a}"),
            _ => format!("power(r{a}, r{b})"),
        },
        Instruction::Binary(function, a, b) => binary(function, a, b),
        Instruction::Select(condition, a, b) => format!("select(r{b}, r{a}, r{condition} != T())"),
    }
}

fn unary(function: Unary, x: u8) -> String {
    match function {
        Unary::Neg => format!("-r{x}"),
        Unary::Abs => format!("abs(r{x})"),
        Unary::Sqrt => format!("sqrt(r{x})"),
        Unary::Exp => format!("exp(r{x})"),
        Unary::Log => format!("log(r{x})"),
        Unary::Tanh => format!("tanh(clamp(r{x}, T(-16.0), T(16.0)))"),
        Unary::Sigmoid => format!("T(1.0) / (T(1.0) + exp(-clamp(r{x}, T(-80.0), T(80.0))))"),
        Unary::Erf => format!("erf(r{x})"),
        Unary::Gelu => format!("r{x} * cumulative(r{x})"),
        Unary::GeluSlope => {
            format!("cumulative(r{x}) + r{x} * (T(0.3989423) * exp(T(-0.5) * (r{x} * r{x})))")
        }
        Unary::Sign => format!("sign(r{x})"),
        Unary::Softplus => format!("max(r{x}, T()) + log(T(1.0) + exp(-abs(r{x})))"),
    }
}

fn binary(function: Binary, a: u8, b: u8) -> String {
    match function {
        Binary::Add => format!("r{a} + r{b}"),
        Binary::Sub => format!("r{a} - r{b}"),
        Binary::Mul => format!("r{a} * r{b}"),
        Binary::Div => format!("r{a} / r{b}"),
        Binary::Pow => format!("power(r{a}, r{b})"),
        Binary::Max => format!("max(r{a}, r{b})"),
        Binary::Min => format!("min(r{a}, r{b})"),
        Binary::Greater => format!("select(T(), T(1.0), r{a} > r{b})"),
        Binary::Equal => format!("select(T(), T(1.0), r{a} == r{b})"),
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
