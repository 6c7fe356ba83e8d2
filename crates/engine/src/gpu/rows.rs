//! Kernels that work on whole rows: softmax, losses, reductions, normalisation.
//!
//! The same WGSL runs with one thread per row, where there are many short rows, or with one workgroup per row. Sums over
//! many rows are cut into parts, which a second kernel adds up in order: barriers would cost more.

use lichen_model::program::{
    BatchNormalize, BatchNormalizeBackward, CrossEntropy, GRADIENTS, NormShape, Normalize, NormalizeBackward,
    NormalizeParameters, Reduce, ReduceKind, ScaleGradients, Softmax, SoftmaxBackward,
};

use super::device::SOFTWARE_WIDTH;
use super::launch::{Launch, MOST_ALONG_AXIS, Operand, Signature, WORKGROUP, word};
use super::text::{filled, wgsl, without};

const ONE_LANE: &str = wgsl!("one_lane");
const MANY_LANES: &str = wgsl!("many_lanes");
/// Most and fewest elements that one thread adds up where several share a sum.
const LONGEST_PART: usize = 1024;
const SHORTEST_PART: usize = 16;
/// Columns that a row of a causal mask lets through.
const VISIBLE: &str = "fn visible(row: u32) -> u32 {
return select(dims.width, row % max(dims.causal, 1u) + 1u + dims.width - dims.causal, dims.causal != 0u);
}
";

/// A normalisation's text for its shape, with the scale and the bias of an element, if there are any.
fn normalizing(text: &str, shape: NormShape, has_scale: bool, has_bias: bool) -> String {
    // A division is dear where every element has a scale of its own.
    let at = if shape.inner == 1 { "channel + j" } else { "channel + j / dims.inner" };
    let scale = if has_scale { "scale[at]" } else { "1.0" };
    filled(text, &[], &[at, scale, if has_bias { "bias[at]" } else { "0.0" }])
}

/// The words that a normalisation's shape takes in the uniform block.
fn extents(shape: NormShape) -> [u32; 3] {
    [word(shape.width), word(shape.groups), word(shape.inner)]
}

/// How many rows a kernel works on, and how long they are.
#[derive(Clone, Copy)]
struct Rows {
    count: usize,
    length: usize,
}

impl Rows {
    /// Barriers are dear: a workgroup per row pays where rows are few or long.
    fn launch(self, signature: &Signature<'_>, body: &[&str], dims: &[u32], operands: &[Operand]) -> Launch {
        let (length, rows) = (self.length, self.count);
        let many = (length >= 256 && rows < 512) || length >= 4096 || (length >= 64 && rows < 64);
        self.with_lanes(many, signature, body, dims, operands)
    }

    /// One thread per row, or many. `dims.rows` comes before all other fields.
    fn with_lanes(
        self,
        many: bool,
        signature: &Signature<'_>,
        body: &[&str],
        dims: &[u32],
        operands: &[Operand],
    ) -> Launch {
        let rows = word(self.count);
        let (lanes, groups) = if many { (MANY_LANES, rows) } else { (ONE_LANE, rows.div_ceil(WORKGROUP)) };
        let across = groups.clamp(1, MOST_ALONG_AXIS);
        let grid = [across, groups.div_ceil(across).max(1), 1];
        signature.launch(&[body, &[lanes]].concat(), &[&[rows], dims].concat(), operands, grid)
    }
}

const SOFTMAX: Signature<'_> =
    Signature { name: "softmax", fields: "rows width log causal", arrays: "input -> output" };

pub(super) fn softmax(softmax: &Softmax) -> Launch {
    Rows { count: softmax.rows, length: softmax.width }.launch(
        &SOFTMAX,
        &[VISIBLE, wgsl!("softmax")],
        &[word(softmax.width), u32::from(softmax.log), word(softmax.causal)],
        &[softmax.input.into(), softmax.output.into()],
    )
}

const SOFTMAX_BACKWARD: Signature<'_> = Signature {
    name: "softmax backward",
    fields: "rows width log causal",
    arrays: "output gradient -> result",
};

pub(super) fn softmax_backward(softmax: &SoftmaxBackward) -> Launch {
    Rows { count: softmax.rows, length: softmax.width }.launch(
        &SOFTMAX_BACKWARD,
        &[VISIBLE, wgsl!("softmax_backward")],
        &[word(softmax.width), u32::from(softmax.log), word(softmax.causal)],
        &[softmax.output.into(), softmax.gradient.into(), softmax.result.into()],
    )
}

const CROSS_ENTROPY: Signature<'_> =
    Signature { name: "cross entropy", fields: "rows width", arrays: "logits labels -> losses gradient" };

pub(super) fn cross_entropy(loss: &CrossEntropy) -> Launch {
    let text = wgsl!("cross_entropy");
    let short = without(text);
    let (text, step) = match loss.gradient {
        Some(_) => (text, Operand::Step),
        None => (short.as_str(), Operand::Missing),
    };
    Rows { count: loss.rows, length: loss.classes }.launch(
        &CROSS_ENTROPY,
        &[text],
        &[word(loss.classes)],
        &[loss.logits.into(), loss.labels.into(), loss.losses.into(), loss.gradient.into(), step],
    )
}

/// Adds a reduction, cut in two along its axis where many threads can share the work; `width` is how many threads keep the
/// adapter busy.
pub(super) fn reduce(launches: &mut Vec<Launch>, reduce: &Reduce, width: u32) {
    let &Reduce { outer, length, inner, .. } = reduce;
    let wanted = parts(outer * inner, length, width);
    let parts = (1..=wanted).rev().find(|&parts| length.is_multiple_of(parts)).unwrap_or(1);
    let (input, output) = (reduce.input.into(), reduce.output.into());
    // A program takes longer to compile barriers than to add up a few numbers.
    if width == SOFTWARE_WIDTH && length <= LONGEST_PART {
        return launches.push(reduce_rows(reduce, input, output, Some(false)));
    }
    if parts == 1 || outer * parts * inner < WORKGROUP as usize {
        return launches.push(reduce_rows(reduce, input, output, None));
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
    launches.push(reduce_rows(&each, input, partials, Some(false)));
    launches.push(reduce_rows(&all, partials, output, Some(false)));
}

/// Into how many parts sums of `length` elements each are cut: enough for all threads, but not too short.
fn parts(sums: usize, length: usize, width: u32) -> usize {
    (width as usize / sums.max(1)).max(length / LONGEST_PART).clamp(1, (length / SHORTEST_PART).max(1))
}

const REDUCE: Signature<'_> =
    Signature { name: "reduce", fields: "rows length inner scale loss_scaled", arrays: "input -> output" };

fn reduce_rows(reduce: &Reduce, input: Operand, output: Operand, many: Option<bool>) -> Launch {
    let dims =
        [word(reduce.length), word(reduce.inner), reduce.scale.to_bits(), u32::from(reduce.loss_scaled)];
    let text = match reduce.kind {
        ReduceKind::Sum => wgsl!("reduce_sum"),
        ReduceKind::Max => wgsl!("reduce_max"),
    };
    let rows = Rows { count: reduce.outer * reduce.inner, length: reduce.length };
    let operands = [input, output, Operand::Step];
    match many {
        Some(many) => rows.with_lanes(many, &REDUCE, &[text], &dims, &operands),
        None => rows.launch(&REDUCE, &[text], &dims, &operands),
    }
}

const NORMALIZE: Signature<'_> = Signature {
    name: "normalize",
    fields: "rows width groups inner rms epsilon",
    arrays: "input scale bias -> output moments",
};

pub(super) fn normalize(norm: &Normalize) -> Launch {
    let shape = norm.shape;
    let [width, groups, inner] = extents(shape);
    Rows { count: shape.rows, length: shape.width }.launch(
        &NORMALIZE,
        &[&normalizing(wgsl!("normalize"), shape, norm.scale.is_some(), norm.bias.is_some())],
        &[width, groups, inner, u32::from(norm.rms), norm.epsilon.to_bits()],
        &[norm.input.into(), norm.scale.into(), norm.bias.into(), norm.output.into(), norm.moments.into()],
    )
}

const NORMALIZE_BACKWARD: Signature<'_> = Signature {
    name: "normalize backward",
    fields: "rows width groups inner rms",
    arrays: "input moments gradient scale -> result",
};

pub(super) fn normalize_backward(norm: &NormalizeBackward) -> Launch {
    let shape = norm.shape;
    let [width, groups, inner] = extents(shape);
    Rows { count: shape.rows, length: shape.width }.launch(
        &NORMALIZE_BACKWARD,
        &[&normalizing(wgsl!("normalize_backward"), shape, norm.scale.is_some(), false)],
        &[width, groups, inner, u32::from(norm.rms)],
        &[
            norm.input.into(),
            norm.moments.into(),
            norm.gradient.into(),
            norm.scale.into(),
            norm.result.into(),
        ],
    )
}

const NORMALIZE_PARAMETERS: Signature<'_> = Signature {
    name: "normalize parameters",
    fields: "rows width groups inner items channels part",
    arrays: "input moments gradient -> partials",
};

const SUM_NORMALIZE_PARAMETERS: Signature<'_> =
    Signature { name: "sum normalize parameters", fields: "rows parts", arrays: "partials -> scale bias" };

/// Adds sums of parts of the rows, then the sums of these.
pub(super) fn normalize_parameters(launches: &mut Vec<Launch>, norm: &NormalizeParameters, width: u32) {
    let shape = norm.shape;
    let items = shape.rows / shape.groups.max(1) * shape.inner;
    let channels = shape.groups * shape.width / shape.inner.max(1);
    // A second kernel is needed in any case, so that more threads cost nothing.
    let parts = parts(channels, items, width.saturating_mul(4));
    let partials = Operand::Scratch(word(2 * parts * channels));
    let [width, groups, inner] = extents(shape);
    let each = Rows { count: parts * channels, length: items }.with_lanes(
        false,
        &NORMALIZE_PARAMETERS,
        &[wgsl!("normalize_parameters")],
        &[width, groups, inner, word(items), word(channels), word(items.div_ceil(parts))],
        &[norm.input.into(), norm.moments.into(), norm.gradient.into(), partials],
    );
    let text = wgsl!("normalize_parameters_sum");
    let short = without(text);
    let all = Rows { count: channels, length: parts }.with_lanes(
        false,
        &SUM_NORMALIZE_PARAMETERS,
        &[if norm.bias.is_some() { text } else { &short }],
        &[word(parts)],
        &[partials, norm.scale.into(), norm.bias.into()],
    );
    launches.extend([each, all]);
}

const BATCH_NORMALIZE: Signature<'_> = Signature {
    name: "batch normalize",
    fields: "rows outer inner training momentum epsilon",
    arrays: "input scale bias -> running_mean running_variance output moments",
};

pub(super) fn batch_normalize(norm: &BatchNormalize) -> Launch {
    Rows { count: norm.channels, length: norm.outer * norm.inner }.launch(
        &BATCH_NORMALIZE,
        &[wgsl!("batch_normalize")],
        &[
            word(norm.outer),
            word(norm.inner),
            u32::from(norm.training),
            norm.momentum.to_bits(),
            norm.epsilon.to_bits(),
        ],
        &[
            norm.input.into(),
            norm.scale.into(),
            norm.bias.into(),
            norm.running_mean.into(),
            norm.running_variance.into(),
            norm.output.into(),
            norm.moments.into(),
        ],
    )
}

const BATCH_NORMALIZE_BACKWARD: Signature<'_> = Signature {
    name: "batch normalize backward",
    fields: "rows outer inner",
    arrays: "input moments gradient scale -> scale_gradient bias_gradient result",
};

pub(super) fn batch_normalize_backward(norm: &BatchNormalizeBackward) -> Launch {
    let text = wgsl!("batch_normalize_backward");
    let short = without(text);
    Rows { count: norm.channels, length: norm.outer * norm.inner }.launch(
        &BATCH_NORMALIZE_BACKWARD,
        &[if norm.result.is_some() { text } else { &short }],
        &[word(norm.outer), word(norm.inner)],
        &[
            norm.input.into(),
            norm.moments.into(),
            norm.gradient.into(),
            norm.result.map(|_| norm.scale).into(),
            norm.scale_gradient.into(),
            norm.bias_gradient.into(),
            norm.result.into(),
        ],
    )
}

/// Workgroups that share the work on all gradients.
const GRADIENT_GROUPS: usize = 128;

const SQUARE_SUMS: Signature<'_> =
    Signature { name: "square sums", fields: "rows elements", arrays: "gradients -> partials" };

const SCALE_GRADIENTS: Signature<'_> = Signature {
    name: "scale gradients",
    fields: "rows elements parts limit",
    arrays: "partials -> gradients norm",
};

/// Adds sums of squares per workgroup, then the factor and its use.
pub(super) fn scale_gradients(launches: &mut Vec<Launch>, scale: &ScaleGradients) {
    let groups = scale.elements.div_ceil(1024).clamp(1, GRADIENT_GROUPS);
    let (partials, gradients) = (Operand::Scratch(word(groups)), Operand::Slot(GRADIENTS));
    let rows = Rows { count: groups, length: usize::MAX };
    let elements = word(scale.elements);
    let sums = rows.launch(&SQUARE_SUMS, &[wgsl!("square_sums")], &[elements], &[gradients, partials]);
    let factor = rows.launch(
        &SCALE_GRADIENTS,
        &[wgsl!("scale_gradients")],
        &[elements, word(groups), scale.limit.to_bits()],
        &[partials, gradients, scale.norm.into()],
    );
    launches.extend([sums, factor]);
}
