//! Kernels that move or change single elements: fill, strided copy, embedding lookup, dropout, optimisers.

use lichen_model::program::{
    BufferId, Copy, Dropout, GRADIENTS, Gather, GatherBackward, Optimise, PARAMETERS, Rule, STATE0, STATE1,
};

use super::epilogue::literal;
use super::launch::{Launch, Operand, elements, source, word};
use super::text::wgsl;

/// Sets every one of `count` elements.
pub(super) fn fill(output: BufferId, value: f32, count: u32) -> Launch {
    let body = each("output[i] = bitcast<f32>(dims.value);");
    Launch {
        source: source("fill", "count value", &[], &["output"], false, &body),
        dims: vec![count, value.to_bits()],
        operands: vec![output.into()],
        grid: elements(count),
    }
}

/// A strided copy; strides wrap around, which makes negative ones work.
pub(super) fn copy(copy: &Copy) -> Launch {
    let rank = copy.shape.len();
    let mut fields = String::from("count first_read first_write");
    let mut split = String::from(
        "var rest = i;\n        var from_ = dims.first_read;\n        var to_ = dims.first_write;\n",
    );
    for axis in (0..rank).rev() {
        fields.push_str(&format!(" e{axis} f{axis} t{axis}"));
        split.push_str(&format!(
            "        from_ += rest % dims.e{axis} * dims.f{axis};\n        to_ += rest % dims.e{axis} * dims.t{axis};\n        \
             rest = rest / dims.e{axis};\n"
        ));
    }
    let assign = if copy.accumulate { "+=" } else { "=" };
    let body = each(&format!("{split}        output[to_] {assign} input[from_];"));
    let count: u32 = copy.shape.iter().map(|&extent| word(extent)).product();
    let mut dims = vec![count, word(copy.input_offset), word(copy.output_offset)];
    for axis in (0..rank).rev() {
        let extent = copy.shape.get(axis).map_or(1, |&extent| word(extent));
        let stride = |strides: &[isize]| strides.get(axis).map_or(0, |&stride| wrapping(stride));
        dims.extend([extent, stride(&copy.input_strides), stride(&copy.output_strides)]);
    }
    Launch {
        source: source("copy", &fields, &["input"], &["output"], false, &body),
        dims,
        operands: vec![copy.input.into(), copy.output.into()],
        grid: elements(count),
    }
}

/// `output[i] = table[indices[i]]`.
pub(super) fn gather(gather: &Gather) -> Launch {
    let body = each(
        "let row = min(u32(indices[i / dims.width]), dims.rows - 1u);
        output[i] = table[row * dims.width + i % dims.width];",
    );
    let count = word(gather.count * gather.width);
    Launch {
        source: source("gather", "count width rows", &["table", "indices"], &["output"], false, &body),
        dims: vec![count, word(gather.width), word(gather.rows)],
        operands: vec![gather.table.into(), gather.indices.into(), gather.output.into()],
        grid: elements(count),
    }
}

/// The embedding's gradient, summed in the order of the indices.
pub(super) fn gather_backward(gather: &GatherBackward) -> Launch {
    let body = wgsl!("gather_backward");
    Launch {
        source: source(
            "gather backward",
            "count rows width",
            &["indices", "gradient"],
            &["result"],
            false,
            body,
        ),
        dims: vec![word(gather.count), word(gather.rows), word(gather.width)],
        operands: vec![gather.indices.into(), gather.gradient.into(), gather.result.into()],
        grid: elements(word(gather.rows * gather.width.div_ceil(16))),
    }
}

/// Counter-based dropout, bit for bit the mask of `random_bits`.
pub(super) fn dropout(dropout: &Dropout) -> Launch {
    let body = RANDOM.to_owned()
        + &each(
            "let key = mix_(step.seed ^ mix_(dims.stream + 0x9e3779b9u));
        let bits = mix_(mix_(i ^ key) + key);
        output[i] = select(0.0, input[i] * bitcast<f32>(dims.scale), (bits >> 8u) >= dims.threshold);",
        );
    let count = word(dropout.elements);
    Launch {
        source: source("dropout", "count stream threshold scale", &["input"], &["output"], true, &body),
        dims: vec![count, dropout.stream, dropout.threshold, dropout.scale.to_bits()],
        operands: vec![dropout.input.into(), dropout.output.into()],
        grid: elements(count),
    }
}

/// One update of the whole parameter slot, four parameters at a time.
pub(super) fn optimise(optimise: &Optimise) -> Launch {
    let states = match optimise.rule {
        Rule::Sgd { momentum: 0.0, .. } => 0,
        Rule::Sgd { .. } | Rule::Lion { .. } => 1,
        Rule::Adam { .. } => 2,
    };
    let names = ["parameters", "s0", "s1"];
    let slots = [PARAMETERS, STATE0, STATE1];
    let body = each(&update(&optimise.rule));
    let mut source =
        source("optimise", "count", &["gradients"], names.get(..=states).unwrap_or_default(), true, &body);
    source.wgsl = source.wgsl.replace("array<f32>", "array<vec4f>");
    let operands =
        core::iter::once(GRADIENTS).chain(slots.into_iter().take(states + 1)).map(Operand::Slot).collect();
    let count = word(optimise.elements.div_ceil(4));
    Launch { source, dims: vec![count], operands, grid: elements(count) }
}

fn update(rule: &Rule) -> String {
    match *rule {
        Rule::Sgd { momentum, decay } => {
            let gradient =
                format!("let p = parameters[i];\n        let g = gradients[i] + {} * p;\n", literal(decay));
            if momentum == 0.0 {
                return gradient + "        parameters[i] = p - step.learning_rate * g;";
            }
            gradient
                + &format!("        let m = {} * s0[i] + g;\n", literal(momentum))
                + "        s0[i] = m;\n        parameters[i] = p - step.learning_rate * m;"
        }
        Rule::Adam { beta1, rest1, beta2, rest2, epsilon, decay, decoupled } => {
            let (coupled, shrunk) = if decoupled { (0.0, decay) } else { (decay, 0.0) };
            format!(
                "let old = parameters[i];
        let g = gradients[i] + {coupled} * old;
        let p = old - step.learning_rate * {shrunk} * old;
        let m = {beta1} * s0[i] + {rest1} * g;
        let v = {beta2} * s1[i] + {rest2} * (g * g);
        s0[i] = m;
        s1[i] = v;
        parameters[i] = p - step.learning_rate * step.first_correction * m
            / (sqrt(v) * step.second_correction + {epsilon});",
                coupled = literal(coupled),
                shrunk = literal(shrunk),
                beta1 = literal(beta1),
                rest1 = literal(rest1),
                beta2 = literal(beta2),
                rest2 = literal(rest2),
                epsilon = literal(epsilon),
            )
        }
        Rule::Lion { beta1, beta2, decay } => format!(
            "let p = parameters[i];
        let g = gradients[i];
        let m = s0[i];
        s0[i] = {beta2} * m + {rest2} * g;
        parameters[i] = p - step.learning_rate * (sign({beta1} * m + {rest1} * g) + {decay} * p);",
            beta1 = literal(beta1),
            rest1 = literal(1.0 - beta1),
            beta2 = literal(beta2),
            rest2 = literal(1.0 - beta2),
            decay = literal(decay),
        ),
    }
}

/// A kernel that does `statement` for every `i` below `dims.count`.
fn each(statement: &str) -> String {
    format!(
        "
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {{
    for (var i = id.x; i < dims.count; i += groups.x * 64u) {{
        {statement}
    }}
}}
"
    )
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "arithmetic modulo 2^32 is meant"
)]
fn wrapping(stride: isize) -> u32 {
    stride as u32
}

const RANDOM: &str = "fn mix_(seed: u32) -> u32 {
    var x = seed;
    x ^= x >> 16u;
    x *= 0x7feb352du;
    x ^= x >> 15u;
    x *= 0x846ca68bu;
    return x ^ (x >> 16u);
}
";
