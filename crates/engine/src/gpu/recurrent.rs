//! Recurrent layers: a whole sequence in one dispatch, one workgroup per few samples, the state in workgroup memory.
//!
//! Samples that share a workgroup share every weight it loads; their code is written out side by side.

use lichen_model::program::{Gru, GruBackward, Lstm, LstmBackward, Recurrence};

use super::GpuError;
use super::launch::{Launch, Operand, Signature, word};
use super::text::{fill, filled, wgsl};

/// Samples of a workgroup.
const SAMPLES: u32 = 4;
/// Elements of workgroup memory that every device has.
const WORKGROUP_MEMORY: u32 = 4096;

/// The parts in which GRU and LSTM differ.
struct Cell<'a> {
    signature: Signature<'static>,
    shape: Recurrence,
    /// Rows of the weight per unit.
    gates: u32,
    operands: &'a [Operand],
}

const FIELDS: &str = "batch steps";
const FORWARD: &str = "projected weight bias -> output gates";

pub(super) fn gru(gru: &Gru) -> Result<Launch, GpuError> {
    let cell = Cell {
        signature: Signature { name: "gru", fields: FIELDS, arrays: FORWARD },
        shape: gru.shape,
        gates: 3,
        operands: &[
            gru.projected.into(),
            gru.weight.into(),
            gru.bias.into(),
            gru.output.into(),
            gru.gates.into(),
        ],
    };
    cell.forward(wgsl!("gru"))
}

pub(super) fn lstm(lstm: &Lstm) -> Result<Launch, GpuError> {
    let cell = Cell {
        signature: Signature { name: "lstm", fields: FIELDS, arrays: FORWARD },
        shape: lstm.shape,
        gates: 4,
        operands: &[
            lstm.projected.into(),
            lstm.weight.into(),
            lstm.bias.into(),
            lstm.output.into(),
            lstm.gates.into(),
        ],
    };
    cell.forward(wgsl!("lstm"))
}

const BACKWARD: &str = "weight output gates gradient -> projected_gradient previous hidden_gradient";

pub(super) fn gru_backward(gru: &GruBackward) -> Result<Launch, GpuError> {
    let cell = Cell {
        signature: Signature { name: "gru backward", fields: FIELDS, arrays: BACKWARD },
        shape: gru.shape,
        gates: 3,
        operands: &[
            gru.weight.into(),
            gru.output.into(),
            gru.gates.into(),
            gru.gradient.into(),
            gru.projected_gradient.into(),
            gru.previous.into(),
            gru.hidden_gradient.into(),
        ],
    };
    cell.backward(wgsl!("gru_backward"))
}

pub(super) fn lstm_backward(lstm: &LstmBackward) -> Result<Launch, GpuError> {
    let cell = Cell {
        signature: Signature { name: "lstm backward", fields: FIELDS, arrays: BACKWARD },
        shape: lstm.shape,
        gates: 4,
        operands: &[
            lstm.weight.into(),
            lstm.output.into(),
            lstm.gates.into(),
            lstm.gradient.into(),
            lstm.projected_gradient.into(),
            lstm.previous.into(),
            Operand::Missing,
        ],
    };
    cell.backward(wgsl!("lstm_backward"))
}

impl Cell<'_> {
    /// `unit` defines `unit(sample, t, j, ...)`, which is given the recurrent part of each gate and returns the state.
    fn forward(self, unit: &str) -> Result<Launch, GpuError> {
        let (hidden, gates) = (word(self.shape.hidden), self.gates);
        let samples = self.samples(2 * hidden)?;
        let is_whole = hidden.is_multiple_of(4);
        let [weight, state, sum] = if is_whole { VECTORS } else { ELEMENTS };
        let (mut start, mut inner, mut names, mut arguments) =
            (String::new(), String::new(), String::new(), String::new());
        for gate in 0..gates {
            fill(&mut inner, weight, &[gate], &[]);
            fill(&mut arguments, ", sums[s * $au + $bu]", &[gates, gate], &[]);
        }
        for sample in 0..samples {
            fill(&mut inner, state, &[sample, sample * hidden], &[]);
            for gate in 0..gates {
                let numbers = [sample, gate];
                fill(&mut start, "var u$a_$b = bias[$bu * HIDDEN + j];\n", &numbers, &[]);
                fill(&mut inner, sum, &numbers, &[]);
                fill(&mut names, "u$a_$b, ", &numbers, &[]);
            }
        }
        let step = if is_whole { 4 } else { 1 };
        let numbers = [hidden, samples, 2 * samples * hidden, step, samples * gates];
        let body = filled(wgsl!("recurrent"), &numbers, &[&start, &inner, &names, &arguments]);
        Ok(self.launch(samples, &[unit, &body]))
    }

    /// `unit` defines `unit(sample, t, j, carry)`, which writes the gates' gradients to `du` and returns what reaches the
    /// state before without going through the weight.
    fn backward(self, unit: &str) -> Result<Launch, GpuError> {
        let hidden = word(self.shape.hidden);
        let samples = self.samples((self.gates + 2) * hidden)?;
        let gates = self.gates * hidden;
        let (mut start, mut inner, mut end) = (String::new(), String::new(), String::new());
        for sample in 0..samples {
            let numbers = [sample, sample * hidden, sample * gates];
            fill(&mut start, "var sum$a = carry[$bu + j];\n", &numbers, &[]);
            fill(&mut inner, "sum$a += w * du[$cu + i];\n", &numbers, &[]);
            fill(&mut end, "carry[$bu + j] = sum$a;\n", &numbers, &[]);
        }
        let numbers = [hidden, samples, gates, samples * gates, samples * hidden];
        let body = filled(wgsl!("recurrent_backward"), &numbers, &[&start, &inner, &end]);
        Ok(self.launch(samples, &[unit, &body]))
    }

    /// As many samples as fit and are there.
    fn samples(&self, elements: u32) -> Result<u32, GpuError> {
        match WORKGROUP_MEMORY / elements.max(1) {
            0 => Err(GpuError::Unsupported("a recurrent state of this width")),
            fitting => Ok(fitting.min(SAMPLES).min(word(self.shape.batch).max(1))),
        }
    }

    fn launch(self, samples: u32, body: &[&str]) -> Launch {
        let [batch, steps] = [self.shape.batch, self.shape.steps].map(word);
        self.signature.launch(body, &[batch, steps], self.operands, [batch.div_ceil(samples), 1, 1])
    }
}

/// Loads a gate's weights, then a sample's state, and adds their product to the gate's sum: four units of the state at once.
const VECTORS: [&str; 3] = [
    "let at$a = ($au * HIDDEN + j) * HIDDEN + k;
let w$a = vec4f(weight[at$a], weight[at$a + 1u], weight[at$a + 2u], weight[at$a + 3u]);
",
    "let from$a = now + $bu + k;
let h$a = vec4f(state[from$a], state[from$a + 1u], state[from$a + 2u], state[from$a + 3u]);
",
    "u$a_$b += dot(w$b, h$a);
",
];

/// The same with one unit at a time.
const ELEMENTS: [&str; 3] = [
    "let w$a = weight[($au * HIDDEN + j) * HIDDEN + k];
",
    "let h$a = state[now + $bu + k];
",
    "u$a_$b += w$b * h$a;
",
];
