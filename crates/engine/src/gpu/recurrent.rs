//! Recurrent layers: a whole sequence in one dispatch, one workgroup per few samples, the state in workgroup memory.
//!
//! Samples that share a workgroup share every weight it loads; their code is written out side by side.

use lichen_model::program::{Gru, GruBackward, Lstm, LstmBackward, Recurrence};

use super::GpuError;
use super::launch::{Launch, Operand, source, word};
use super::text::wgsl;

/// Threads of a workgroup; each works on every 64th unit of the state.
const LANES: usize = 64;
/// Samples of a workgroup.
const SAMPLES: usize = 4;
/// Elements of workgroup memory that every device has.
const WORKGROUP_MEMORY: usize = 4096;

/// The parts in which GRU and LSTM differ.
struct Cell<'a> {
    name: &'static str,
    shape: Recurrence,
    /// Rows of the weight per unit.
    gates: usize,
    reads: Vec<(&'a str, Operand)>,
    writes: Vec<(&'a str, Operand)>,
}

pub(super) fn gru(gru: &Gru) -> Result<Launch, GpuError> {
    let cell = Cell {
        name: "gru",
        shape: gru.shape,
        gates: 3,
        reads: vec![
            ("projected", gru.projected.into()),
            ("weight", gru.weight.into()),
            ("bias", gru.bias.into()),
        ],
        writes: vec![("output", gru.output.into()), ("gates", gru.gates.into())],
    };
    cell.forward(wgsl!("gru"))
}

pub(super) fn lstm(lstm: &Lstm) -> Result<Launch, GpuError> {
    let cell = Cell {
        name: "lstm",
        shape: lstm.shape,
        gates: 4,
        reads: vec![
            ("projected", lstm.projected.into()),
            ("weight", lstm.weight.into()),
            ("bias", lstm.bias.into()),
        ],
        writes: vec![("output", lstm.output.into()), ("gates", lstm.gates.into())],
    };
    cell.forward(wgsl!("lstm"))
}

pub(super) fn gru_backward(gru: &GruBackward) -> Result<Launch, GpuError> {
    let cell = Cell {
        name: "gru backward",
        shape: gru.shape,
        gates: 3,
        reads: vec![
            ("weight", gru.weight.into()),
            ("output", gru.output.into()),
            ("gates", gru.gates.into()),
            ("gradient", gru.gradient.into()),
        ],
        writes: vec![
            ("projected_gradient", gru.projected_gradient.into()),
            ("hidden_gradient", gru.hidden_gradient.into()),
            ("previous", gru.previous.into()),
        ],
    };
    cell.backward(wgsl!("gru_backward"))
}

pub(super) fn lstm_backward(lstm: &LstmBackward) -> Result<Launch, GpuError> {
    let cell = Cell {
        name: "lstm backward",
        shape: lstm.shape,
        gates: 4,
        reads: vec![
            ("weight", lstm.weight.into()),
            ("output", lstm.output.into()),
            ("gates", lstm.gates.into()),
            ("gradient", lstm.gradient.into()),
        ],
        writes: vec![
            ("projected_gradient", lstm.projected_gradient.into()),
            ("previous", lstm.previous.into()),
        ],
    };
    cell.backward(wgsl!("lstm_backward"))
}

impl Cell<'_> {
    /// `text` defines `unit(sample, t, j, ...)`, which is given the recurrent part of each gate and returns the state.
    fn forward(self, text: &str) -> Result<Launch, GpuError> {
        let Recurrence { hidden, .. } = self.shape;
        let samples = self.samples(2 * hidden)?;
        let pairs = || (0..samples).flat_map(|s| (0..self.gates).map(move |g| (s, g)));
        let start: String =
            pairs().map(|(s, g)| format!("            var u{s}_{g} = bias[{g}u * HIDDEN + j];\n")).collect();
        let products = |count: usize| -> String {
            let weights: String = (0..self.gates)
                .map(|g| {
                    let lane = |i: usize| format!("weight[({g}u * HIDDEN + j) * HIDDEN + k + {i}u]");
                    let lanes: Vec<String> = (0..count).map(lane).collect();
                    match count {
                        4 => format!("                let w{g} = vec4f({});\n", lanes.join(", ")),
                        _ => format!("                let w{g} = {};\n", lanes.join("")),
                    }
                })
                .collect();
            let states: String = (0..samples)
                .map(|s| {
                    let lane = |i: usize| format!("state[now + {}u + k + {i}u]", s * hidden);
                    let lanes: Vec<String> = (0..count).map(lane).collect();
                    match count {
                        4 => format!("                let h{s} = vec4f({});\n", lanes.join(", ")),
                        _ => format!("                let h{s} = {};\n", lanes.join("")),
                    }
                })
                .collect();
            let sums: String = pairs()
                .map(|(s, g)| match count {
                    4 => format!("                u{s}_{g} += dot(w{g}, h{s});\n"),
                    _ => format!("                u{s}_{g} += w{g} * h{s};\n"),
                })
                .collect();
            weights + &states + &sums
        };
        let step = if hidden.is_multiple_of(4) { 4 } else { 1 };
        let names: String = pairs().map(|(s, g)| format!("u{s}_{g}, ")).collect();
        let arguments: String =
            (0..self.gates).map(|g| format!(", sums[s * {}u + {g}u]", self.gates)).collect();
        let body = format!(
            "const HIDDEN = {hidden}u;
const SAMPLES = {samples}u;
var<workgroup> state: array<f32, {}>;
{text}
@compute @workgroup_size({LANES})
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {{
    let first = group.x * SAMPLES;
    for (var i = lane; i < 2u * SAMPLES * HIDDEN; i += {LANES}u) {{
        state[i] = 0.0;
    }}
    workgroupBarrier();
    for (var t = 0u; t < dims.steps; t++) {{
        let now = t % 2u * SAMPLES * HIDDEN;
        let next = SAMPLES * HIDDEN - now;
        for (var j = lane; j < HIDDEN; j += {LANES}u) {{
{start}            for (var k = 0u; k < HIDDEN; k += {step}u) {{
{}            }}
            var sums = array<f32, {}>({names});
            for (var s = 0u; s < SAMPLES; s++) {{
                let at = s * HIDDEN + j;
                state[next + at] = unit(first + s, t, j, state[now + at]{arguments});
            }}
        }}
        workgroupBarrier();
    }}
}}
",
            2 * samples * hidden,
            products(step),
            samples * self.gates,
        );
        Ok(self.launch(samples, &body))
    }

    /// `text` defines `unit(sample, t, j, carry)`, which writes the gates' gradients to `du` and returns what reaches the
    /// state before without going through the weight.
    fn backward(self, text: &str) -> Result<Launch, GpuError> {
        let Recurrence { hidden, .. } = self.shape;
        let per_sample = (self.gates + 2) * hidden;
        let samples = self.samples(per_sample)?;
        let du = self.gates * hidden;
        let start: String =
            (0..samples).map(|s| format!("            var sum{s} = carry[{}u + j];\n", s * hidden)).collect();
        let sums: String =
            (0..samples).map(|s| format!("                sum{s} += w * du[{}u + i];\n", s * du)).collect();
        let finish: String =
            (0..samples).map(|s| format!("            carry[{}u + j] = sum{s};\n", s * hidden)).collect();
        let body = format!(
            "const HIDDEN = {hidden}u;
const SAMPLES = {samples}u;
var<workgroup> du: array<f32, {}>;
var<workgroup> carry: array<f32, {}>;
var<workgroup> cell: array<f32, {}>;
{text}
@compute @workgroup_size({LANES})
fn main(@builtin(local_invocation_index) lane: u32, @builtin(workgroup_id) group: vec3u) {{
    let first = group.x * SAMPLES;
    for (var i = lane; i < SAMPLES * HIDDEN; i += {LANES}u) {{
        carry[i] = 0.0;
        cell[i] = 0.0;
    }}
    workgroupBarrier();
    for (var back = 0u; back < dims.steps; back++) {{
        let t = dims.steps - 1u - back;
        for (var j = lane; j < HIDDEN; j += {LANES}u) {{
            for (var s = 0u; s < SAMPLES; s++) {{
                let at = s * HIDDEN + j;
                carry[at] = unit(s * {du}u, first + s, t, j, carry[at]);
            }}
        }}
        workgroupBarrier();
        for (var j = lane; j < HIDDEN; j += {LANES}u) {{
{start}            for (var i = 0u; i < {du}u; i++) {{
                let w = weight[i * HIDDEN + j];
{sums}            }}
{finish}        }}
        workgroupBarrier();
    }}
}}
",
            samples * du,
            samples * hidden,
            samples * hidden,
        );
        Ok(self.launch(samples, &body))
    }

    /// As many samples as fit and are there.
    fn samples(&self, elements: usize) -> Result<usize, GpuError> {
        match WORKGROUP_MEMORY / elements.max(1) {
            0 => Err(GpuError::Unsupported("a recurrent state of this width")),
            fitting => Ok(fitting.min(SAMPLES).min(self.shape.batch.max(1))),
        }
    }

    fn launch(self, samples: usize, body: &str) -> Launch {
        let reads: Vec<&str> = self.reads.iter().map(|(name, _)| *name).collect();
        let writes: Vec<&str> = self.writes.iter().map(|(name, _)| *name).collect();
        Launch {
            source: source(self.name, "batch steps", &reads, &writes, false, body),
            dims: vec![word(self.shape.batch), word(self.shape.steps)],
            operands: self.reads.iter().chain(&self.writes).map(|(_, operand)| *operand).collect(),
            grid: [word(self.shape.batch.div_ceil(samples)), 1, 1],
        }
    }
}
