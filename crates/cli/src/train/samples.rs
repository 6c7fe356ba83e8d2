//! Reads the samples to train on, and says what about them does not fit the model.

use std::path::Path;

use anyhow::{Context, bail};
use lichen_campaign::Training;
use lichen_campaign::model_spec::{Loss, ModelSpec};
use lichen_model::Answers;
use lichen_model::graph::Graph;

use super::read;
use super::tensors::Tensors;

/// Samples in memory.
pub(super) struct Samples {
    pub(super) x: Vec<f32>,
    pub(super) y: Answers,
    pub(super) count: usize,
}

pub(super) fn read_samples(path: &Path, training: &Training, graph: &Graph) -> anyhow::Result<Samples> {
    let bytes = read(path)?;
    let in_file = || format!("in {}", path.display());
    let mut tensors = Tensors::read(&bytes).with_context(in_file)?;
    let samples = samples_of(&mut tensors, training, graph).with_context(in_file)?;
    tensors.report(path);
    Ok(samples)
}

fn samples_of(tensors: &mut Tensors<'_>, training: &Training, graph: &Graph) -> anyhow::Result<Samples> {
    let inputs = tensors.shape("x")?;
    let Some((&count, each)) = inputs.split_first().filter(|(count, _)| **count > 0) else {
        bail!(
            "x has shape {inputs:?}: its first axis must count samples, of which there must be one or more"
        );
    };
    if !is_same(each, &training.model.input) {
        bail!(
            "x has shape {inputs:?}, {count} samples of {each:?}, but the model takes samples of {:?}",
            training.model.input
        );
    }
    let wanted = graph.shape(graph.target()).get(1..).unwrap_or_default();
    let is_labelled = training.model.loss == Loss::SoftmaxCrossEntropy;
    let answers = tensors.shape("y")?;
    if answers.first() != Some(&count) || !is_same(answers.get(1..).unwrap_or_default(), wanted) {
        let what = match (is_labelled, wanted) {
            (true, []) => "one label, the number of its class".into(),
            (true, _) => format!("labels of {wanted:?}"),
            (false, _) => format!("numbers of {wanted:?}"),
        };
        bail!("y has shape {answers:?}, but x has {count} samples, for each of which the model takes {what}");
    }
    let scale = training.scale.unwrap_or(1.0);
    let x = tensors.numbers("x")?.iter().map(|value| value * scale).collect();
    let y = if is_labelled {
        Answers::Labels(labels(tensors, &training.model)?)
    } else {
        Answers::Values(values(tensors, training.model.loss, count)?)
    };
    Ok(Samples { x, y, count })
}

/// Whether elements of the one shape are those of the other in the same order, for whoever gives a shape on purpose: but for
/// extents of 1 they are equal, or one of them is a plain row.
fn is_same(found: &[usize], wanted: &[usize]) -> bool {
    let [found, wanted] =
        [found, wanted].map(|shape| shape.iter().copied().filter(|&extent| extent != 1).collect::<Vec<_>>());
    let is_row = found.len() < 2 || wanted.len() < 2;
    found == wanted || (is_row && found.iter().product::<usize>() == wanted.iter().product::<usize>())
}

fn values(tensors: &mut Tensors<'_>, loss: Loss, samples: usize) -> anyhow::Result<Vec<f32>> {
    let values = tensors.numbers("y")?;
    let is_beyond = |value: &f32| loss == Loss::BinaryCrossEntropy && (*value < 0.0 || *value > 1.0);
    if let Some((index, value)) = values.iter().enumerate().find(|(_, value)| is_beyond(value)) {
        let sample = index / (values.len() / samples).max(1);
        bail!("y has {value} in sample {sample}, but binary-cross-entropy takes numbers from 0 to 1");
    }
    Ok(values)
}

fn labels(tensors: &Tensors<'_>, model: &ModelSpec) -> anyhow::Result<Vec<u32>> {
    let label = |label| {
        model.label(label).with_context(|| {
            format!(
                "y has the label {label}: if such labels are to be left out, write ignore_label = {label} in [model]"
            )
        })
    };
    tensors.whole_numbers("y", "softmax-cross-entropy")?.into_iter().map(label).collect()
}
