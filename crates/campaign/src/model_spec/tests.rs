use alloc::format;
use alloc::string::ToString;

use super::*;
use crate::{ManifestError, Training};

/// Reads what stands below `[model]`.
fn parse(text: &str) -> Result<ModelSpec, ManifestError> {
    let train = "[train]\noptimizer = \"sgd\"\nlearning_rate = 1\nbatch = 1\nsteps = 1\n";
    let model = text.replace("[[layers]]", "[[model.layers]]");
    Ok(Training::parse(&format!("{train}[model]\n{model}"))?.model)
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
    let text =
        "input = [64]\nloss = \"softmax-cross-entropy\"\n[[layers]]\nkind = \"dense\"\nunits = 32\nwidth = 3";
    assert!(parse(text).unwrap_err().to_string().contains("width"));
}

#[test]
fn every_fault_is_named_with_its_layer() {
    let text = "input = [0]\nloss = \"huber\"\n[[layers]]\nkind = \"dense\"\nname = \"a\"\nunits = 0\n[[layers]]\nkind = \"dropout\"\nname = \"a\"\nrate = 1.0";
    let faults: Vec<String> = parse(text).unwrap_err().faults().iter().map(ToString::to_string).collect();
    assert_eq!(faults.len(), 4, "{faults:?}");
    assert!(faults[1].starts_with("model.layers.a.units is 0"));
    assert!(faults[3].starts_with("model.layers.a.rate is 1"));
}
