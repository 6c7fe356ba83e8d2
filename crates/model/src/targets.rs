//! What a model's output is compared with.

use alloc::vec::Vec;
use lichen_campaign::model_spec::ModelSpec;

use crate::{ModelError, layers};

/// How many labels or numbers a model is told for each sample.
///
/// # Errors
/// As [`layers::build`].
pub fn answers_per_sample(spec: &ModelSpec) -> Result<usize, ModelError> {
    let graph = layers::build(spec, 1)?;
    Ok(graph.shape(graph.target).iter().product())
}

/// What the model's output is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a> {
    /// Class labels, for softmax cross entropy.
    Labels(&'a [u32]),
    /// Numbers of the output's shape, for all other losses.
    Values(&'a [f32]),
}

/// Targets of many samples, in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Answers {
    /// Class labels.
    Labels(Vec<u32>),
    /// Numbers.
    Values(Vec<f32>),
}

impl Answers {
    /// The answers to the chosen ones of `samples` samples, one behind the other; out-of-range indices are skipped.
    #[must_use]
    pub fn pick(&self, samples: usize, chosen: impl Iterator<Item = usize>) -> Self {
        match self {
            Self::Labels(labels) => Self::Labels(pick(labels, samples, chosen)),
            Self::Values(values) => Self::Values(pick(values, samples, chosen)),
        }
    }
}

/// Equal parts of `data`, one for each of `samples`: the chosen ones behind each other.
pub fn pick<T: Copy>(data: &[T], samples: usize, chosen: impl Iterator<Item = usize>) -> Vec<T> {
    let width = data.len() / samples.max(1);
    let part = |sample: usize| {
        let start = sample.checked_mul(width)?;
        data.get(start..start.checked_add(width)?)
    };
    chosen.filter_map(part).flatten().copied().collect()
}

impl<'a> From<&'a Answers> for Targets<'a> {
    fn from(answers: &'a Answers) -> Self {
        match answers {
            Answers::Labels(labels) => Self::Labels(labels),
            Answers::Values(values) => Self::Values(values),
        }
    }
}

impl<'a> From<&'a [u32]> for Targets<'a> {
    fn from(labels: &'a [u32]) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> From<&'a Vec<u32>> for Targets<'a> {
    fn from(labels: &'a Vec<u32>) -> Self {
        Self::Labels(labels)
    }
}

impl<'a> From<&'a [f32]> for Targets<'a> {
    fn from(values: &'a [f32]) -> Self {
        Self::Values(values)
    }
}

impl<'a> From<&'a Vec<f32>> for Targets<'a> {
    fn from(values: &'a Vec<f32>) -> Self {
        Self::Values(values)
    }
}

impl<'a> Targets<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(self) -> usize {
        match self {
            Self::Labels(labels) => labels.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// A part of them, if it is inside.
    #[must_use]
    pub fn part(self, range: core::ops::Range<usize>) -> Option<Self> {
        Some(match self {
            Self::Labels(labels) => Self::Labels(labels.get(range)?),
            Self::Values(values) => Self::Values(values.get(range)?),
        })
    }
}
