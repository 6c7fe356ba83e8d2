//! Normalisation.

use crate::program::BufferId;

/// Where scale and bias of element j of row r are: index `(r mod groups) · (width / inner) + j / inner`.
/// Layer and RMS normalisation: `groups = 1, inner = 1`; group normalisation with G groups:
/// rows = samples · G, width = channels / G · positions, `groups = G, inner = positions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormShape {
    /// Rows, each normalised for itself.
    pub rows: usize,
    /// Elements of a row.
    pub width: usize,
    /// Rows with different scales.
    pub groups: usize,
    /// Neighbouring elements with the same scale.
    pub inner: usize,
}

/// `output = (x − mean) / sqrt(variance + epsilon) · scale + bias` per row; for `rms` the mean is taken as 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Rows and where their scales are.
    pub shape: NormShape,
    /// Root mean square.
    pub rms: bool,
    /// Added to the variance.
    pub epsilon: f32,
    /// `[rows, width]`.
    pub input: BufferId,
    /// `[groups · width / inner]`.
    pub scale: Option<BufferId>,
    /// `[groups · width / inner]`.
    pub bias: Option<BufferId>,
    /// `[rows, width]`: written.
    pub output: BufferId,
    /// `[rows, 2]`: mean and 1 / sqrt(variance + epsilon) of every row: written.
    pub moments: BufferId,
}

/// Gradient of [`Normalize`] by its input.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeBackward {
    /// As in [`Normalize`].
    pub shape: NormShape,
    /// Root mean square.
    pub rms: bool,
    /// Forward's input.
    pub input: BufferId,
    /// Forward's scale.
    pub scale: Option<BufferId>,
    /// Forward's moments.
    pub moments: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the input: written.
    pub result: BufferId,
}

/// Gradient of [`Normalize`] by scale and bias: sums of `g (x − mean) / deviation` and of g.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeParameters {
    /// As in [`Normalize`], whose scale and bias these are.
    pub shape: NormShape,
    /// Forward's input.
    pub input: BufferId,
    /// Forward's moments (mean is 0 for root mean square).
    pub moments: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the scale: written.
    pub scale: BufferId,
    /// Gradient by the bias: written, if there is one.
    pub bias: Option<BufferId>,
}

/// Batch normalisation of `[outer, channels, inner]` per channel. In training the batch's moments are used and
/// the running ones updated in place: `running = (1 − momentum) running + momentum batch`, the variance with
/// Bessel's correction; otherwise the running ones are used.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalize {
    /// Samples.
    pub outer: usize,
    /// Channels.
    pub channels: usize,
    /// Positions.
    pub inner: usize,
    /// Whether the batch's moments are used.
    pub training: bool,
    /// Share of the batch in the running moments.
    pub momentum: f32,
    /// Added to the variance.
    pub epsilon: f32,
    /// `[outer, channels, inner]`.
    pub input: BufferId,
    /// `[channels]`.
    pub scale: BufferId,
    /// `[channels]`.
    pub bias: BufferId,
    /// `[channels]`, updated in training.
    pub running_mean: BufferId,
    /// `[channels]`, updated in training.
    pub running_variance: BufferId,
    /// `[outer, channels, inner]`: written.
    pub output: BufferId,
    /// `[channels, 2]`: mean and 1 / sqrt(variance + epsilon) used: written.
    pub moments: BufferId,
}

/// Gradient of [`BatchNormalize`] in training.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNormalizeBackward {
    /// Samples.
    pub outer: usize,
    /// Channels.
    pub channels: usize,
    /// Positions.
    pub inner: usize,
    /// Forward's input.
    pub input: BufferId,
    /// Forward's scale.
    pub scale: BufferId,
    /// Forward's moments.
    pub moments: BufferId,
    /// Gradient by the output.
    pub gradient: BufferId,
    /// Gradient by the input: written, if wanted.
    pub result: Option<BufferId>,
    /// Gradient by the scale: written.
    pub scale_gradient: BufferId,
    /// Gradient by the bias: written.
    pub bias_gradient: BufferId,
}
