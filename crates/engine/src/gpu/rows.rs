//! Kernels that work on whole rows: softmax, losses, reductions, normalisation.
//!
//! The same WGSL runs with one thread per row, where there are many short rows, or with one workgroup per row. Sums over
//! many rows are cut into parts, which a second kernel adds up in order: barriers would cost more.

use lichen_model::program::{
    BatchNormalize, BatchNormalizeBackward, CrossEntropy, GRADIENTS, NormShape, Normalize, NormalizeBackward,
    NormalizeParameters, Reduce, ReduceKind, ScaleGradients, Softmax, SoftmaxBackward,
};

use super::device::SOFTWARE_WIDTH;
use super::launch::{Launch, MOST_ALONG_AXIS, Operand, WORKGROUP, source, word};
use super::text::wgsl;

const ONE_LANE: &str = wgsl!("one_lane");
const MANY_LANES: &str = wgsl!("many_lanes");
/// Most and fewest elements that one thread adds up where several share a sum.
const LONGEST_PART: usize = 1024;
const SHORTEST_PART: usize = 16;
/// Below every logit.
const LOWEST: &str = "const LOWEST = -3.4028234e38f;\n";
/// Columns that a row of a causal mask lets through.
const VISIBLE: &str = "fn visible(row: u32) -> u32 {
    return select(dims.width, row % max(dims.causal, 1u) + 1u + dims.width - dims.causal, dims.causal != 0u);
}
";

/// The index of an element's scale: a division is dear where every element has its own.
fn scale_at(shape: NormShape) -> &'static str {
    if shape.inner == 1 { "channel + j" } else { "channel + j / dims.inner" }
}

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
    /// Barriers are dear: a workgroup per row pays where rows are few or long.
    fn launch(self) -> Launch {
        let (length, rows) = (self.length, self.rows);
        self.with_lanes((length >= 256 && rows < 512) || length >= 4096 || (length >= 64 && rows < 64))
    }

    /// One thread per row, or many. `dims.rows` comes first in the uniform block.
    fn with_lanes(self, many: bool) -> Launch {
        let rows = word(self.rows);
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
        body: VISIBLE.to_owned() + wgsl!("softmax"),
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
        body: VISIBLE.to_owned() + wgsl!("softmax_backward"),
        rows: softmax.rows,
        length: softmax.width,
    }
    .launch()
}

pub(super) fn cross_entropy(loss: &CrossEntropy) -> Launch {
    let text = wgsl!("cross_entropy");
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

/// A reduction, cut in two along its axis where many threads can share the work; `width` is how many threads keep the
/// adapter busy.
pub(super) fn reduce(reduce: &Reduce, width: u32) -> Vec<Launch> {
    let &Reduce { outer, length, inner, .. } = reduce;
    let wanted = parts(outer * inner, length, width);
    let parts = (1..=wanted).rev().find(|&parts| length.is_multiple_of(parts)).unwrap_or(1);
    let (input, output) = (reduce.input.into(), reduce.output.into());
    let alone = reduce_rows(reduce, input, output);
    // A program takes longer to compile barriers than to add up a few numbers.
    if width == SOFTWARE_WIDTH && length <= LONGEST_PART {
        return vec![alone.with_lanes(false)];
    }
    if parts == 1 || outer * parts * inner < WORKGROUP as usize {
        return vec![alone.launch()];
    }
    let each = Reduce {
        outer: outer * parts,
        length: length / parts,
        scale: 1.0,
        loss_scaled: false,
        ..reduce.clone()
    };
    let all = Reduce { length: parts, ..reduce.clone() };
    let partials = Operand::Scratch(word(outer * parts * inner));
    vec![
        reduce_rows(&each, input, partials).with_lanes(false),
        reduce_rows(&all, partials, output).with_lanes(false),
    ]
}

/// Into how many parts sums of `length` elements each are cut: enough for all threads, but not too short.
fn parts(sums: usize, length: usize, width: u32) -> usize {
    (width as usize / sums.max(1)).max(length / LONGEST_PART).clamp(1, (length / SHORTEST_PART).max(1))
}

fn reduce_rows(reduce: &Reduce, input: Operand, output: Operand) -> Rows<'static> {
    Rows {
        name: "reduce",
        fields: "length inner scale loss_scaled",
        dims: vec![
            word(reduce.length),
            word(reduce.inner),
            reduce.scale.to_bits(),
            u32::from(reduce.loss_scaled),
        ],
        reads: vec![("input", input)],
        writes: vec![("output", output)],
        step: true,
        body: match reduce.kind {
            ReduceKind::Sum => wgsl!("reduce_sum").to_owned(),
            ReduceKind::Max => wgsl!("reduce_max").to_owned(),
        },
        rows: reduce.outer * reduce.inner,
        length: reduce.length,
    }
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
        body: wgsl!("normalize")
            .replace("AT", scale_at(shape))
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
        body: wgsl!("normalize_backward")
            .replace("AT", scale_at(shape))
            .replace("SCALE", if norm.scale.is_some() { "scale[at]" } else { "1.0" }),
        rows: shape.rows,
        length: shape.width,
    }
    .launch()
}

/// Sums of parts of the rows, then the sums of these.
pub(super) fn normalize_parameters(norm: &NormalizeParameters, width: u32) -> [Launch; 2] {
    let shape = norm.shape;
    let items = shape.rows / shape.groups.max(1) * shape.inner;
    let channels = shape.groups * shape.width / shape.inner.max(1);
    // A second kernel is needed in any case, so that more threads cost nothing.
    let parts = parts(channels, items, width.saturating_mul(4));
    let partials = Operand::Scratch(word(2 * parts * channels));
    let dims = vec![
        word(shape.width),
        word(shape.groups),
        word(shape.inner),
        word(items),
        word(channels),
        word(items.div_ceil(parts)),
    ];
    let each = Rows {
        name: "normalize parameters",
        fields: "width groups inner items channels part",
        dims,
        reads: vec![
            ("input", norm.input.into()),
            ("moments", norm.moments.into()),
            ("gradient", norm.gradient.into()),
        ],
        writes: vec![("partials", partials)],
        step: false,
        body: wgsl!("normalize_parameters").to_owned(),
        rows: parts * channels,
        length: items,
    };
    let mut writes: Vec<(&str, Operand)> = vec![("scale", norm.scale.into())];
    writes.extend(norm.bias.map(|bias| ("bias", bias.into())));
    let text = wgsl!("normalize_parameters_sum");
    let all = Rows {
        name: "sum normalize parameters",
        fields: "parts",
        dims: vec![word(parts)],
        reads: vec![("partials", partials)],
        writes,
        step: false,
        body: if norm.bias.is_some() { text.to_owned() } else { without(text, "//BIAS") },
        rows: channels,
        length: parts,
    };
    [each.with_lanes(false), all.with_lanes(false)]
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
        body: wgsl!("batch_normalize").to_owned(),
        rows: norm.channels,
        length: norm.outer * norm.inner,
    }
    .launch()
}

pub(super) fn batch_normalize_backward(norm: &BatchNormalizeBackward) -> Launch {
    let text = wgsl!("batch_normalize_backward");
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
        body: wgsl!("square_sums").to_owned(),
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
        body: wgsl!("scale_gradients").to_owned(),
        rows: groups,
        length: usize::MAX,
    };
    [sums.launch(), factor.launch()]
}

/// The text less what stands between the two marks.
fn without(text: &str, mark: &str) -> String {
    text.split(mark).step_by(2).collect()
}
