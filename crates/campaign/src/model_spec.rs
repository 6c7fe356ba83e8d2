//! What a manifest says about the model and its training: `[model]`, `[[model.layers]]` and `[train]`.
//!
//! The types here check what can be checked without knowing shapes (ranges, names); whether the layers fit
//! together is decided by shape inference in the `model` crate, which names the layer and both shapes.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Most layers a model may have, nested ones counted.
pub const MAX_LAYERS: usize = 256;
/// Largest value of any size in a model (units, width, vocabulary, one input dimension).
pub const MAX_EXTENT: usize = 1 << 24;
/// Deepest nesting of residual layers.
pub const MAX_DEPTH: usize = 8;

/// What stands in memory for a label that is ignored and no class's number.
const IGNORED: u32 = u32::MAX;

/// A model: the shape of one sample, the layers it passes through, and the loss.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// Shape of one sample without the batch: `[features]`, `[channels, length]`, `[channels, height, width]`
    /// or `[tokens]` before an embedding.
    pub input: Vec<usize>,
    /// What training minimises.
    pub loss: Loss,
    /// Label that counts neither in the loss nor in the accuracy (softmax cross entropy only), as PyTorch's `ignore_index`;
    /// none unless given, where PyTorch's is -100. 4294967295 stands for all labels below 0.
    pub ignore_label: Option<i64>,
    /// Where the Huber loss turns from square to linear; 1 unless given.
    pub huber_delta: Option<f64>,
    /// Layers in the order in which a sample passes through them; shared, as whoever evaluates keeps the model.
    pub layers: Arc<[LayerSpec]>,
}

impl ModelSpec {
    /// The ignored label as the engines take it.
    #[must_use]
    pub fn ignored(&self) -> Option<u32> {
        self.ignore_label.map(|label| u32::try_from(label).unwrap_or(IGNORED))
    }

    /// A data file's label as the engines take it; `None` for one that is neither ignored nor a class's number.
    #[must_use]
    pub fn label(&self, label: i64) -> Option<u32> {
        let is_below = self.ignore_label == Some(IGNORED.into()) && label < 0;
        if is_below || self.ignore_label == Some(label) {
            return self.ignored();
        }
        u32::try_from(label).ok().filter(|&class| class != IGNORED)
    }
}

/// A loss, averaged over everything that counts in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The same along every spatial axis.
    Every(usize),
    /// One per spatial axis.
    Each(Vec<usize>),
}

/// How a convolution or pool treats its border.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Padding {
    /// A named rule.
    Named(PaddingRule),
    /// So many zeros at both ends of every spatial axis, or per axis.
    Zeros(Extent),
}

/// A named rule for padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaddingRule {
    /// Output extent = input extent / stride, rounded up; the odd zero goes to the end.
    Same,
    /// No padding.
    Valid,
}

/// How an axis is reduced away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Sum over the axis.
    Sum,
    /// Mean over the axis.
    Mean,
    /// Largest along the axis.
    Max,
}

/// One layer; `name` prefixes its parameters (`NAME.weight`) and may be left out where there are none, or for
/// the layer's kind and position (`dense2`).
///
/// What else may be left out: `activation` (none; `relu` in a convolution block, `gelu` in a transformer block), `bias`
/// (there is one), `stride`, `dilation` and a convolution's `groups` (1), a pool's `kernel` (2) and `stride` (the kernel),
/// `padding` (`valid`; `same` in a convolution block), `epsilon` (1e-5), `momentum` (0.1), `expansion` (4), `dropout` (0),
/// and `norm`, `pool`, `shortcut`, `sequence` and `causal` (not).
#[derive(Clone, Debug, PartialEq)]
pub enum LayerSpec {
    /// `y = activation(x Wᵀ + b)` over the last axis (PyTorch's `Linear`).
    Dense {
        /// Prefix of the parameters' names.
        name: String,
        /// Width of the output.
        units: usize,
        /// Applied to the output.
        activation: Activation,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Turns whole numbers into learned vectors: `[.., tokens]` to `[.., tokens, width]`.
    Embedding {
        /// Prefix of the parameters' names.
        name: String,
        /// How many different numbers there are.
        vocabulary: usize,
        /// Width of a vector.
        width: usize,
    },
    /// Adds a learned vector per position to `[tokens, width]`.
    PositionEmbedding {
        /// Prefix of the parameters' names.
        name: String,
    },
    /// Convolution of `[channels, length]` or `[channels, height, width]`.
    Conv {
        /// Prefix of the parameters' names.
        name: String,
        /// Output channels.
        filters: usize,
        /// Extent of the kernel.
        kernel: Extent,
        /// Distance between outputs.
        stride: Extent,
        /// Border.
        padding: Padding,
        /// Distance between a kernel's elements.
        dilation: Extent,
        /// Groups of channels that do not see each other.
        groups: usize,
        /// Applied to the output.
        activation: Activation,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Transposed convolution (PyTorch's `ConvTranspose1d` and `2d`).
    ConvTranspose {
        /// Prefix of the parameters' names.
        name: String,
        /// Output channels.
        filters: usize,
        /// Extent of the kernel.
        kernel: Extent,
        /// Distance between the outputs of neighbouring inputs.
        stride: Extent,
        /// Removed from both ends of the output.
        padding: Extent,
        /// Added to the end of the output.
        output_padding: Extent,
        /// Distance between a kernel's elements.
        dilation: Extent,
        /// Groups of channels that do not see each other.
        groups: usize,
        /// Applied to the output.
        activation: Activation,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Largest value of each window.
    MaxPool {
        /// Names the layer in errors.
        name: String,
        /// Extent of the window.
        kernel: Extent,
        /// Distance between windows; the window's extent unless given.
        stride: Option<Extent>,
        /// Border.
        padding: Padding,
    },
    /// Mean of each window; padding does not count.
    AveragePool {
        /// Names the layer in errors.
        name: String,
        /// Extent of the window.
        kernel: Extent,
        /// Distance between windows; the window's extent unless given.
        stride: Option<Extent>,
        /// Border.
        padding: Padding,
    },
    /// Mean over all spatial positions: `[channels, ..]` to `[channels]`.
    GlobalAveragePool {
        /// Names the layer in errors.
        name: String,
    },
    /// Normalises every channel over batch and positions (PyTorch's `BatchNorm`).
    BatchNorm {
        /// Prefix of the parameters' names.
        name: String,
        /// Added to the variance.
        epsilon: f64,
        /// Share of the batch's statistics in the running ones.
        momentum: f64,
    },
    /// Normalises over the last axis.
    LayerNorm {
        /// Prefix of the parameters' names.
        name: String,
        /// Added to the variance.
        epsilon: f64,
    },
    /// Divides by the root of the mean square over the last axis.
    RmsNorm {
        /// Prefix of the parameters' names.
        name: String,
        /// Added to the mean square.
        epsilon: f64,
    },
    /// Normalises groups of channels over their positions.
    GroupNorm {
        /// Prefix of the parameters' names.
        name: String,
        /// Number of groups; divides the channels.
        groups: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// Applies a function to every element.
    Activation {
        /// Names the layer in errors.
        name: String,
        /// The function.
        function: Activation,
    },
    /// Sets elements to zero with probability `rate` while training, and scales the rest by `1 / (1 - rate)`.
    Dropout {
        /// Names the layer in errors.
        name: String,
        /// Probability of zero, from 0 to below 1.
        rate: f64,
    },
    /// Makes one axis of all.
    Flatten {
        /// Names the layer in errors.
        name: String,
    },
    /// Gives the sample another shape of as many elements.
    Reshape {
        /// Names the layer in errors.
        name: String,
        /// The shape, without the batch.
        shape: Vec<usize>,
    },
    /// Reorders the sample's axes (the batch stays first).
    Transpose {
        /// Names the layer in errors.
        name: String,
        /// Axis of the input for every axis of the output, without the batch.
        axes: Vec<usize>,
    },
    /// Reduces one axis of the sample away.
    Reduce {
        /// Names the layer in errors.
        name: String,
        /// The axis, without the batch.
        axis: usize,
        /// How.
        how: Reduction,
    },
    /// `y = shortcut(x) + layers(x)`.
    Residual {
        /// Prefix of the inner layers' names.
        name: String,
        /// The branch that is added.
        layers: Vec<LayerSpec>,
        /// What the other branch passes through; nothing unless given.
        shortcut: Vec<LayerSpec>,
        /// Applied to the sum.
        activation: Activation,
    },
    /// Convolution, optional batch normalisation, activation, optional max pool.
    ConvBlock {
        /// Prefix of the parameters' names (`NAME.conv`, `NAME.norm`).
        name: String,
        /// Output channels.
        filters: usize,
        /// Extent of the kernel.
        kernel: Extent,
        /// Distance between outputs.
        stride: Extent,
        /// Border.
        padding: Padding,
        /// Whether batch normalisation stands between convolution and activation.
        norm: bool,
        /// Applied before the pool.
        activation: Activation,
        /// Window of a max pool at the end; none unless given.
        pool: Option<Extent>,
    },
    /// Two 3-wide convolutions with batch normalisation around a shortcut (the basic block of `ResNet`).
    ResidualBlock {
        /// Prefix of the parameters' names (`conv1`, `bn1`, `conv2`, `bn2`, `downsample.0`, `downsample.1`).
        name: String,
        /// Output channels.
        filters: usize,
        /// Stride of the first convolution.
        stride: Extent,
    },
    /// Gated recurrent unit over `[steps, features]` (PyTorch's `GRU`, `batch_first`).
    Gru {
        /// Prefix of the parameters' names.
        name: String,
        /// Width of the state.
        units: usize,
        /// Whether all states come out (`[steps, units]`) or the last one (`[units]`).
        sequence: bool,
    },
    /// Long short-term memory over `[steps, features]` (PyTorch's `LSTM`, `batch_first`).
    Lstm {
        /// Prefix of the parameters' names.
        name: String,
        /// Width of the state.
        units: usize,
        /// Whether all states come out (`[steps, units]`) or the last one (`[units]`).
        sequence: bool,
    },
    /// Multi-head self-attention over `[tokens, width]` (PyTorch's `MultiheadAttention`, `batch_first`).
    Attention {
        /// Prefix of the parameters' names.
        name: String,
        /// Number of heads; divides the width.
        heads: usize,
        /// Whether a token sees only itself and earlier ones.
        causal: bool,
    },
    /// `TransformerEncoderLayer` of PyTorch with `norm_first`.
    TransformerBlock {
        /// Prefix of the parameters' names.
        name: String,
        /// Number of heads; divides the width.
        heads: usize,
        /// Whether a token sees only itself and earlier ones.
        causal: bool,
        /// Width of the hidden layer in multiples of the model's.
        expansion: usize,
        /// Applied in the hidden layer.
        activation: Activation,
        /// Dropout after attention and after the hidden layer.
        dropout: f64,
    },
}

/// How the parameters are changed: `[train]`. Fields that the rule does not have are refused.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSpec {
    /// The rule.
    pub optimizer: Optimizer,
    /// Step size before the schedule.
    pub learning_rate: f64,
    /// Samples per step.
    pub batch: usize,
    /// Steps per round; with a budget, the most.
    pub steps: u32,
    /// How long a training may take; none where each takes all steps.
    pub budget: Option<Budget>,
    /// How the step size changes over the steps of a round.
    pub schedule: Schedule,
    /// Steps over which the step size rises from 0: in step s, from 0, it is `learning_rate (s + 1) / (warmup + 1)`.
    pub warmup: u32,
    /// SGD's momentum; 0 unless given.
    pub momentum: Option<f64>,
    /// Adam's, AdamW's and Lion's first decay; 0.9 unless given.
    pub beta1: Option<f64>,
    /// Adam's, AdamW's and Lion's second decay; 0.999 (Lion: 0.99) unless given.
    pub beta2: Option<f64>,
    /// Adam's and AdamW's constant against division by zero; 1e-8 unless given.
    pub epsilon: Option<f64>,
    /// Pull towards zero: in the gradient for SGD and Adam, decoupled for AdamW and Lion; 0 (AdamW: 0.01)
    /// unless given.
    pub weight_decay: Option<f64>,
    /// Largest norm of the whole gradient; longer ones are scaled down, as `clip_grad_norm_` does.
    pub clip_norm: Option<f64>,
    /// Largest norm of each single sample's gradient, scaled down before they are averaged; on the CPU only, and without
    /// batch normalisation. The loss is then the mean of the samples' own.
    pub clip_sample_norm: Option<f64>,
    /// Pull towards the model that the round began with (`FedProx`; Li et al., 2020): adds `proximal (θ - θ₀)` to the gradient
    /// before it is clipped as a whole; on the CPU's one thread only.
    pub proximal: Option<f64>,
}

/// Time for a training, in which each device takes as many steps as it comes to (`seconds` and `least_steps` in `[train]`).
///
/// The log says how many a contribution took, and updates count by that (`learn::LocalWork`); the weights are those of the shards,
/// which are as large for everybody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// Seconds in which steps are begun.
    pub seconds: f64,
    /// Fewest steps, however long they take.
    pub least: u32,
}

/// A rule that changes parameters by their gradients, as PyTorch defines it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum, neither damped nor Nesterov's.
    Sgd,
    /// Adam.
    Adam,
    /// Adam with decoupled weight decay.
    Adamw,
    /// Sign of an interpolated momentum (Chen et al. 2023): `θ -= rate (sign(beta1 m + (1 - beta1) g) + weight_decay θ)`, then
    /// `m = beta2 m + (1 - beta2) g`.
    Lion,
}

/// How the step size changes over a round's steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Schedule {
    /// Stays.
    #[default]
    Constant,
    /// Falls to 0 along half a cosine: in step s after the warm-up of w steps, of n steps in all, it is
    /// `learning_rate (1 + cos(π (s - w) / (n - w))) / 2`.
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

mod plain;
mod read;
mod validate;

pub(crate) use read::{read_model, read_train};

#[cfg(test)]
mod tests;
