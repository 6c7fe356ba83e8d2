//! What a step is fed: checked at the door, so that kernels need not.

use crate::EngineError;
use lichen_model::Targets;
use lichen_model::program::Program;

/// Checks a batch of `program` and writes the targets as kernels read them; returns how many things the loss
/// averages over.
///
/// # Errors
/// [`EngineError::Length`], [`EngineError::NotFinite`], [`EngineError::OutOfRange`],
/// [`EngineError::TargetKind`].
pub(crate) fn check(
    program: &Program,
    x: &[f32],
    targets: Targets<'_>,
    written: &mut Vec<f32>,
) -> Result<usize, EngineError> {
    check_input(program, x)?;
    let expected = program.buffer(program.target).elements();
    written.clear();
    match (targets, program.classes) {
        (Targets::Labels(labels), classes) if classes > 0 => {
            check_length("labels", expected, labels.len())?;
            write_labels(program, labels, written)
        }
        (Targets::Values(values), 0) => {
            check_length("targets", expected, values.len())?;
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return Err(EngineError::NotFinite { what: "targets", index });
            }
            written.extend_from_slice(values);
            Ok(values.len())
        }
        (Targets::Labels(_), _) => Err(EngineError::TargetKind("numbers of the output's shape")),
        (Targets::Values(_), _) => Err(EngineError::TargetKind("class labels")),
    }
}

fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), EngineError> {
    if expected == found { Ok(()) } else { Err(EngineError::Length { what, expected, found }) }
}

/// Checks the input alone.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_input(program: &Program, x: &[f32]) -> Result<(), EngineError> {
    check_length("input", program.buffer(program.input).elements(), x.len())?;
    if let Some(index) = x.iter().position(|value| !value.is_finite()) {
        return Err(EngineError::NotFinite { what: "input", index });
    }
    let limit = program.vocabulary;
    if limit == 0 {
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "vocabularies are capped at 2^24")]
    let bad = x.iter().position(|&token| token < 0.0 || token >= limit as f32 || token.trunc() != token);
    match bad.and_then(|index| x.get(index).map(|&found| (index, found))) {
        None => Ok(()),
        Some((index, found)) => {
            Err(EngineError::OutOfRange { what: "input", index, found: f64::from(found), limit })
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "labels are below the number of classes, hence below 2^24")]
fn write_labels(program: &Program, labels: &[u32], written: &mut Vec<f32>) -> Result<usize, EngineError> {
    let mut counted = 0;
    for (index, &label) in labels.iter().enumerate() {
        if program.ignore_label == Some(label) {
            written.push(-1.0);
            continue;
        }
        if label as usize >= program.classes {
            let (found, limit) = (f64::from(label), program.classes);
            return Err(EngineError::OutOfRange { what: "labels", index, found, limit });
        }
        written.push(label as f32);
        counted += 1;
    }
    Ok(counted)
}
