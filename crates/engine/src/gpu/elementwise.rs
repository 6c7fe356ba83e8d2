//! Kernels that move or change single elements: fill, strided copy, embedding lookup, dropout, optimisers.

use lichen_model::program::{
    BufferId, Copy, Dropout, GRADIENTS, Gather, GatherBackward, Optimise, PARAMETERS, Rule, STATE0, STATE1,
};

use super::epilogue::literal;
use super::launch::{Launch, Operand, Signature, elements, word};
use super::text::{fill, filled, wgsl};

const FILL: Signature<'_> = Signature { name: "fill", fields: "count value", arrays: "-> output" };

/// Sets every one of `count` elements.
pub(super) fn fill_with(output: BufferId, value: f32, count: u32) -> Launch {
    let body = each("output[i] = bitcast<f32>(dims.value);");
    FILL.launch(&[&body], &[count, value.to_bits()], &[output.into()], elements(count))
}

/// A strided copy; strides wrap around, which makes negative ones work.
pub(super) fn copy(copy: &Copy) -> Launch {
    let mut fields = String::from("count first_read first_write");
    let mut body = String::from("var rest = i;\nvar from_ = dims.first_read;\nvar to_ = dims.first_write;\n");
    let count: u32 = copy.shape.iter().map(|&extent| word(extent)).product();
    let mut dims = vec![count, word(copy.input_offset), word(copy.output_offset)];
    let strides = copy.input_strides.iter().zip(&copy.output_strides);
    let axes: Vec<_> = (0..).zip(copy.shape.iter().zip(strides)).collect();
    for (axis, (&extent, (&from, &to))) in axes.into_iter().rev() {
        fill(&mut fields, " e$a f$a t$a", &[axis], &[]);
        fill(&mut body, SPLIT, &[axis], &[]);
        dims.extend([word(extent), wrapping(from), wrapping(to)]);
    }
    fill(&mut body, "output[to_] $A input[from_];", &[], &[if copy.accumulate { "+=" } else { "=" }]);
    let signature = Signature { name: "copy", fields: &fields, arrays: "input -> output" };
    signature.launch(&[&each(&body)], &dims, &[copy.input.into(), copy.output.into()], elements(count))
}

const SPLIT: &str = "from_ += rest % dims.e$a * dims.f$a;
to_ += rest % dims.e$a * dims.t$a;
rest = rest / dims.e$a;
";

const GATHER: Signature<'_> =
    Signature { name: "gather", fields: "count width rows", arrays: "table indices -> output" };

/// `output[i] = table[indices[i]]`.
pub(super) fn gather(gather: &Gather) -> Launch {
    let body = each(
        "let row = min(u32(indices[i / dims.width]), dims.rows - 1u);
output[i] = table[row * dims.width + i % dims.width];",
    );
    let count = word(gather.count * gather.width);
    let operands = [gather.table.into(), gather.indices.into(), gather.output.into()];
    let dims = [count, word(gather.width), word(gather.rows)];
    GATHER.launch(&[&body], &dims, &operands, elements(count))
}

const GATHER_BACKWARD: Signature<'_> =
    Signature { name: "gather backward", fields: "count rows width", arrays: "indices gradient -> result" };

/// The embedding's gradient, summed in the order of the indices.
pub(super) fn gather_backward(gather: &GatherBackward) -> Launch {
    let dims = [word(gather.count), word(gather.rows), word(gather.width)];
    let operands = [gather.indices.into(), gather.gradient.into(), gather.result.into()];
    let grid = elements(word(gather.rows * gather.width.div_ceil(16)));
    GATHER_BACKWARD.launch(&[wgsl!("gather_backward")], &dims, &operands, grid)
}

const DROPOUT: Signature<'_> =
    Signature { name: "dropout", fields: "count stream threshold scale", arrays: "input -> output" };

/// Counter-based dropout, bit for bit the mask of `random_bits`.
pub(super) fn dropout(dropout: &Dropout) -> Launch {
    let body = each(
        "let key = mix_(step.seed ^ mix_(dims.stream + 0x9e3779b9u));
let bits = mix_(mix_(i ^ key) + key);
output[i] = select(0.0, input[i] * bitcast<f32>(dims.scale), (bits >> 8u) >= dims.threshold);",
    );
    let count = word(dropout.elements);
    let dims = [count, dropout.stream, dropout.threshold, dropout.scale.to_bits()];
    let operands = [dropout.input.into(), dropout.output.into(), Operand::Step];
    DROPOUT.launch(&[RANDOM, &body], &dims, &operands, elements(count))
}

const OPTIMISE: Signature<'_> =
    Signature { name: "optimise", fields: "count", arrays: "gradients* -> parameters* s0* s1*" };

/// One update of the whole parameter slot, four parameters at a time.
pub(super) fn optimise(optimise: &Optimise) -> Launch {
    let states = match optimise.rule {
        Rule::Sgd { momentum: 0.0, .. } => 0,
        Rule::Sgd { .. } | Rule::Lion { .. } => 1,
        Rule::Adam { .. } => 2,
    };
    let body = each(&update(&optimise.rule));
    let state = |index, slot| if index < states { Operand::Slot(slot) } else { Operand::Missing };
    let operands = [
        Operand::Slot(GRADIENTS),
        Operand::Slot(PARAMETERS),
        state(0, STATE0),
        state(1, STATE1),
        Operand::Step,
    ];
    let count = word(optimise.elements.div_ceil(4));
    OPTIMISE.launch(&[&body], &[count], &operands, elements(count))
}

fn update(rule: &Rule) -> String {
    match *rule {
        Rule::Sgd { momentum, decay } => {
            let text = if momentum == 0.0 { SGD } else { MOMENTUM };
            filled(text, &[], &[&literal(decay), &literal(momentum)])
        }
        Rule::Adam { beta1, rest1, beta2, rest2, epsilon, decay, decoupled } => {
            let (coupled, shrunk) = if decoupled { (0.0, decay) } else { (decay, 0.0) };
            let numbers = [coupled, shrunk, beta1, rest1, beta2, rest2, epsilon].map(literal);
            filled(ADAM, &[], &numbers.each_ref().map(String::as_str))
        }
        Rule::Lion { beta1, beta2, decay } => {
            let numbers = [beta1, 1.0 - beta1, beta2, 1.0 - beta2, decay].map(literal);
            filled(LION, &[], &numbers.each_ref().map(String::as_str))
        }
    }
}

/// `$A`: decay.
const SGD: &str = "let p = parameters[i];
let g = gradients[i] + $A * p;
parameters[i] = p - step.learning_rate * g;";

/// `$A`: decay, `$B`: momentum.
const MOMENTUM: &str = "let p = parameters[i];
let g = gradients[i] + $A * p;
let m = $B * s0[i] + g;
s0[i] = m;
parameters[i] = p - step.learning_rate * m;";

/// `$A`: coupled decay, `$B`: decoupled, `$C` and `$D`: share of the old and the new first moment, `$E` and `$F`: of the
/// second one, `$G`: epsilon.
const ADAM: &str = "let old = parameters[i];
let g = gradients[i] + $A * old;
let p = old - step.learning_rate * $B * old;
let m = $C * s0[i] + $D * g;
let v = $E * s1[i] + $F * (g * g);
s0[i] = m;
s1[i] = v;
parameters[i] = p - step.learning_rate * step.first_correction * m / (sqrt(v) * step.second_correction + $G);";

/// `$A` and `$B`: share of the old and the new gradient in the step, `$C` and `$D`: in the state, `$E`: decay.
const LION: &str = "let p = parameters[i];
let g = gradients[i];
let m = s0[i];
s0[i] = $C * m + $D * g;
parameters[i] = p - step.learning_rate * (sign($A * m + $B * g) + $E * p);";

/// A kernel that does `statement` for every `i` below `dims.count`.
fn each(statement: &str) -> String {
    filled(wgsl!("each"), &[], &[statement])
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
