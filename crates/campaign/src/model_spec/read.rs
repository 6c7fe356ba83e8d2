//! From a manifest's tables to the types of this module. What is left out gets the default written here.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    Activation, Budget, Extent, LayerSpec, Loss, MAX_DEPTH, MAX_EXTENT, ModelSpec, Optimizer, Padding,
    PaddingRule, Reduction, Schedule, SpecFault, TrainSpec,
};
use crate::Fault;
use crate::reader::{Reader, whole_of};

const ANY_WHOLE: core::ops::RangeInclusive<i64> = 0..=MAX_EXTENT as i64;
const ANY_NUMBER: core::ops::RangeInclusive<f64> = f64::MIN..=f64::MAX;

const LOSSES: [(&str, Loss); 5] = [
    ("softmax-cross-entropy", Loss::SoftmaxCrossEntropy),
    ("binary-cross-entropy", Loss::BinaryCrossEntropy),
    ("mean-squared-error", Loss::MeanSquaredError),
    ("mean-absolute-error", Loss::MeanAbsoluteError),
    ("huber", Loss::Huber),
];
const ACTIVATIONS: [(&str, Activation); 6] = [
    ("none", Activation::None),
    ("relu", Activation::Relu),
    ("leaky-relu", Activation::LeakyRelu),
    ("tanh", Activation::Tanh),
    ("sigmoid", Activation::Sigmoid),
    ("gelu", Activation::Gelu),
];
const REDUCTIONS: [(&str, Reduction); 3] =
    [("sum", Reduction::Sum), ("mean", Reduction::Mean), ("max", Reduction::Max)];
const OPTIMIZERS: [(&str, Optimizer); 4] = [
    ("sgd", Optimizer::Sgd),
    ("adam", Optimizer::Adam),
    ("adamw", Optimizer::Adamw),
    ("lion", Optimizer::Lion),
];
const SCHEDULES: [(&str, Schedule); 2] = [("constant", Schedule::Constant), ("cosine", Schedule::Cosine)];

/// Reads `[model]`, whose faults are recorded.
pub(crate) fn read_model(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<ModelSpec> {
    table?;
    let before = faults.len();
    let mut fields = Fields(Reader::new("model", table, faults));
    let spec = ModelSpec {
        input: fields.sizes("input"),
        loss: fields.0.choice("loss", &LOSSES).unwrap_or(Loss::Huber),
        ignore_label: fields
            .0
            .value("ignore_label")
            .and_then(|_| fields.0.integer("ignore_label", i32::MIN.into()..=u32::MAX.into())),
        huber_delta: fields.optional_decimal("huber_delta"),
        layers: {
            fields.0.required("layers");
            fields.layers("layers", 0).into()
        },
    };
    fields.0.finish();
    finished(spec, before, ModelSpec::validate, faults)
}

/// Reads `[train]`, whose faults are recorded.
pub(crate) fn read_train(table: Option<&DeTable<'_>>, faults: &mut Vec<Fault>) -> Option<TrainSpec> {
    table?;
    let before = faults.len();
    let mut fields = Fields(Reader::new("train", table, faults));
    // None if it is a fault already.
    let optimizer = fields.0.choice("optimizer", &OPTIMIZERS);
    let has_momentum = matches!(optimizer, None | Some(Optimizer::Sgd));
    let has_betas = optimizer != Some(Optimizer::Sgd);
    let divides = has_betas && optimizer != Some(Optimizer::Lion);
    let spec = TrainSpec {
        optimizer: optimizer.unwrap_or(Optimizer::Sgd),
        learning_rate: fields.decimal("learning_rate"),
        batch: fields.size("batch"),
        steps: fields.0.whole("steps", 0..=u32::MAX.into()).unwrap_or_default(),
        budget: read_budget(&mut fields.0),
        schedule: fields.choice_or("schedule", &SCHEDULES, Schedule::Constant),
        warmup: fields.0.optional_whole("warmup", 0..=u32::MAX.into()).flatten().unwrap_or_default(),
        momentum: fields.decimal_if(has_momentum, "momentum"),
        beta1: fields.decimal_if(has_betas, "beta1"),
        beta2: fields.decimal_if(has_betas, "beta2"),
        epsilon: fields.decimal_if(divides, "epsilon"),
        weight_decay: fields.optional_decimal("weight_decay"),
        clip_norm: fields.optional_decimal("clip_norm"),
        clip_sample_norm: fields.optional_decimal("clip_sample_norm"),
        proximal: fields.optional_decimal("proximal"),
    };
    fields.0.finish();
    finished(spec, before, TrainSpec::validate, faults)
}

fn read_budget(reader: &mut Reader<'_, '_>) -> Option<Budget> {
    let seconds = reader.optional_number("seconds", 0.1..=3_600.0).flatten();
    let least = reader.optional_whole("least_steps", 1..=u32::MAX.into()).flatten();
    match (seconds, least) {
        (Some(seconds), least) => Some(Budget { seconds, least: least.unwrap_or(1) }),
        (None, Some(_least)) => {
            reader.fault("least_steps", "has no meaning without seconds: every training takes all steps")
        }
        (None, None) => None,
    }
}

/// The specification, unless something was wrong while it was read or is wrong with it as a whole.
fn finished<T>(
    spec: T,
    before: usize,
    validate: impl FnOnce(&T) -> Result<(), Vec<SpecFault>>,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    // What stands in for a field that could not be read would only be found faulty again.
    if faults.len() > before {
        return None;
    }
    for fault in validate(&spec).err().into_iter().flatten() {
        faults.push(match fault {
            SpecFault::Layer { layer, field, problem } => {
                Fault::new(format!("model.layers.{layer}.{field}"), problem)
            }
            SpecFault::Field { field, problem } => Fault::new(field, problem),
        });
    }
    Some(spec)
}

/// Reads a layer whose kind and name are known.
type ReadLayer = fn(&mut Fields<'_, '_>, String, usize) -> LayerSpec;

/// Every kind of layer, as manifests spell it, and what is read for it.
const KINDS: [(&str, ReadLayer); 25] = [
    ("dense", |fields, name, _depth| LayerSpec::Dense {
        name,
        units: fields.size("units"),
        activation: fields.activation("activation", Activation::None),
        bias: fields.flag("bias", true),
    }),
    ("embedding", |fields, name, _depth| LayerSpec::Embedding {
        name,
        vocabulary: fields.size("vocabulary"),
        width: fields.size("width"),
    }),
    ("position-embedding", |_fields, name, _depth| LayerSpec::PositionEmbedding { name }),
    ("conv", |fields, name, _depth| LayerSpec::Conv {
        name,
        filters: fields.size("filters"),
        kernel: fields.extent("kernel"),
        stride: fields.extent_or("stride", 1),
        padding: fields.padding("padding", PaddingRule::Valid),
        dilation: fields.extent_or("dilation", 1),
        groups: fields.size_or("groups", 1),
        activation: fields.activation("activation", Activation::None),
        bias: fields.flag("bias", true),
    }),
    ("conv-transpose", |fields, name, _depth| LayerSpec::ConvTranspose {
        name,
        filters: fields.size("filters"),
        kernel: fields.extent("kernel"),
        stride: fields.extent_or("stride", 1),
        padding: fields.extent_or("padding", 0),
        output_padding: fields.extent_or("output_padding", 0),
        dilation: fields.extent_or("dilation", 1),
        groups: fields.size_or("groups", 1),
        activation: fields.activation("activation", Activation::None),
        bias: fields.flag("bias", true),
    }),
    ("max-pool", |fields, name, _depth| LayerSpec::MaxPool {
        name,
        kernel: fields.extent_or("kernel", 2),
        stride: fields.optional_extent("stride"),
        padding: fields.padding("padding", PaddingRule::Valid),
    }),
    ("average-pool", |fields, name, _depth| LayerSpec::AveragePool {
        name,
        kernel: fields.extent_or("kernel", 2),
        stride: fields.optional_extent("stride"),
        padding: fields.padding("padding", PaddingRule::Valid),
    }),
    ("global-average-pool", |_fields, name, _depth| LayerSpec::GlobalAveragePool { name }),
    ("batch-norm", |fields, name, _depth| LayerSpec::BatchNorm {
        name,
        epsilon: fields.decimal_or("epsilon", 1e-5),
        momentum: fields.decimal_or("momentum", 0.1),
    }),
    ("layer-norm", |fields, name, _depth| LayerSpec::LayerNorm {
        name,
        epsilon: fields.decimal_or("epsilon", 1e-5),
    }),
    ("rms-norm", |fields, name, _depth| LayerSpec::RmsNorm {
        name,
        epsilon: fields.decimal_or("epsilon", 1e-5),
    }),
    ("group-norm", |fields, name, _depth| LayerSpec::GroupNorm {
        name,
        groups: fields.size("groups"),
        epsilon: fields.decimal_or("epsilon", 1e-5),
    }),
    ("activation", |fields, name, _depth| LayerSpec::Activation {
        name,
        function: fields.0.choice("function", &ACTIVATIONS).unwrap_or_default(),
    }),
    ("dropout", |fields, name, _depth| LayerSpec::Dropout { name, rate: fields.decimal("rate") }),
    ("flatten", |_fields, name, _depth| LayerSpec::Flatten { name }),
    ("reshape", |fields, name, _depth| LayerSpec::Reshape { name, shape: fields.sizes("shape") }),
    ("transpose", |fields, name, _depth| LayerSpec::Transpose { name, axes: fields.sizes("axes") }),
    ("reduce", |fields, name, _depth| LayerSpec::Reduce {
        name,
        axis: fields.size("axis"),
        how: fields.0.choice("how", &REDUCTIONS).unwrap_or(Reduction::Sum),
    }),
    ("residual", |fields, name, depth| LayerSpec::Residual {
        name,
        layers: fields.layers("layers", depth + 1),
        shortcut: fields.layers("shortcut", depth + 1),
        activation: fields.activation("activation", Activation::None),
    }),
    ("conv-block", |fields, name, _depth| LayerSpec::ConvBlock {
        name,
        filters: fields.size("filters"),
        kernel: fields.extent("kernel"),
        stride: fields.extent_or("stride", 1),
        padding: fields.padding("padding", PaddingRule::Same),
        norm: fields.flag("norm", false),
        activation: fields.activation("activation", Activation::Relu),
        pool: fields.optional_extent("pool"),
    }),
    ("residual-block", |fields, name, _depth| LayerSpec::ResidualBlock {
        name,
        filters: fields.size("filters"),
        stride: fields.extent_or("stride", 1),
    }),
    ("gru", |fields, name, _depth| LayerSpec::Gru {
        name,
        units: fields.size("units"),
        sequence: fields.flag("sequence", false),
    }),
    ("lstm", |fields, name, _depth| LayerSpec::Lstm {
        name,
        units: fields.size("units"),
        sequence: fields.flag("sequence", false),
    }),
    ("attention", |fields, name, _depth| LayerSpec::Attention {
        name,
        heads: fields.size("heads"),
        causal: fields.flag("causal", false),
    }),
    ("transformer-block", |fields, name, _depth| LayerSpec::TransformerBlock {
        name,
        heads: fields.size("heads"),
        causal: fields.flag("causal", false),
        expansion: fields.size_or("expansion", 4),
        activation: fields.activation("activation", Activation::Gelu),
        dropout: fields.decimal_or("dropout", 0.0),
    }),
];

fn read_layer(path: &str, value: &DeValue<'_>, depth: usize, faults: &mut Vec<Fault>) -> Option<LayerSpec> {
    let DeValue::Table(table) = value else {
        faults.push(Fault::new(path, "must be a table"));
        return None;
    };
    let mut fields = Fields(Reader::new(path, Some(table), faults));
    let read = fields.0.choice("kind", &KINDS)?;
    let name = fields.word("name");
    let layer = read(&mut fields, name, depth);
    fields.0.finish();
    Some(layer)
}

/// Reads fields one after the other; what is faulty is recorded and stands as something that nobody will use.
struct Fields<'t, 'f>(Reader<'t, 'f>);

impl Fields<'_, '_> {
    fn word(&mut self, key: &'static str) -> String {
        match self.0.value(key) {
            None => String::new(),
            Some(DeValue::String(word)) => word.as_ref().into(),
            Some(_) => self.0.fault(key, "must be text in quotation marks").unwrap_or_default(),
        }
    }

    fn size(&mut self, key: &'static str) -> usize {
        self.0.whole(key, ANY_WHOLE).unwrap_or_default()
    }

    fn size_or(&mut self, key: &'static str, unless_given: usize) -> usize {
        self.0.optional_whole(key, ANY_WHOLE).flatten().unwrap_or(unless_given)
    }

    fn sizes(&mut self, key: &'static str) -> Vec<usize> {
        self.0.wholes(key).unwrap_or_default()
    }

    fn decimal(&mut self, key: &'static str) -> f64 {
        self.0.number(key, ANY_NUMBER).unwrap_or_default()
    }

    fn optional_decimal(&mut self, key: &'static str) -> Option<f64> {
        self.0.optional_number(key, ANY_NUMBER).flatten()
    }

    /// A number that may be left out, and has to be where the optimiser does not have it.
    fn decimal_if(&mut self, is_had: bool, key: &'static str) -> Option<f64> {
        let value = self.optional_decimal(key);
        if is_had || value.is_none() {
            return value;
        }
        let optimizer = self.0.value("optimizer").and_then(DeValue::as_str).unwrap_or_default();
        self.0.fault(key, &format!("is no field of the optimizer {optimizer}: remove it"))
    }

    fn decimal_or(&mut self, key: &'static str, unless_given: f64) -> f64 {
        self.optional_decimal(key).unwrap_or(unless_given)
    }

    fn flag(&mut self, key: &'static str, unless_given: bool) -> bool {
        self.0.flag(key, unless_given).unwrap_or(unless_given)
    }

    fn choice_or<T: Copy>(&mut self, key: &'static str, choices: &[(&str, T)], unless_given: T) -> T {
        match self.0.value(key) {
            None => unless_given,
            Some(_present) => self.0.choice(key, choices).unwrap_or(unless_given),
        }
    }

    fn activation(&mut self, key: &'static str, unless_given: Activation) -> Activation {
        self.choice_or(key, &ACTIVATIONS, unless_given)
    }

    fn extent(&mut self, key: &'static str) -> Extent {
        self.0.required(key);
        self.extent_or(key, 0)
    }

    fn extent_or(&mut self, key: &'static str, unless_given: usize) -> Extent {
        self.optional_extent(key).unwrap_or(Extent::Every(unless_given))
    }

    fn optional_extent(&mut self, key: &'static str) -> Option<Extent> {
        let value = self.0.value(key)?;
        let extent = extent_of(value);
        extent.or_else(|| self.0.fault(key, "must be a whole number, or one for each spatial axis in a list"))
    }

    fn padding(&mut self, key: &'static str, unless_given: PaddingRule) -> Padding {
        let Some(value) = self.0.value(key) else { return Padding::Named(unless_given) };
        let padding = match value {
            DeValue::String(word) if word == "same" => Some(Padding::Named(PaddingRule::Same)),
            DeValue::String(word) if word == "valid" => Some(Padding::Named(PaddingRule::Valid)),
            other => extent_of(other).map(Padding::Zeros),
        };
        let problem = "must be \"same\", \"valid\", a whole number, or one for each spatial axis in a list";
        padding.or_else(|| self.0.fault(key, problem)).unwrap_or(Padding::Named(unless_given))
    }

    fn layers(&mut self, key: &'static str, depth: usize) -> Vec<LayerSpec> {
        let list: &[Spanned<DeValue<'_>>] = self.0.list(key).unwrap_or_default();
        if depth > MAX_DEPTH {
            self.0.fault::<()>(key, &format!("nest deeper than {MAX_DEPTH}"));
            return Vec::new();
        }
        let path = format!("{}.{key}", self.0.path());
        let layers = list.iter().enumerate().filter_map(|(index, layer)| {
            read_layer(&format!("{path}[{index}]"), layer.get_ref(), depth, self.0.faults())
        });
        layers.collect()
    }
}

fn extent_of(value: &DeValue<'_>) -> Option<Extent> {
    match value {
        DeValue::Array(list) => {
            list.iter().map(|each| whole_of(each.get_ref())).collect::<Option<_>>().map(Extent::Each)
        }
        every => whole_of(every).map(Extent::Every),
    }
}
