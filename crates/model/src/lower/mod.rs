//! From a graph to a step program: forward kernels, reverse-mode differentiation, fusion, memory.
//!
//! Differentiation walks the nodes backwards; every operator's rule emits kernels that turn the gradient by its
//! output into gradients by those of its inputs that lead to a trained parameter.

mod elementwise;
mod fuse;
mod layout;
mod norms;
mod plan;
mod products;
mod recurrent;

pub use plan::{reads, writes};

use crate::ModelError;
use crate::graph::{Graph, Node, Source, Value};
use crate::op::Op;
use crate::program::{
    BufferId, BufferKind, Kernel, Map, Optimise, Program, Reduce, ReduceKind, Rule, ScaleGradients,
};
use alloc::vec;
use alloc::vec::Vec;

/// What a program is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Purpose {
    /// Outputs and loss only: no dropout, running moments, no gradients.
    Evaluate,
    /// Gradients, but no update (for tests and for those who treat gradients themselves).
    Differentiate,
    /// A whole training step.
    Train {
        /// How parameters change.
        rule: Rule,
        /// Largest norm of the gradient.
        clip_norm: Option<f32>,
    },
}

/// Lowers a finished graph.
///
/// # Errors
/// [`ModelError::Spec`] if an operator is combined in a way that has no kernel.
pub fn lower(graph: &Graph, purpose: Purpose) -> Result<Program, ModelError> {
    let mut lowering = Lowering::new(graph, purpose != Purpose::Evaluate);
    for node in 0..graph.nodes.len() {
        lowering.forward(node)?;
    }
    lowering.forward_kernels = lowering.kernels.len();
    if purpose != Purpose::Evaluate {
        lowering.backward()?;
        lowering.settle_gradients();
        if let Purpose::Train { rule, clip_norm } = purpose {
            lowering.update(rule, clip_norm);
        }
    }
    fuse::fuse_maps(&mut lowering);
    Ok(plan::plan(lowering, purpose))
}

/// A buffer before memory is planned.
#[derive(Clone, Debug)]
pub(crate) struct Virtual {
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: BufferKind,
}

pub(crate) struct Lowering<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) training: bool,
    pub(crate) buffers: Vec<Virtual>,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) forward_kernels: usize,
    /// Buffer of every value that has one.
    pub(crate) places: Vec<Option<BufferId>>,
    /// Gradient by every value, once known.
    gradients: Vec<Option<BufferId>>,
    /// Whether a value leads back to a trained parameter.
    needs: Vec<bool>,
    /// How many nodes (and the outside) read a value.
    uses: Vec<usize>,
    /// What a node's forward kernels keep for its gradient.
    saved: Vec<Option<BufferId>>,
    /// Gradient slots by parameter index.
    pub(crate) settled: Vec<Option<BufferId>>,
    pub(crate) streams: u32,
}

#[expect(clippy::indexing_slicing, reason = "values, nodes and buffers are indexed by what made them")]
impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph, training: bool) -> Self {
        let mut needs = vec![false; graph.values.len()];
        let mut uses = vec![0; graph.values.len()];
        for parameter in &graph.parameters {
            needs[parameter.value.index()] = parameter.trained;
        }
        for node in &graph.nodes {
            let needed = node.inputs.iter().any(|input| needs[input.index()]);
            needs[node.output.index()] = needed && !matches!(node.op, Op::Greater | Op::Equal);
            for input in &node.inputs {
                uses[input.index()] += 1;
            }
        }
        uses[graph.output.index()] += 1;
        uses[graph.loss.index()] += 1;
        let mut lowering = Self {
            graph,
            training,
            buffers: Vec::new(),
            kernels: Vec::new(),
            forward_kernels: 0,
            places: vec![None; graph.values.len()],
            gradients: vec![None; graph.values.len()],
            needs,
            uses,
            saved: vec![None; graph.nodes.len()],
            settled: vec![None; graph.parameters.len()],
            streams: 0,
        };
        for (index, value) in graph.values.iter().enumerate() {
            let kind = match value.source {
                Source::Input => BufferKind::Input,
                Source::Target => BufferKind::Target,
                _ => continue,
            };
            lowering.places[index] = Some(lowering.buffer(&value.shape, kind));
        }
        for parameter in &graph.parameters {
            let kind = if parameter.trained { BufferKind::Parameter } else { BufferKind::Statistic };
            let buffer = lowering.buffer(&parameter.shape, kind);
            lowering.places[parameter.value.index()] = Some(buffer);
        }
        lowering
    }

    #[expect(clippy::cast_possible_truncation, reason = "a program has far fewer than 2^32 buffers")]
    pub(crate) fn buffer(&mut self, shape: &[usize], kind: BufferKind) -> BufferId {
        self.buffers.push(Virtual { shape: shape.to_vec(), kind });
        BufferId(self.buffers.len() as u32 - 1)
    }

    /// The extents of a value.
    fn shape(&self, value: Value) -> &'a [usize] {
        self.graph.shape(value)
    }

    /// The extents of an operand.
    #[inline(never)]
    fn shape_of(&self, node: &Node, operand: usize) -> &'a [usize] {
        self.shape(node.inputs[operand])
    }

    /// Samples, channels and positions of a value `[samples, channels, ..]`.
    #[inline(never)]
    fn planes(&self, value: Value) -> [usize; 3] {
        match self.shape(value) {
            &[samples, channels, ref positions @ ..] => [samples, channels, positions.iter().product()],
            _ => unreachable!("shape inference lets only channels through"),
        }
    }

    /// Says where a value lies.
    #[inline(never)]
    fn put(&mut self, value: Value, buffer: BufferId) {
        self.places[value.index()] = Some(buffer);
    }

    /// Keeps a buffer for a node's gradient.
    #[inline(never)]
    fn save(&mut self, index: usize, buffer: BufferId) {
        self.saved[index] = Some(buffer);
    }

    fn scratch(&mut self, shape: &[usize]) -> BufferId {
        self.buffer(shape, BufferKind::Activation)
    }

    /// A fresh buffer for a value.
    fn define(&mut self, value: Value) -> BufferId {
        let shape = self.shape(value);
        let kind = if value == self.graph.loss { BufferKind::Scalar } else { BufferKind::Activation };
        let buffer = self.buffer(shape, kind);
        self.put(value, buffer);
        buffer
    }

    /// The buffer of a value; constants are written out.
    fn place(&mut self, value: Value) -> BufferId {
        if let Some(buffer) = self.places[value.index()] {
            return buffer;
        }
        let buffer = self.define(value);
        if let Source::Constant(number) = self.graph.values[value.index()].source {
            self.kernels.push(Kernel::Fill { output: buffer, value: number });
        }
        buffer
    }

    /// The buffer of an operand.
    // Not inlined, like the others of this kind: they stand in nearly every operator's rule.
    #[inline(never)]
    fn input(&mut self, node: &Node, operand: usize) -> BufferId {
        self.place(node.inputs[operand])
    }

    /// The buffer of the third operand, which may be missing.
    #[inline(never)]
    fn bias(&mut self, node: &Node) -> Option<BufferId> {
        node.inputs.get(2).map(|&bias| self.place(bias))
    }

    /// A buffer of an operand's shape.
    #[inline(never)]
    fn like(&mut self, node: &Node, operand: usize) -> BufferId {
        self.scratch(self.shape_of(node, operand))
    }

    fn saved_by(&self, index: usize) -> BufferId {
        self.saved[index].unwrap_or_else(|| unreachable!("forward kernels come before their gradients"))
    }

    fn constant_of(&self, value: Value) -> Option<f32> {
        match self.graph.values[value.index()].source {
            Source::Constant(number) => Some(number),
            _ => None,
        }
    }

    fn elements(&self, buffer: BufferId) -> usize {
        self.buffers[buffer.index()].shape.iter().product()
    }

    fn forward(&mut self, index: usize) -> Result<(), ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        match &node.op {
            Op::MatMul => self.matmul(node),
            Op::Gemm { trans_b } => self.gemm(node, *trans_b),
            Op::Conv(attributes) => self.conv(node, attributes),
            Op::ConvTranspose(attributes) => self.conv_transpose(node, attributes),
            Op::MaxPool(attributes) | Op::AveragePool(attributes) => self.pool(node, attributes),
            Op::GlobalAveragePool => self.global_average_pool(node),
            Op::Attention { heads, causal } => self.attention(index, node, *heads, *causal),
            Op::BatchNormalization { epsilon, momentum } => {
                self.batch_norm(index, node, *epsilon, *momentum);
            }
            Op::LayerNormalization { .. } | Op::RmsNormalization { .. } | Op::GroupNormalization { .. } => {
                self.norm(index, node);
            }
            Op::Softmax | Op::LogSoftmax => self.softmax(node),
            Op::SoftmaxCrossEntropyLoss => self.cross_entropy(index, node),
            Op::Reshape { .. } => {
                let place = self.input(node, 0);
                self.put(node.output, place);
            }
            Op::Dropout { rate } => self.dropout(index, node, *rate),
            Op::Transpose { .. } | Op::Concat { .. } | Op::Slice { .. } | Op::Pad { .. } => {
                self.rearrange(node)
            }
            Op::Gather => self.gather(node),
            Op::ReduceSum { axes, .. } => self.reduce(node, axes, ReduceKind::Sum, false),
            Op::ReduceMean { axes, .. } => self.reduce(node, axes, ReduceKind::Sum, true),
            Op::ReduceMax { axes, .. } => self.reduce(node, axes, ReduceKind::Max, false),
            Op::Gru { hidden } => self.gru(index, node, *hidden),
            Op::Lstm { hidden } => self.lstm(index, node, *hidden),
            _ => self.elementwise(node),
        }
        Ok(())
    }

    fn backward(&mut self) -> Result<(), ModelError> {
        let graph = self.graph;
        if !self.needs[graph.loss.index()] {
            return Ok(());
        }
        for index in (0..graph.nodes.len()).rev() {
            let node = &graph.nodes[index];
            if !self.needs[node.output.index()] {
                continue;
            }
            if matches!(node.op, Op::SoftmaxCrossEntropyLoss) && node.output == graph.loss {
                self.cross_entropy_backward(index, node);
                continue;
            }
            if node.output == graph.loss {
                let one = self.scratch(graph.shape(graph.loss));
                self.kernels.push(Kernel::Fill { output: one, value: 1.0 });
                self.gradients[node.output.index()] = Some(one);
            }
            let Some(gradient) = self.gradients[node.output.index()] else { continue };
            self.node_backward(index, gradient)?;
        }
        Ok(())
    }

    fn node_backward(&mut self, index: usize, gradient: BufferId) -> Result<(), ModelError> {
        let graph = self.graph;
        let node = &graph.nodes[index];
        match &node.op {
            Op::MatMul => self.matmul_backward(node, gradient),
            Op::Gemm { trans_b } => self.gemm_backward(node, *trans_b, gradient),
            Op::Conv(attributes) => self.conv_backward(node, attributes, gradient),
            Op::ConvTranspose(attributes) => self.conv_transpose_backward(node, attributes, gradient),
            Op::MaxPool(attributes) | Op::AveragePool(attributes) => {
                self.pool_backward(node, attributes, gradient);
            }
            Op::GlobalAveragePool => self.global_average_pool_backward(node, gradient),
            Op::Attention { heads, causal } => {
                self.attention_backward(index, node, *heads, *causal, gradient)
            }
            Op::BatchNormalization { .. } => self.batch_norm_backward(index, node, gradient),
            Op::LayerNormalization { .. } | Op::RmsNormalization { .. } | Op::GroupNormalization { .. } => {
                self.norm_backward(index, node, gradient);
            }
            Op::Softmax | Op::LogSoftmax => self.softmax_backward(node, gradient),
            Op::SoftmaxCrossEntropyLoss => {
                return Err(ModelError::Spec("the softmax cross entropy must be the loss itself".into()));
            }
            Op::Reshape { .. } => self.give(node, 0, gradient),
            Op::Dropout { rate } => self.dropout_backward(index, node, *rate, gradient),
            Op::Transpose { .. } | Op::Concat { .. } | Op::Slice { .. } | Op::Pad { .. } => {
                self.rearrange_backward(node, gradient);
            }
            Op::Gather => self.gather_backward(node, gradient),
            Op::ReduceSum { axes, .. } => self.reduce_backward(node, axes, false, gradient),
            Op::ReduceMean { axes, .. } => self.reduce_backward(node, axes, true, gradient),
            Op::ReduceMax { axes, .. } => self.reduce_max_backward(node, axes, gradient),
            Op::Gru { .. } => self.gru_backward(index, node, gradient),
            Op::Lstm { .. } => self.lstm_backward(index, node, gradient),
            _ => self.elementwise_backward(node, gradient),
        }
        Ok(())
    }

    fn wanted(&self, value: Value) -> bool {
        self.needs[value.index()]
    }

    /// Whether the gradient by an operand is wanted.
    #[inline(never)]
    fn wants(&self, node: &Node, operand: usize) -> bool {
        self.wanted(node.inputs[operand])
    }

    /// Adds a contribution to the gradient by an operand.
    #[inline(never)]
    fn give(&mut self, node: &Node, operand: usize, gradient: BufferId) {
        self.add_gradient(node.inputs[operand], gradient);
    }

    /// Adds a contribution to the gradient by a value.
    fn add_gradient(&mut self, value: Value, gradient: BufferId) {
        if !self.wanted(value) {
            return;
        }
        let Some(sum) = self.gradients[value.index()] else {
            self.gradients[value.index()] = Some(gradient);
            return;
        };
        let shape = self.shape(value);
        let total = self.scratch(shape);
        let mut code = elementwise::Code::new(&[self.elements(sum)]);
        let (a, b) = (code.load(sum, vec![1]), code.load(gradient, vec![1]));
        code.binary(crate::program::Binary::Add, a, b);
        self.kernels.push(Kernel::Map(code.into_map(total)));
        self.gradients[value.index()] = Some(total);
    }

    /// Sum over one axis of `[outer, length, inner]`.
    fn sum(
        &mut self,
        input: BufferId,
        outer: usize,
        length: usize,
        inner: usize,
        shape: &[usize],
    ) -> BufferId {
        let output = self.scratch(shape);
        let scale = 1.0;
        let kind = ReduceKind::Sum;
        let reduce = Reduce { kind, outer, length, inner, scale, loss_scaled: false, input, output };
        self.kernels.push(Kernel::Reduce(reduce));
        output
    }

    /// Puts every trained parameter's gradient where the update looks for it.
    fn settle_gradients(&mut self) {
        let graph = self.graph;
        for (index, parameter) in graph.parameters.iter().enumerate() {
            if !parameter.trained {
                continue;
            }
            let Some(gradient) = self.gradients[parameter.value.index()] else {
                let output = self.buffer(&parameter.shape, BufferKind::Gradient);
                self.settled[index] = Some(output);
                self.kernels.push(Kernel::Fill { output, value: 0.0 });
                continue;
            };
            let same =
                |other: &&crate::graph::ParameterInfo| self.gradients[other.value.index()] == Some(gradient);
            let shared = graph.parameters.iter().filter(same).count() > 1
                || self.buffers[gradient.index()].kind != BufferKind::Activation
                || self.kernels.iter().any(|kernel| plan::reads(kernel).contains(&gradient));
            if shared {
                let mut code = elementwise::Code::new(&[self.elements(gradient)]);
                code.load(gradient, vec![1]);
                let output = self.buffer(&parameter.shape, BufferKind::Gradient);
                self.settled[index] = Some(output);
                self.kernels.push(Kernel::Map(code.into_map(output)));
            } else {
                // Kernels write it where it belongs.
                self.buffers[gradient.index()] =
                    Virtual { shape: parameter.shape.clone(), kind: BufferKind::Gradient };
                self.settled[index] = Some(gradient);
            }
        }
    }

    fn update(&mut self, rule: Rule, clip_norm: Option<f32>) {
        // Slots are sized by the plan, which fills in the number of elements.
        if let Some(limit) = clip_norm {
            let norm = self.buffer(&[1], BufferKind::Scalar);
            self.kernels.push(Kernel::ScaleGradients(ScaleGradients { elements: 0, limit, norm }));
        }
        self.kernels.push(Kernel::Optimise(Optimise { rule, elements: 0 }));
    }

    fn push_map(&mut self, map: Map) {
        self.kernels.push(Kernel::Map(map));
    }
}
