//! The typed graph: values with static shapes, made by operators ([`crate::op`]).

use crate::op::Op;
use crate::{ModelError, shapes};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Most elements of any one value.
pub const MAX_ELEMENTS: usize = 1 << 28;

/// A value of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value(pub(crate) u32);

impl Value {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f32),
    /// Uniform from −bound to bound.
    Uniform {
        /// The bound's square.
        bound_squared: f64,
    },
    /// About normal (sum of twelve uniforms) with this standard deviation.
    Normal {
        /// The deviation.
        deviation: f32,
    },
}

/// A parameter of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct ParameterInfo {
    /// Its name, `LAYER.weight` and the like.
    pub name: String,
    /// Its extents.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
    /// Whether training changes it by its gradient.
    pub trained: bool,
    /// The value.
    pub value: Value,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Source {
    Input,
    Target,
    Parameter,
    Constant(f32),
    Node(usize),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ValueInfo {
    pub(crate) shape: Vec<usize>,
    pub(crate) source: Source,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) op: Op,
    pub(crate) inputs: Vec<Value>,
    pub(crate) output: Value,
}

/// A graph under construction or finished; every value's shape is known and checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    pub(crate) values: Vec<ValueInfo>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) parameters: Vec<ParameterInfo>,
    pub(crate) input: Value,
    pub(crate) target: Value,
    pub(crate) output: Value,
    pub(crate) loss: Value,
    pub(crate) batch: usize,
    pub(crate) vocabulary: usize,
    pub(crate) classes: usize,
    pub(crate) ignore_label: Option<u32>,
    pub(crate) layer: String,
    limit: usize,
    total: usize,
}

impl Graph {
    /// A graph with an input and a target of these shapes (the batch first).
    #[must_use]
    pub fn new(input: &[usize], target: &[usize]) -> Self {
        let values = vec![
            ValueInfo { shape: input.to_vec(), source: Source::Input },
            ValueInfo { shape: target.to_vec(), source: Source::Target },
        ];
        Self {
            values,
            nodes: Vec::new(),
            parameters: Vec::new(),
            input: Value(0),
            target: Value(1),
            output: Value(0),
            loss: Value(0),
            batch: input.first().copied().unwrap_or(1),
            vocabulary: 0,
            classes: 0,
            ignore_label: None,
            layer: String::new(),
            limit: MAX_ELEMENTS,
            total: 0,
        }
    }

    /// The batch's inputs.
    #[must_use]
    pub fn input(&self) -> Value {
        self.input
    }

    /// The batch's targets.
    #[must_use]
    pub fn target(&self) -> Value {
        self.target
    }

    /// Extents of a value, the batch first.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "values are made only by the graph that holds them")]
    pub fn shape(&self, value: Value) -> &[usize] {
        &self.values[value.index()].shape
    }

    /// The parameters in the order in which they were made.
    #[must_use]
    pub fn parameters(&self) -> &[ParameterInfo] {
        &self.parameters
    }

    /// Whether a value holds the input's numbers as they are, perhaps in another order or shape.
    #[expect(
        clippy::indexing_slicing,
        reason = "values and nodes are made only by the graph that holds them"
    )]
    pub(crate) fn is_rearranged_input(&self, value: Value) -> bool {
        match self.values[value.index()].source {
            Source::Input => true,
            Source::Node(node) => {
                let Node { op, inputs, .. } = &self.nodes[node];
                matches!(op, Op::Reshape { .. } | Op::Transpose { .. }) && self.is_rearranged_input(inputs[0])
            }
            _ => false,
        }
    }

    /// Names the layer for the errors of what is built next.
    pub fn enter_layer(&mut self, name: &str) {
        self.layer.clear();
        self.layer.push_str(name);
    }

    /// Declares which values are the model's output and its loss.
    pub fn finish(&mut self, output: Value, loss: Value) {
        self.output = output;
        self.loss = loss;
    }

    /// A number, broadcast wherever it is used.
    pub fn constant(&mut self, value: f32) -> Value {
        self.push(Vec::new(), Source::Constant(value))
    }

    /// A new parameter.
    ///
    /// # Errors
    /// [`ModelError::DuplicateName`] and [`ModelError::TooLarge`].
    pub fn parameter(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
        trained: bool,
    ) -> Result<Value, ModelError> {
        self.add_parameter(name, shape, init, trained).map_err(|error| *error)
    }

    /// [`Graph::parameter`] with an error that is cheap to hand on.
    pub(crate) fn add_parameter(
        &mut self,
        name: String,
        shape: &[usize],
        init: Init,
        trained: bool,
    ) -> Result<Value, Box<ModelError>> {
        if self.parameters.iter().any(|parameter| parameter.name == name) {
            return Err(Box::new(ModelError::DuplicateName { name }));
        }
        self.account(shape)?;
        let value = self.push(shape.to_vec(), Source::Parameter);
        self.parameters.push(ParameterInfo { name, shape: shape.to_vec(), init, trained, value });
        Ok(value)
    }

    /// Applies an operator.
    ///
    /// # Errors
    /// [`ModelError::Shape`] if the inputs do not fit, [`ModelError::TooLarge`] if the output is too large.
    pub fn apply(&mut self, op: Op, inputs: &[Value]) -> Result<Value, ModelError> {
        self.add(op, inputs).map_err(|error| *error)
    }

    /// [`Graph::apply`] with an error that is cheap to hand on.
    pub(crate) fn add(&mut self, op: Op, inputs: &[Value]) -> Result<Value, Box<ModelError>> {
        let shapes: Vec<&[usize]> = inputs.iter().map(|&input| self.shape(input)).collect();
        let shape = match shapes::infer(&op, &shapes) {
            Ok(shape) => shape,
            Err(expected) => {
                let found = shapes.first().and_then(|shape| shape.get(1..)).unwrap_or_default().to_vec();
                return Err(Box::new(ModelError::Shape { layer: self.layer.clone(), expected, found }));
            }
        };
        self.account(&shape)?;
        if let (Op::Attention { heads, .. }, &[batch, tokens, _]) = (&op, shape.as_slice()) {
            self.account(&[batch, *heads, tokens, tokens])?;
        }
        let output = self.push(shape, Source::Node(self.nodes.len()));
        self.nodes.push(Node { op, inputs: inputs.to_vec(), output });
        Ok(output)
    }

    pub(crate) fn set_target(&mut self, shape: Vec<usize>) {
        let target = self.target.index();
        if let Some(info) = self.values.get_mut(target) {
            info.shape = shape;
        }
    }

    fn account(&mut self, shape: &[usize]) -> Result<(), Box<ModelError>> {
        let elements = shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
        let total = elements.and_then(|elements| self.total.checked_add(elements));
        let fits = total.filter(|&total| total <= self.limit);
        let too_large = || Box::new(ModelError::TooLarge { layer: self.layer.clone(), limit: self.limit });
        self.total = fits.ok_or_else(too_large)?;
        Ok(())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "layers and their operators are capped far below 2^32"
    )]
    fn push(&mut self, shape: Vec<usize>, source: Source) -> Value {
        self.values.push(ValueInfo { shape, source });
        Value(self.values.len() as u32 - 1)
    }
}
