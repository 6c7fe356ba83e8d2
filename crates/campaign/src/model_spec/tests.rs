//! Every kind of layer is read, and every faulty one is refused by the name of its field.

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

/// What is said about `[train]` with these fields, one fault a line.
fn train_faults(fields: &str) -> String {
    let text = format!(
        "[train]\n{}batch = 1\nsteps = 1\n{fields}\n[model]\ninput = [1]\n\
         loss = \"mean-squared-error\"\nlayers = [{{ kind = \"flatten\" }}]\n",
        if fields.contains("learning_rate") { "" } else { "learning_rate = 1\n" }
    );
    Training::parse(&text).err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn another_optimiser_s_fields_are_refused() {
    let said = train_faults("optimizer = \"adam\"\nmomentum = 0.9");
    assert_eq!(said, "train.momentum is no field of the optimizer adam: remove it");
    let said = train_faults("optimizer = \"sgd\"\nbeta1 = 0.9\nbeta2 = 0.9\nepsilon = 0.1");
    assert_eq!(
        said,
        "train.beta1 is no field of the optimizer sgd: remove it\n\
         train.beta2 is no field of the optimizer sgd: remove it\n\
         train.epsilon is no field of the optimizer sgd: remove it"
    );
    let said = train_faults("optimizer = \"lion\"\nepsilon = 0.1\nmomentum = 0.9");
    assert!(said.contains("optimizer lion") && said.lines().count() == 2, "{said}");
    let said = train_faults("optimizer = \"Adam\"\nepsilon = 0.1\nmomentum = 0.9");
    assert!(said.starts_with("train.optimizer is not known here") && said.lines().count() == 1, "{said}");
    for (field, said) in [
        ("learning_rate = 0", "train.learning_rate must be above 0"),
        ("weight_decay = -1", "train.weight_decay must be 0 or more"),
        ("momentum = 1", "train.momentum must be from 0 to below 1"),
        ("clip_norm = 0", "train.clip_norm must be above 0"),
    ] {
        let fields = format!("optimizer = \"sgd\"\n{field}");
        assert_eq!(train_faults(&fields), said);
    }
    for own in [
        "optimizer = \"sgd\"\nmomentum = 0.9\nweight_decay = 0.1",
        "optimizer = \"adam\"\nbeta1 = 0.9\nbeta2 = 0.9\nepsilon = 0.1\nweight_decay = 0.1",
        "optimizer = \"adamw\"\nbeta1 = 0.9\nbeta2 = 0.9\nepsilon = 0.1\nweight_decay = 0.1",
        "optimizer = \"lion\"\nbeta1 = 0.9\nbeta2 = 0.9\nweight_decay = 0.1",
    ] {
        assert_eq!(train_faults(own), "");
    }
}

#[test]
fn labels_are_ignored_as_pytorch_ignores_them() {
    let model = |ignored: &str| {
        let text = format!(
            "input = [1]\nloss = \"softmax-cross-entropy\"\n{ignored}\nlayers = [{{ kind = \"flatten\" }}]"
        );
        parse(&text).unwrap()
    };
    let labels = [0, 3, 7, -1, -100, u32::MAX.into(), i64::MAX, i64::MIN];
    let read = |ignored| labels.map(|label| model(ignored).label(label));
    let (ignored, classes) = (Some(u32::MAX), [Some(0), Some(3), Some(7)]);
    let of = |rest: [Option<u32>; 5]| [classes.as_slice(), &rest].concat();
    assert_eq!(read("")[..], of([None; 5]));
    assert_eq!(read("ignore_label = 3")[..], of([None; 5]));
    assert_eq!(read("ignore_label = -100")[..], of([None, ignored, None, None, None]));
    assert_eq!(read("ignore_label = 4294967295")[..], of([ignored, ignored, ignored, None, ignored]));
}

#[test]
fn a_scale_that_would_not_be_used_is_refused() {
    let faults = |data: &str| {
        let text = format!(
            "{data}\n[train]\noptimizer = \"sgd\"\nlearning_rate = 1\nbatch = 1\nsteps = 1\n\
             [model]\ninput = [1]\nloss = \"huber\"\nlayers = [{{ kind = \"flatten\" }}]\n"
        );
        Training::parse(&text).err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(faults("[data]\nscale = 0.5\nfile = \"x\""), "");
    assert_eq!(faults("data = 0.5"), "data must be a table");
    assert_eq!(faults("[data]\nscala = 0.5"), "data.scala is not known here: did you mean \"scale\"?");
}

#[test]
fn sizes_that_no_machine_holds_are_refused_with_the_limit() {
    let said = train_faults("optimizer = \"sgd\"\nwarmup = 4294967296");
    assert_eq!(said, "train.warmup is 4294967296: it must be from 0 to 4294967295");
    let error = parse("input = [1]\nloss = \"huber\"\nlayers = [{ kind = \"dense\", units = 16777217 }]")
        .unwrap_err();
    assert_eq!(error.to_string(), "model.layers[0].units is 16777217: it must be from 0 to 16777216");
}
