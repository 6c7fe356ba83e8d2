//! Whether a model and its training are possible at all, before anything is built from them.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{
    Budget, Extent, LayerSpec, Loss, MAX_DEPTH, MAX_EXTENT, MAX_LAYERS, ModelSpec, Padding, Schedule,
    SpecFault, TrainSpec,
};

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

/// What a number of `[train]` may be.
enum Range {
    Positive,
    Share,
    NotNegative,
}

impl Range {
    fn problem(&self, value: f64) -> Option<&'static str> {
        let (is_inside, problem) = match self {
            Self::Positive => (value > 0.0, "must be above 0"),
            Self::Share => ((0.0..1.0).contains(&value), "must be from 0 to below 1"),
            Self::NotNegative => (value >= 0.0, "must be 0 or more"),
        };
        (!(is_inside && value.is_finite())).then_some(problem)
    }
}

impl TrainSpec {
    /// Checks ranges and returns every fault.
    ///
    /// # Errors
    /// All faults found, each naming the field.
    pub fn validate(&self) -> Result<(), Vec<SpecFault>> {
        let mut faults = Vec::new();
        check_field(&mut faults, "train.batch", extent_problem(self.batch));
        check_field(&mut faults, "train.steps", (self.steps == 0).then(|| "must be 1 or more".into()));
        for (field, value, range) in [
            ("train.learning_rate", Some(self.learning_rate), Range::Positive),
            ("train.momentum", self.momentum, Range::Share),
            ("train.beta1", self.beta1, Range::Share),
            ("train.beta2", self.beta2, Range::Share),
            ("train.epsilon", self.epsilon, Range::Positive),
            ("train.weight_decay", self.weight_decay, Range::NotNegative),
            ("train.clip_norm", self.clip_norm, Range::Positive),
            ("train.clip_sample_norm", self.clip_sample_norm, Range::Positive),
            ("train.proximal", self.proximal, Range::Positive),
        ] {
            check_field(&mut faults, field, value.and_then(|value| range.problem(value)).map(Into::into));
        }
        if let Some(budget) = self.budget {
            self.check_budget(budget, &mut faults);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Most steps of a training with a budget.
const MAX_STEPS: u32 = 1_000_000;

impl TrainSpec {
    /// Checks that steps of one training are as good as those of another, however many there are.
    fn check_budget(&self, Budget { least, .. }: Budget, faults: &mut Vec<SpecFault>) {
        let too_many = (self.steps > MAX_STEPS).then(|| format!("must be at most {MAX_STEPS} with seconds"));
        check_field(faults, "train.steps", too_many);
        let problem = format!("is {least}: train.steps allows {} at most", self.steps);
        check_field(faults, "train.least_steps", (least > self.steps).then_some(problem));
        let is_even = self.schedule == Schedule::Constant;
        let problem = "must be \"constant\" with seconds: nobody knows before how many steps there will be";
        check_field(faults, "train.schedule", (!is_even).then(|| problem.into()));
        let problem = "must be 0 with seconds: who takes few steps would take small ones only";
        check_field(faults, "train.warmup", (self.warmup > 0).then(|| problem.into()));
        let problem = "must be left out with seconds: its pull grows with the steps";
        check_field(faults, "train.proximal", self.proximal.map(|_pull| problem.into()));
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
