//! The five models that speed, golden files and bits are measured on, with data that needs no file.

use lichen_campaign::model_spec::{
    Activation, Extent, LayerSpec, Loss, ModelSpec, Optimizer, Padding, PaddingRule, TrainSpec,
};
use lichen_model::program::random_bits;

/// Different batches of a workload; steps take them in turn.
pub const BATCHES: u32 = 4;
/// Seed of every workload's first parameters.
pub const SEED: u64 = 11;

/// A model with its training.
#[derive(Clone, Debug)]
pub struct Workload {
    /// `w1` to `w5`.
    pub name: &'static str,
    /// The model.
    pub model: ModelSpec,
    /// Adam with a batch of the workload's size.
    pub train: TrainSpec,
    /// Multiplications and additions of one step's products and convolutions.
    pub flops: f64,
    tokens: u32,
}

fn dense(name: &str, units: usize, activation: Activation) -> LayerSpec {
    LayerSpec::Dense { name: name.into(), units, activation, bias: true }
}

fn conv(name: &str, filters: usize) -> LayerSpec {
    LayerSpec::Conv {
        name: name.into(),
        filters,
        kernel: Extent::Every(5),
        stride: Extent::Every(1),
        padding: Padding::Named(PaddingRule::Same),
        dilation: Extent::Every(1),
        groups: 1,
        activation: Activation::Relu,
        bias: true,
    }
}

fn pool(name: &str) -> LayerSpec {
    let padding = Padding::Named(PaddingRule::Valid);
    LayerSpec::MaxPool { name: name.into(), kernel: Extent::Every(2), stride: None, padding }
}

fn block(number: usize) -> LayerSpec {
    LayerSpec::TransformerBlock {
        name: format!("block{number}"),
        heads: 3,
        causal: true,
        expansion: 4,
        activation: Activation::Gelu,
        dropout: 0.0,
    }
}

fn workload(
    name: &'static str,
    input: &[usize],
    batch: usize,
    layers: Vec<LayerSpec>,
    flops: f64,
) -> Workload {
    let loss = Loss::SoftmaxCrossEntropy;
    Workload {
        name,
        model: ModelSpec {
            input: input.to_vec(),
            loss,
            ignore_label: None,
            huber_delta: None,
            layers: layers.into(),
        },
        train: TrainSpec::plain(Optimizer::Adam, 0.001, batch, 1000),
        flops,
        tokens: 0,
    }
}

/// A model of 1.07 million parameters, in which naming a state is measured, beside the workloads.
#[must_use]
pub fn large() -> Workload {
    let relu = Activation::Relu;
    let layers = vec![dense("a", 1024, relu), dense("b", 256, relu), dense("c", 10, Activation::None)];
    let (dense1, dense2, dense3) = (784.0 * 1024.0, 1024.0 * 256.0, 256.0 * 10.0);
    workload("large", &[784], 64, layers, 128.0 * (2.0 * dense1 + 3.0 * (dense2 + dense3)))
}

/// All workloads.
#[must_use]
pub fn all() -> Vec<Workload> {
    let relu = Activation::Relu;
    let none = Activation::None;
    let w1 = vec![dense("a", 512, relu), dense("b", 256, relu), dense("c", 10, none)];
    let w2 = vec![
        conv("conv1", 16),
        pool("pool1"),
        conv("conv2", 32),
        pool("pool2"),
        LayerSpec::Flatten { name: "flat".into() },
        dense("a", 128, relu),
        dense("b", 10, none),
    ];
    let w3 = vec![dense("a", 32, relu), dense("b", 10, none)];
    let w4 = vec![
        LayerSpec::Embedding { name: "tokens".into(), vocabulary: 64, width: 48 },
        LayerSpec::PositionEmbedding { name: "positions".into() },
        block(0),
        block(1),
        block(2),
        LayerSpec::LayerNorm { name: "norm".into(), epsilon: 1e-5 },
        dense("head", 64, none),
    ];
    let gru = LayerSpec::Gru { name: "gru".into(), units: 64, sequence: false };
    let w5 = vec![gru, dense("head", 10, none)];
    // Twice the multiply-adds, forward, by weight, and by input except at the first layer.
    let (dense1, dense2, dense3) = (784.0 * 512.0, 512.0 * 256.0, 256.0 * 10.0);
    let (conv1, conv2, flat) = (784.0 * 400.0, 196.0 * 12800.0, 1568.0 * 128.0 + 1280.0);
    let token = 3.0 * (12.0 * 48.0 * 48.0 + 2.0 * 64.0 * 48.0) + 48.0 * 64.0;
    let gru_step = 32.0 * 192.0 * 2.0 + 64.0 * 192.0 * 3.0;
    vec![
        workload("w1", &[784], 64, w1, 128.0 * (2.0 * dense1 + 3.0 * (dense2 + dense3))),
        workload("w2", &[1, 28, 28], 64, w2, 128.0 * (2.0 * conv1 + 3.0 * (conv2 + flat))),
        workload("w3", &[64], 32, w3, 64.0 * (2.0 * 2048.0 + 3.0 * 320.0)),
        Workload { tokens: 64, ..workload("w4", &[64], 16, w4, 2.0 * 1024.0 * 3.0 * token) },
        workload("w5", &[48, 32], 32, w5, 64.0 * (48.0 * gru_step + 3.0 * 640.0)),
    ]
}

impl Workload {
    /// Inputs and labels of batch `number`: uniform from −1 to 1 (or tokens), labels uniform.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "rounding to single precision is meant")]
    #[expect(clippy::cast_possible_truncation, reason = "batches are small")]
    pub fn batch(&self, number: u32) -> (Vec<f32>, Vec<u32>) {
        let elements: usize = self.model.input.iter().product::<usize>() * self.train.batch;
        let number = number % BATCHES;
        let input = |index| {
            let bits = random_bits(100 + number, index);
            if self.tokens > 0 { (bits % self.tokens) as f32 } else { (bits >> 8) as f32 / 8_388_608.0 - 1.0 }
        };
        let x = (0..elements as u32).map(input).collect();
        let (count, classes) = if self.tokens > 0 { (elements, self.tokens) } else { (self.train.batch, 10) };
        let y = (0..count as u32).map(|index| random_bits(200 + number, index) % classes).collect();
        (x, y)
    }
}
