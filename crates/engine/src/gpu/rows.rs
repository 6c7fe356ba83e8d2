//! Kernels that work on whole rows: softmax, losses, reductions, normalisation.
//!
//! The same WGSL runs with one thread per row, where there are many short rows, or with one workgroup per row.

use lichen_model::program::{
    BatchNormalize, BatchNormalizeBackward, CrossEntropy, GRADIENTS, Normalize, NormalizeBackward,
    NormalizeParameters, Reduce, ReduceKind, ScaleGradients, Softmax, SoftmaxBackward,
};

use super::launch::{Launch, MOST_ALONG_AXIS, Operand, WORKGROUP, source, word};

const ONE_LANE: &str = include_str!("wgsl/one_lane.wgsl");
const MANY_LANES: &str = include_str!("wgsl/many_lanes.wgsl");
/// Below every logit.
const LOWEST: &str = "const LOWEST = -3.4028234e38f;\n";
/// Columns that a row of a causal mask lets through.
const VISIBLE: &str = "fn visible(row: u32) -> u32 {
    return select(dims.width, row % max(dims.causal, 1u) + 1u + dims.width - dims.causal, dims.causal != 0u);
}
";

/// What a row kernel reads and writes, and how long its rows are.
struct Rows<'a> {
    name: &'static str,
    fields: &'a str,
    dims: Vec<u32>,
    reads: Vec<(&'a str, Operand)>,
    writes: Vec<(&'a str, Operand)>,
    step: bool,
    body: String,
    rows: usize,
    length: usize,
}

impl Rows<'_> {
    /// `dims.rows` comes first in the uniform block.
    fn launch(self) -> Launch {
        let rows = word(self.rows);
        // Barriers are dear: a workgroup per row pays where rows are few or long.
        let many =
            (self.length >= 256 && rows < 512) || self.length >= 4096 || (self.length >= 64 && rows < 64);
        let (lanes, groups) = if many { (MANY_LANES, rows) } else { (ONE_LANE, rows.div_ceil(WORKGROUP)) };
        let across = groups.clamp(1, MOST_ALONG_AXIS);
        let names = |arrays: &[(&'_ str, Operand)]| {
            arrays.iter().map(|(name, _)| String::from(*name)).collect::<Vec<_>>()
        };
        let (reads, writes) = (names(&self.reads), names(&self.writes));
        let reads: Vec<&str> = reads.iter().map(String::as_str).collect();
        let writes: Vec<&str> = writes.iter().map(String::as_str).collect();
        let fields = format!("rows {}", self.fields);
        let text = format!("{LOWEST}{}{lanes}", self.body);
        let mut dims = vec![rows];
        dims.extend(self.dims);
        Launch {
            source: source(self.name, &fields, &reads, &writes, self.step, &text),
            dims,
            operands: self.reads.iter().chain(&self.writes).map(|(_, operand)| *operand).collect(),
            grid: [across, groups.div_ceil(across).max(1), 1],
        }
    }
}

pub(super) fn softmax(softmax: &Softmax) -> Launch {
    Rows {
        name: "softmax",
        fields: "width log causal",
        dims: vec![word(softmax.width), u32::from(softmax.log), word(softmax.causal)],
        reads: vec![("input", softmax.input.into())],
        writes: vec![("output", softmax.output.into())],
        step: false,
        body: VISIBLE.to_owned() + include_str!("wgsl/softmax.wgsl"),
        rows: softmax.rows,
        length: softmax.width,
    }
    .launch()
}

pub(super) fn softmax_backward(softmax: &SoftmaxBackward) -> Launch {
    Rows {
        name: "softmax backward",
        fields: "width log causal",
        dims: vec![word(softmax.width), u32::from(softmax.log), word(softmax.causal)],
        reads: vec![("output", softmax.output.into()), ("gradient", softmax.gradient.into())],
        writes: vec![("result", softmax.result.into())],
        step: false,
        body: VISIBLE.to_owned() + include_str!("wgsl/softmax_backward.wgsl"),
        rows: softmax.rows,
        length: softmax.width,
    }
    .launch()
}

pub(super) fn cross_entropy(loss: &CrossEntropy) -> Launch {
    let text = include_str!("wgsl/cross_entropy.wgsl");
    let mut writes: Vec<(&str, Operand)> = vec![("losses", loss.losses.into())];
    writes.extend(loss.gradient.map(|gradient| ("gradient", gradient.into())));
    Rows {
        name: "cross entropy",
        fields: "width",
        dims: vec![word(loss.classes)],
        reads: vec![("logits", loss.logits.into()), ("labels", loss.labels.into())],
        writes,
        step: loss.gradient.is_some(),
        body: if loss.gradient.is_some() { text.to_owned() } else { without(text, "//GRADIENT") },
        rows: loss.rows,
        length: loss.classes,
    }
    .launch()
}

pub(super) fn reduce(reduce: &Reduce) -> Launch {
    Rows {
        name: "reduce",
        fields: "length inner scale loss_scaled",
        dims: vec![
            word(reduce.length),
            word(reduce.inner),
            reduce.scale.to_bits(),
            u32::from(reduce.loss_scaled),
        ],
        reads: vec![("input", reduce.input.into())],
        writes: vec![("output", reduce.output.into())],
        step: true,
        body: match reduce.kind {
            ReduceKind::Sum => include_str!("wgsl/reduce_sum.wgsl").to_owned(),
            ReduceKind::Max => include_str!("wgsl/reduce_max.wgsl").to_owned(),
        },
        rows: reduce.outer * reduce.inner,
        length: reduce.length,
    }
    .launch()
}

pub(super) fn normalize(norm: &Normalize) -> Launch {
    let shape = norm.shape;
    let mut reads: Vec<(&str, Operand)> = vec![("input", norm.input.into())];
    reads.extend(norm.scale.map(|scale| ("scale", scale.into())));
    reads.extend(norm.bias.map(|bias| ("bias", bias.into())));
    Rows {
        name: "normalize",
        fields: "width groups inner rms epsilon",
        dims: vec![
            word(shape.width),
            word(shape.groups),
            word(shape.inner),
            u32::from(norm.rms),
            norm.epsilon.to_bits(),
        ],
        reads,
        writes: vec![("output", norm.output.into()), ("moments", norm.moments.into())],
        step: false,
        body: include_str!("wgsl/normalize.wgsl")
            .replace("SCALE", if norm.scale.is_some() { "scale[at]" } else { "1.0" })
            .replace("BIAS", if norm.bias.is_some() { "bias[at]" } else { "0.0" }),
        rows: shape.rows,
        length: shape.width,
    }
    .launch()
}

pub(super) fn normalize_backward(norm: &NormalizeBackward) -> Launch {
    let shape = norm.shape;
    let mut reads: Vec<(&str, Operand)> = vec![
        ("input", norm.input.into()),
        ("moments", norm.moments.into()),
        ("gradient", norm.gradient.into()),
    ];
    reads.extend(norm.scale.map(|scale| ("scale", scale.into())));
    Rows {
        name: "normalize backward",
        fields: "width groups inner rms",
        dims: vec![word(shape.width), word(shape.groups), word(shape.inner), u32::from(norm.rms)],
        reads,
        writes: vec![("result", norm.result.into())],
        step: false,
        body: include_str!("wgsl/normalize_backward.wgsl")
            .replace("SCALE", if norm.scale.is_some() { "scale[at]" } else { "1.0" }),
        rows: shape.rows,
        length: shape.width,
    }
    .launch()
}

pub(super) fn normalize_parameters(norm: &NormalizeParameters) -> Launch {
    let shape = norm.shape;
    let items = shape.rows / shape.groups.max(1) * shape.inner;
    let mut writes: Vec<(&str, Operand)> = vec![("scale", norm.scale.into())];
    writes.extend(norm.bias.map(|bias| ("bias", bias.into())));
    let text = include_str!("wgsl/normalize_parameters.wgsl");
    Rows {
        name: "normalize parameters",
        fields: "width groups inner items",
        dims: vec![word(shape.width), word(shape.groups), word(shape.inner), word(items)],
        reads: vec![
            ("input", norm.input.into()),
            ("moments", norm.moments.into()),
            ("gradient", norm.gradient.into()),
        ],
        writes,
        step: false,
        body: if norm.bias.is_some() { text.replace("//BIAS ", "") } else { text.to_owned() },
        rows: shape.groups * shape.width / shape.inner.max(1),
        length: items,
    }
    .launch()
}

pub(super) fn batch_normalize(norm: &BatchNormalize) -> Launch {
    Rows {
        name: "batch normalize",
        fields: "outer inner training momentum epsilon",
        dims: vec![
            word(norm.outer),
            word(norm.inner),
            u32::from(norm.training),
            norm.momentum.to_bits(),
            norm.epsilon.to_bits(),
        ],
        reads: vec![("input", norm.input.into()), ("scale", norm.scale.into()), ("bias", norm.bias.into())],
        writes: vec![
            ("running_mean", norm.running_mean.into()),
            ("running_variance", norm.running_variance.into()),
            ("output", norm.output.into()),
            ("moments", norm.moments.into()),
        ],
        step: false,
        body: include_str!("wgsl/batch_normalize.wgsl").to_owned(),
        rows: norm.channels,
        length: norm.outer * norm.inner,
    }
    .launch()
}

pub(super) fn batch_normalize_backward(norm: &BatchNormalizeBackward) -> Launch {
    let text = include_str!("wgsl/batch_normalize_backward.wgsl");
    let mut writes: Vec<(&str, Operand)> =
        vec![("scale_gradient", norm.scale_gradient.into()), ("bias_gradient", norm.bias_gradient.into())];
    writes.extend(norm.result.map(|result| ("result", result.into())));
    let mut reads: Vec<(&str, Operand)> = vec![
        ("input", norm.input.into()),
        ("moments", norm.moments.into()),
        ("gradient", norm.gradient.into()),
    ];
    reads.extend(norm.result.map(|_| ("scale", norm.scale.into())));
    Rows {
        name: "batch normalize backward",
        fields: "outer inner",
        dims: vec![word(norm.outer), word(norm.inner)],
        reads,
        writes,
        step: false,
        body: if norm.result.is_some() { text.to_owned() } else { without(text, "//RESULT") },
        rows: norm.channels,
        length: norm.outer * norm.inner,
    }
    .launch()
}

/// Workgroups that share the work on all gradients.
const GRADIENT_GROUPS: usize = 128;

/// Sums of squares per workgroup, then the factor and its use.
pub(super) fn scale_gradients(scale: &ScaleGradients) -> [Launch; 2] {
    let groups = scale.elements.div_ceil(1024).clamp(1, GRADIENT_GROUPS);
    let partials = Operand::Scratch(word(groups));
    let sums = Rows {
        name: "square sums",
        fields: "elements",
        dims: vec![word(scale.elements)],
        reads: vec![("gradients", Operand::Slot(GRADIENTS))],
        writes: vec![("partials", partials)],
        step: false,
        body: include_str!("wgsl/square_sums.wgsl").to_owned(),
        rows: groups,
        length: usize::MAX,
    };
    let factor = Rows {
        name: "scale gradients",
        fields: "elements parts limit",
        dims: vec![word(scale.elements), word(groups), scale.limit.to_bits()],
        reads: vec![("partials", partials)],
        writes: vec![("gradients", Operand::Slot(GRADIENTS)), ("norm", scale.norm.into())],
        step: false,
        body: include_str!("wgsl/scale_gradients.wgsl").to_owned(),
        rows: groups,
        length: usize::MAX,
    };
    [sums.launch(), factor.launch()]
}

/// The text less what stands between the two marks.
fn without(text: &str, mark: &str) -> String {
    text.split(mark).step_by(2).collect()
}
