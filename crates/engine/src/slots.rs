//! Parameters by name, in and out of the slots of a program's memory.

use crate::EngineError;
use lichen_model::program::{BufferId, PARAMETERS, ParameterBinding, Program, STATISTICS};
use lichen_model::{ModelError, Parameters, Tensor};

/// The slots of trained parameters and of statistics, filled from named tensors.
pub(crate) fn parameter_slots(
    program: &Program,
    parameters: &Parameters,
) -> Result<[Vec<f32>; 2], EngineError> {
    let size = |slot: usize| program.slots.get(slot).copied().unwrap_or(0);
    let mut slots = [vec![0.0; size(PARAMETERS)], vec![0.0; size(STATISTICS)]];
    for binding in &program.parameters {
        let fault = |problem: String| ModelError::Mismatch { name: binding.name.clone(), problem };
        let tensor = parameters.get(&binding.name).ok_or_else(|| fault("is missing".into()))?;
        let buffer = program.buffer(binding.value);
        if tensor.shape() != buffer.shape {
            return Err(fault(other_shape(tensor.shape(), &buffer.shape)).into());
        }
        let [trained, statistics] = &mut slots;
        let slot = if buffer.slot == PARAMETERS { trained } else { statistics };
        if let Some(place) = slot.get_mut(buffer.offset..buffer.offset + tensor.data().len()) {
            place.copy_from_slice(tensor.data());
        }
    }
    if parameters.len() != program.parameters.len() {
        let known = |name: &str| program.parameters.iter().any(|binding| binding.name == name);
        let extra = parameters.iter().find(|(name, _)| !known(name)).map_or("", |(name, _)| name);
        let problem = "is not one of the model's".into();
        return Err(ModelError::Mismatch { name: extra.into(), problem }.into());
    }
    Ok(slots)
}

/// Tensors by name out of slots.
pub(crate) fn named(
    program: &Program,
    slots: &[Vec<f32>],
    which: impl Fn(&ParameterBinding) -> Option<BufferId>,
) -> Result<Parameters, EngineError> {
    let mut parameters = Parameters::new();
    for binding in &program.parameters {
        let Some(id) = which(binding) else { continue };
        let buffer = program.buffer(id);
        let slot = slots.get(usize::from(buffer.slot == STATISTICS)).map(Vec::as_slice).unwrap_or_default();
        let data = slot.get(buffer.offset..buffer.offset + buffer.elements()).unwrap_or_default();
        parameters.insert(binding.name.clone(), Tensor::new(buffer.shape.clone(), data.to_vec())?)?;
    }
    Ok(parameters)
}

/// What is wrong with a tensor of another shape than the model's. Tabs are built without what prints for debugging.
pub(crate) fn other_shape(actual: &[usize], expected: &[usize]) -> String {
    let text = |shape: &[usize]| shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    format!("has shape [{}], but the model takes [{}]", text(actual), text(expected))
}
