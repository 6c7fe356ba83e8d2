//! What a manifest says about the model and its training: `[model]`, `[[model.layers]]` and `[train]`.
//!
//! The types here check what can be checked without knowing shapes (ranges, names); whether the layers fit
//! together is decided by shape inference in the `model` crate, which names the layer and both shapes.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Most layers a model may have, nested ones counted.
pub const MAX_LAYERS: usize = 256;
/// Largest value of any size in a model (units, width, vocabulary, one input dimension).
pub const MAX_EXTENT: usize = 1 << 24;
/// Deepest nesting of residual layers.
pub const MAX_DEPTH: usize = 8;

/// A model: the shape of one sample, the layers it passes through, and the loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSpec {
    /// Shape of one sample without the batch: `[features]`, `[channels, length]`, `[channels, height, width]`
    /// or `[tokens]` before an embedding.
    pub input: Vec<usize>,
    /// What training minimises.
    pub loss: Loss,
    /// Label that counts neither in the loss nor in the accuracy (softmax cross entropy only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignore_label: Option<u32>,
    /// Where the Huber loss turns from square to linear; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub huber_delta: Option<f64>,
    /// Layers in the order in which a sample passes through them.
    pub layers: Vec<LayerSpec>,
}

/// A loss, averaged over everything that counts in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// Cross entropy of softmax over the last axis against class labels.
    SoftmaxCrossEntropy,
    /// Binary cross entropy of the logistic function of the output against targets from 0 to 1.
    BinaryCrossEntropy,
    /// Mean of squared differences.
    MeanSquaredError,
    /// Mean of absolute differences.
    MeanAbsoluteError,
    /// Mean of Huber's function of the differences.
    Huber,
}

/// A function applied to every element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// max(x, 0).
    Relu,
    /// x where positive, 0.01 x elsewhere.
    LeakyRelu,
    /// Hyperbolic tangent.
    Tanh,
    /// Logistic function.
    Sigmoid,
    /// Gaussian error linear unit with the exact error function.
    Gelu,
}

/// One extent per spatial axis, or one for all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Extent {
    /// The same along every spatial axis.
    Every(usize),
    /// One per spatial axis.
    Each(Vec<usize>),
}

/// How a convolution or pool treats its border.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Padding {
    /// A named rule.
    Named(PaddingRule),
    /// So many zeros at both ends of every spatial axis, or per axis.
    Zeros(Extent),
}

/// A named rule for padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PaddingRule {
    /// Output extent = input extent / stride, rounded up; the odd zero goes to the end.
    Same,
    /// No padding.
    Valid,
}

/// How an axis is reduced away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reduction {
    /// Sum over the axis.
    Sum,
    /// Mean over the axis.
    Mean,
    /// Largest along the axis.
    Max,
}

fn yes() -> bool {
    true
}

fn epsilon() -> f64 {
    1e-5
}

fn momentum() -> f64 {
    0.1
}

fn four() -> usize {
    4
}

fn gelu() -> Activation {
    Activation::Gelu
}

fn relu() -> Activation {
    Activation::Relu
}

fn two() -> Extent {
    Extent::Every(2)
}

fn one() -> Extent {
    Extent::Every(1)
}

fn none() -> Padding {
    Padding::Named(PaddingRule::Valid)
}

fn same() -> Padding {
    Padding::Named(PaddingRule::Same)
}

/// One layer; `name` prefixes its parameters (`NAME.weight`) and may be left out where there are none, or for
/// the layer's kind and position (`dense2`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "snake_case", deny_unknown_fields)]
pub enum LayerSpec {
    /// `y = activation(x Wᵀ + b)` over the last axis (PyTorch's `Linear`).
    Dense {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Width of the output.
        units: usize,
        /// Applied to the output.
        #[serde(default)]
        activation: Activation,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Turns whole numbers into learned vectors: `[.., tokens]` to `[.., tokens, width]`.
    Embedding {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// How many different numbers there are.
        vocabulary: usize,
        /// Width of a vector.
        width: usize,
    },
    /// Adds a learned vector per position to `[tokens, width]`.
    PositionEmbedding {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
    },
    /// Convolution of `[channels, length]` or `[channels, height, width]`.
    Conv {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Output channels.
        filters: usize,
        /// Extent of the kernel.
        kernel: Extent,
        /// Distance between outputs.
        #[serde(default = "one")]
        stride: Extent,
        /// Border.
        #[serde(default = "none")]
        padding: Padding,
        /// Distance between a kernel's elements.
        #[serde(default = "one")]
        dilation: Extent,
        /// Groups of channels that do not see each other.
        #[serde(default = "one_group")]
        groups: usize,
        /// Applied to the output.
        #[serde(default)]
        activation: Activation,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Transposed convolution (PyTorch's `ConvTranspose1d` and `2d`).
    ConvTranspose {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Output channels.
        filters: usize,
        /// Extent of the kernel.
        kernel: Extent,
        /// Distance between the outputs of neighbouring inputs.
        #[serde(default = "one")]
        stride: Extent,
        /// Removed from both ends of the output.
        #[serde(default = "no_padding")]
        padding: Extent,
        /// Added to the end of the output.
        #[serde(default = "no_padding")]
        output_padding: Extent,
        /// Distance between a kernel's elements.
        #[serde(default = "one")]
        dilation: Extent,
        /// Groups of channels that do not see each other.
        #[serde(default = "one_group")]
        groups: usize,
        /// Applied to the output.
        #[serde(default)]
        activation: Activation,
        /// Whether there is a bias.
        #[serde(default = "yes")]
        bias: bool,
    },
    /// Largest value of each window.
    MaxPool {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// Extent of the window.
        #[serde(default = "two")]
        kernel: Extent,
        /// Distance between windows; the window's extent unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Extent>,
        /// Border.
        #[serde(default = "none")]
        padding: Padding,
    },
    /// Mean of each window; padding does not count.
    AveragePool {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// Extent of the window.
        #[serde(default = "two")]
        kernel: Extent,
        /// Distance between windows; the window's extent unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stride: Option<Extent>,
        /// Border.
        #[serde(default = "none")]
        padding: Padding,
    },
    /// Mean over all spatial positions: `[channels, ..]` to `[channels]`.
    GlobalAveragePool {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
    },
    /// Normalises every channel over batch and positions (PyTorch's `BatchNorm`).
    BatchNorm {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Added to the variance.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Share of the batch's statistics in the running ones.
        #[serde(default = "momentum")]
        momentum: f64,
    },
    /// Normalises over the last axis.
    LayerNorm {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Added to the variance.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
    /// Divides by the root of the mean square over the last axis.
    RmsNorm {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Added to the mean square.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
    /// Normalises groups of channels over their positions.
    GroupNorm {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Number of groups; divides the channels.
        groups: usize,
        /// Added to the variance.
        #[serde(default = "epsilon")]
        epsilon: f64,
    },
    /// Applies a function to every element.
    Activation {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// The function.
        function: Activation,
    },
    /// Sets elements to zero with probability `rate` while training, and scales the rest by `1 / (1 - rate)`.
    Dropout {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// Probability of zero, from 0 to below 1.
        rate: f64,
    },
    /// Makes one axis of all.
    Flatten {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
    },
    /// Gives the sample another shape of as many elements.
    Reshape {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// The shape, without the batch.
        shape: Vec<usize>,
    },
    /// Reorders the sample's axes (the batch stays first).
    Transpose {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// Axis of the input for every axis of the output, without the batch.
        axes: Vec<usize>,
    },
    /// Reduces one axis of the sample away.
    Reduce {
        /// Names the layer in errors.
        #[serde(default)]
        name: String,
        /// The axis, without the batch.
        axis: usize,
        /// How.
        how: Reduction,
    },
    /// `y = shortcut(x) + layers(x)`.
    Residual {
        /// Prefix of the inner layers' names.
        #[serde(default)]
        name: String,
        /// The branch that is added.
        layers: Vec<LayerSpec>,
        /// What the other branch passes through; nothing unless given.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shortcut: Vec<LayerSpec>,
        /// Applied to the sum.
        #[serde(default)]
        activation: Activation,
    },
    /// Convolution, optional batch normalisation, activation, optional max pool.
    ConvBlock {
        /// Prefix of the parameters' names (`NAME.conv`, `NAME.norm`).
        #[serde(default)]
        name: String,
        /// Output channels.
        filters: usize,
        /// Extent of the kernel.
        kernel: Extent,
        /// Distance between outputs.
        #[serde(default = "one")]
        stride: Extent,
        /// Border.
        #[serde(default = "same")]
        padding: Padding,
        /// Whether batch normalisation stands between convolution and activation.
        #[serde(default)]
        norm: bool,
        /// Applied before the pool.
        #[serde(default = "relu")]
        activation: Activation,
        /// Window of a max pool at the end; none unless given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pool: Option<Extent>,
    },
    /// Two 3-wide convolutions with batch normalisation around a shortcut (the basic block of `ResNet`).
    ResidualBlock {
        /// Prefix of the parameters' names (`conv1`, `bn1`, `conv2`, `bn2`, `downsample.0`, `downsample.1`).
        #[serde(default)]
        name: String,
        /// Output channels.
        filters: usize,
        /// Stride of the first convolution.
        #[serde(default = "one")]
        stride: Extent,
    },
    /// Gated recurrent unit over `[steps, features]` (PyTorch's `GRU`, `batch_first`).
    Gru {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Width of the state.
        units: usize,
        /// Whether all states come out (`[steps, units]`) or the last one (`[units]`).
        #[serde(default)]
        sequence: bool,
    },
    /// Long short-term memory over `[steps, features]` (PyTorch's `LSTM`, `batch_first`).
    Lstm {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Width of the state.
        units: usize,
        /// Whether all states come out (`[steps, units]`) or the last one (`[units]`).
        #[serde(default)]
        sequence: bool,
    },
    /// Multi-head self-attention over `[tokens, width]` (PyTorch's `MultiheadAttention`, `batch_first`).
    Attention {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Number of heads; divides the width.
        heads: usize,
        /// Whether a token sees only itself and earlier ones.
        #[serde(default)]
        causal: bool,
    },
    /// `TransformerEncoderLayer` of PyTorch with `norm_first`.
    TransformerBlock {
        /// Prefix of the parameters' names.
        #[serde(default)]
        name: String,
        /// Number of heads; divides the width.
        heads: usize,
        /// Whether a token sees only itself and earlier ones.
        #[serde(default)]
        causal: bool,
        /// Width of the hidden layer in multiples of the model's.
        #[serde(default = "four")]
        expansion: usize,
        /// Applied in the hidden layer.
        #[serde(default = "gelu")]
        activation: Activation,
        /// Dropout after attention and after the hidden layer.
        #[serde(default)]
        dropout: f64,
    },
}

fn one_group() -> usize {
    1
}

fn no_padding() -> Extent {
    Extent::Every(0)
}

/// How the parameters are changed: `[train]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSpec {
    /// The rule.
    pub optimizer: Optimizer,
    /// Step size before the schedule.
    pub learning_rate: f64,
    /// Samples per step.
    pub batch: usize,
    /// Steps per round.
    pub steps: u32,
    /// How the step size changes over the steps of a round.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps over which the step size rises from 0.
    #[serde(default)]
    pub warmup: u32,
    /// SGD's momentum; 0 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<f64>,
    /// Adam's, AdamW's and Lion's first decay; 0.9 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta1: Option<f64>,
    /// Adam's, AdamW's and Lion's second decay; 0.999 (Lion: 0.99) unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta2: Option<f64>,
    /// Adam's and AdamW's constant against division by zero; 1e-8 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Pull towards zero: in the gradient for SGD and Adam, decoupled for AdamW and Lion; 0 (AdamW: 0.01)
    /// unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Largest norm of the whole gradient; longer ones are scaled down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Largest norm of each single sample's gradient, scaled down before they are averaged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_sample_norm: Option<f64>,
}

/// A rule that changes parameters by their gradients, as PyTorch defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum.
    Sgd,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
    /// Sign of an interpolated momentum.
    Lion,
}

/// How the step size changes over a round's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls to 0 along half a cosine.
    Cosine,
}

/// One thing wrong with a model or training specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecFault {
    /// A layer's field cannot be used as it stands.
    #[error("layer {layer}: {field} {problem}")]
    Layer {
        /// The layer's name.
        layer: String,
        /// The field.
        field: &'static str,
        /// What is wrong with it and what it must be.
        problem: String,
    },
    /// A field of `[model]` or `[train]` cannot be used as it stands.
    #[error("{field} {problem}")]
    Field {
        /// The field with its table, as in `train.batch`.
        field: &'static str,
        /// What is wrong with it and what it must be.
        problem: String,
    },
}

impl ModelSpec {
    /// Checks everything that needs no shapes and returns every fault.
    ///
    /// # Errors
    /// All faults found, each naming the layer and the field.
    pub fn validate(&self) -> Result<(), Vec<SpecFault>> {
        let mut faults = Vec::new();
        check_field(&mut faults, "model.input", shape_problem(&self.input));
        if self.layers.is_empty() {
            check_field(&mut faults, "model.layers", Some("are missing: give at least one layer".into()));
        }
        if self.ignore_label.is_some() && self.loss != Loss::SoftmaxCrossEntropy {
            let problem = "goes with softmax-cross-entropy only".into();
            check_field(&mut faults, "model.ignore_label", Some(problem));
        }
        if let Some(delta) = self.huber_delta {
            let problem = (self.loss != Loss::Huber || !(delta.is_finite() && delta > 0.0))
                .then(|| "goes with the huber loss and must be above 0".into());
            check_field(&mut faults, "model.huber_delta", problem);
        }
        let mut checker = LayerChecker { names: BTreeSet::new(), count: 0, faults };
        checker.layers("", &self.layers, 0);
        if checker.count > MAX_LAYERS {
            let problem = format!("are {}: at most {MAX_LAYERS} are allowed", checker.count);
            check_field(&mut checker.faults, "model.layers", Some(problem));
        }
        if checker.faults.is_empty() { Ok(()) } else { Err(checker.faults) }
    }
}

impl TrainSpec {
    /// Checks ranges and returns every fault.
    ///
    /// # Errors
    /// All faults found, each naming the field.
    pub fn validate(&self) -> Result<(), Vec<SpecFault>> {
        let mut faults = Vec::new();
        let positive =
            |value: f64| (!(value.is_finite() && value > 0.0)).then(|| "must be above 0".to_string());
        let share =
            |value: f64| (!(0.0..1.0).contains(&value)).then(|| "must be from 0 to below 1".to_string());
        let not_negative =
            |value: f64| (!(value.is_finite() && value >= 0.0)).then(|| "must be 0 or more".to_string());
        check_field(&mut faults, "train.learning_rate", positive(self.learning_rate));
        check_field(&mut faults, "train.batch", extent_problem(self.batch));
        check_field(&mut faults, "train.steps", (self.steps == 0).then(|| "must be 1 or more".into()));
        check_field(&mut faults, "train.momentum", self.momentum.and_then(share));
        check_field(&mut faults, "train.beta1", self.beta1.and_then(share));
        check_field(&mut faults, "train.beta2", self.beta2.and_then(share));
        check_field(&mut faults, "train.epsilon", self.epsilon.and_then(positive));
        check_field(&mut faults, "train.weight_decay", self.weight_decay.and_then(not_negative));
        check_field(&mut faults, "train.clip_norm", self.clip_norm.and_then(positive));
        check_field(&mut faults, "train.clip_sample_norm", self.clip_sample_norm.and_then(positive));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

impl LayerSpec {
    /// The name given in the manifest, which may be empty.
    #[must_use]
    pub fn given_name(&self) -> &str {
        match self {
            Self::Dense { name, .. }
            | Self::Embedding { name, .. }
            | Self::PositionEmbedding { name }
            | Self::Conv { name, .. }
            | Self::ConvTranspose { name, .. }
            | Self::MaxPool { name, .. }
            | Self::AveragePool { name, .. }
            | Self::GlobalAveragePool { name }
            | Self::BatchNorm { name, .. }
            | Self::LayerNorm { name, .. }
            | Self::RmsNorm { name, .. }
            | Self::GroupNorm { name, .. }
            | Self::Activation { name, .. }
            | Self::Dropout { name, .. }
            | Self::Flatten { name }
            | Self::Reshape { name, .. }
            | Self::Transpose { name, .. }
            | Self::Reduce { name, .. }
            | Self::Residual { name, .. }
            | Self::ConvBlock { name, .. }
            | Self::ResidualBlock { name, .. }
            | Self::Gru { name, .. }
            | Self::Lstm { name, .. }
            | Self::Attention { name, .. }
            | Self::TransformerBlock { name, .. } => name,
        }
    }

    /// The kind as the manifest spells it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Dense { .. } => "dense",
            Self::Embedding { .. } => "embedding",
            Self::PositionEmbedding { .. } => "position-embedding",
            Self::Conv { .. } => "conv",
            Self::ConvTranspose { .. } => "conv-transpose",
            Self::MaxPool { .. } => "max-pool",
            Self::AveragePool { .. } => "average-pool",
            Self::GlobalAveragePool { .. } => "global-average-pool",
            Self::BatchNorm { .. } => "batch-norm",
            Self::LayerNorm { .. } => "layer-norm",
            Self::RmsNorm { .. } => "rms-norm",
            Self::GroupNorm { .. } => "group-norm",
            Self::Activation { .. } => "activation",
            Self::Dropout { .. } => "dropout",
            Self::Flatten { .. } => "flatten",
            Self::Reshape { .. } => "reshape",
            Self::Transpose { .. } => "transpose",
            Self::Reduce { .. } => "reduce",
            Self::Residual { .. } => "residual",
            Self::ConvBlock { .. } => "conv-block",
            Self::ResidualBlock { .. } => "residual-block",
            Self::Gru { .. } => "gru",
            Self::Lstm { .. } => "lstm",
            Self::Attention { .. } => "attention",
            Self::TransformerBlock { .. } => "transformer-block",
        }
    }

    /// The name under which the layer's parameters and errors go: the given one, or kind and position, behind
    /// the names of the layers around it.
    #[must_use]
    pub fn full_name(&self, prefix: &str, position: usize) -> String {
        let own = match self.given_name() {
            "" => format!("{}{position}", self.kind()),
            given => given.to_string(),
        };
        if prefix.is_empty() { own } else { format!("{prefix}.{own}") }
    }
}

fn check_field(faults: &mut Vec<SpecFault>, field: &'static str, problem: Option<String>) {
    if let Some(problem) = problem {
        faults.push(SpecFault::Field { field, problem });
    }
}

fn extent_problem(extent: usize) -> Option<String> {
    (extent == 0 || extent > MAX_EXTENT).then(|| format!("is {extent}: it must be from 1 to {MAX_EXTENT}"))
}

fn shape_problem(shape: &[usize]) -> Option<String> {
    if shape.is_empty() || shape.len() > 4 {
        return Some(format!("has {} dimensions: give 1 to 4", shape.len()));
    }
    if let Some(problem) = shape.iter().find_map(|&extent| extent_problem(extent)) {
        return Some(problem);
    }
    let elements = shape.iter().try_fold(1usize, |all, &extent| all.checked_mul(extent));
    elements.is_none_or(|all| all > MAX_EXTENT).then(|| format!("has more than {MAX_EXTENT} elements"))
}

fn spatial_problem(extent: &Extent, least: usize) -> Option<String> {
    let each = match extent {
        Extent::Every(every) => core::slice::from_ref(every),
        Extent::Each(each) => each,
    };
    if each.is_empty() || each.len() > 2 {
        return Some("needs one number, or one per spatial axis (at most 2)".into());
    }
    let bad = each.iter().find(|&&number| number < least || number > 4096)?;
    Some(format!("is {bad}: it must be from {least} to 4096"))
}

struct LayerChecker {
    names: BTreeSet<String>,
    count: usize,
    faults: Vec<SpecFault>,
}

impl LayerChecker {
    fn layers(&mut self, prefix: &str, layers: &[LayerSpec], depth: usize) {
        for (position, layer) in layers.iter().enumerate() {
            self.count += 1;
            if self.count > MAX_LAYERS {
                return;
            }
            let name = layer.full_name(prefix, position);
            self.name(&name);
            self.fields(&name, layer);
            let LayerSpec::Residual { layers, shortcut, .. } = layer else { continue };
            if depth >= MAX_DEPTH {
                self.fault(&name, "layers", Some(format!("nest deeper than {MAX_DEPTH}")));
                continue;
            }
            self.layers(&name, layers, depth + 1);
            self.layers(&format!("{name}.shortcut"), shortcut, depth + 1);
        }
    }

    fn name(&mut self, name: &str) {
        let legal = name.len() <= 120 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !legal {
            let problem = "must be letters, digits, '_', '-' and '.', at most 120".to_string();
            self.fault(name, "name", Some(problem));
        }
        if !self.names.insert(name.to_string()) {
            self.fault(name, "name", Some("is used twice: give every layer its own".into()));
        }
    }

    fn fault(&mut self, layer: &str, field: &'static str, problem: Option<String>) {
        if let Some(problem) = problem {
            self.faults.push(SpecFault::Layer { layer: layer.into(), field, problem });
        }
    }

    fn border(&mut self, layer: &str, padding: &Padding) {
        if let Padding::Zeros(extent) = padding {
            self.fault(layer, "padding", spatial_problem(extent, 0));
        }
    }

    fn tiny(&mut self, layer: &str, epsilon: f64) {
        let bad = !(epsilon.is_finite() && epsilon > 0.0 && epsilon < 1.0);
        self.fault(layer, "epsilon", bad.then(|| "must be above 0 and below 1".into()));
    }

    fn rate(&mut self, layer: &str, field: &'static str, rate: f64) {
        let bad = !(0.0..1.0).contains(&rate);
        self.fault(layer, field, bad.then(|| format!("is {rate}: it must be from 0 to below 1")));
    }

    fn fields(&mut self, layer: &str, spec: &LayerSpec) {
        match spec {
            LayerSpec::Dense { units, .. } | LayerSpec::Gru { units, .. } | LayerSpec::Lstm { units, .. } => {
                self.fault(layer, "units", extent_problem(*units));
            }
            LayerSpec::Embedding { vocabulary, width, .. } => {
                self.fault(layer, "vocabulary", extent_problem(*vocabulary));
                self.fault(layer, "width", extent_problem(*width));
            }
            LayerSpec::Conv { filters, kernel, stride, padding, dilation, groups, .. } => {
                self.fault(layer, "filters", extent_problem(*filters));
                self.fault(layer, "kernel", spatial_problem(kernel, 1));
                self.fault(layer, "stride", spatial_problem(stride, 1));
                self.fault(layer, "dilation", spatial_problem(dilation, 1));
                self.fault(layer, "groups", extent_problem(*groups));
                self.border(layer, padding);
            }
            LayerSpec::ConvTranspose {
                filters,
                kernel,
                stride,
                padding,
                output_padding,
                dilation,
                groups,
                ..
            } => {
                self.fault(layer, "filters", extent_problem(*filters));
                self.fault(layer, "kernel", spatial_problem(kernel, 1));
                self.fault(layer, "stride", spatial_problem(stride, 1));
                self.fault(layer, "dilation", spatial_problem(dilation, 1));
                self.fault(layer, "padding", spatial_problem(padding, 0));
                self.fault(layer, "output_padding", spatial_problem(output_padding, 0));
                self.fault(layer, "groups", extent_problem(*groups));
            }
            LayerSpec::MaxPool { kernel, stride, padding, .. }
            | LayerSpec::AveragePool { kernel, stride, padding, .. } => {
                self.fault(layer, "kernel", spatial_problem(kernel, 1));
                self.fault(layer, "stride", stride.as_ref().and_then(|s| spatial_problem(s, 1)));
                self.border(layer, padding);
            }
            LayerSpec::BatchNorm { epsilon, momentum, .. } => {
                self.tiny(layer, *epsilon);
                self.rate(layer, "momentum", *momentum);
            }
            LayerSpec::LayerNorm { epsilon, .. } | LayerSpec::RmsNorm { epsilon, .. } => {
                self.tiny(layer, *epsilon);
            }
            LayerSpec::GroupNorm { groups, epsilon, .. } => {
                self.fault(layer, "groups", extent_problem(*groups));
                self.tiny(layer, *epsilon);
            }
            LayerSpec::Dropout { rate, .. } => self.rate(layer, "rate", *rate),
            LayerSpec::Reshape { shape, .. } => self.fault(layer, "shape", shape_problem(shape)),
            LayerSpec::Transpose { axes, .. } => {
                let mut sorted = axes.clone();
                sorted.sort_unstable();
                let bad = sorted.iter().enumerate().any(|(index, &axis)| index != axis);
                self.fault(layer, "axes", bad.then(|| "must name every axis from 0 once".into()));
            }
            LayerSpec::Residual { layers, .. } => {
                let problem = layers.is_empty().then(|| "are missing: give at least one".into());
                self.fault(layer, "layers", problem);
            }
            LayerSpec::ConvBlock { filters, kernel, stride, padding, pool, .. } => {
                self.fault(layer, "filters", extent_problem(*filters));
                self.fault(layer, "kernel", spatial_problem(kernel, 1));
                self.fault(layer, "stride", spatial_problem(stride, 1));
                self.fault(layer, "pool", pool.as_ref().and_then(|p| spatial_problem(p, 1)));
                self.border(layer, padding);
            }
            LayerSpec::ResidualBlock { filters, stride, .. } => {
                self.fault(layer, "filters", extent_problem(*filters));
                self.fault(layer, "stride", spatial_problem(stride, 1));
            }
            LayerSpec::Attention { heads, .. } => self.fault(layer, "heads", extent_problem(*heads)),
            LayerSpec::TransformerBlock { heads, expansion, dropout, .. } => {
                self.fault(layer, "heads", extent_problem(*heads));
                self.fault(layer, "expansion", extent_problem(*expansion));
                self.rate(layer, "dropout", *dropout);
            }
            LayerSpec::PositionEmbedding { .. }
            | LayerSpec::GlobalAveragePool { .. }
            | LayerSpec::Activation { .. }
            | LayerSpec::Flatten { .. }
            | LayerSpec::Reduce { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ModelSpec, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_dense_model_is_read() {
        let text = "input = [64]\nloss = \"softmax-cross-entropy\"\n[[layers]]\nkind = \"dense\"\nname = \"hidden\"\nunits = 32\nactivation = \"relu\"\n[[layers]]\nkind = \"dense\"\nunits = 10";
        let spec = parse(text).unwrap();
        assert_eq!(spec.layers[0].full_name("", 0), "hidden");
        assert_eq!(spec.layers[1].full_name("", 1), "dense1");
        spec.validate().unwrap();
    }

    #[test]
    fn convolutions_take_one_extent_or_several() {
        let text = "input = [1, 8, 8]\nloss = \"softmax-cross-entropy\"\n[[layers]]\nkind = \"conv\"\nfilters = 4\nkernel = [3, 1]\npadding = \"same\"\n[[layers]]\nkind = \"max-pool\"\nkernel = 2\npadding = 1";
        let spec = parse(text).unwrap();
        spec.validate().unwrap();
        let LayerSpec::Conv { kernel, padding, .. } = &spec.layers[0] else { panic!("not a convolution") };
        assert_eq!(kernel, &Extent::Each(alloc::vec![3, 1]));
        assert_eq!(padding, &Padding::Named(PaddingRule::Same));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let text = "input = [64]\nloss = \"softmax-cross-entropy\"\n[[layers]]\nkind = \"dense\"\nunits = 32\nwidth = 3";
        assert!(parse(text).unwrap_err().to_string().contains("width"));
    }

    #[test]
    fn every_fault_is_named_with_its_layer() {
        let text = "input = [0]\nloss = \"huber\"\n[[layers]]\nkind = \"dense\"\nname = \"a\"\nunits = 0\n[[layers]]\nkind = \"dropout\"\nname = \"a\"\nrate = 1.0";
        let faults: Vec<String> =
            parse(text).unwrap().validate().unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(faults[1].starts_with("layer a: units is 0"));
        assert!(faults[3].starts_with("layer a: rate is 1"));
    }
}
