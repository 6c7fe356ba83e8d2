//! A model's first parameters: the same bits on every machine.

use crate::ModelError;
use crate::graph::Init;
use crate::layers;
use crate::parameters::{Parameters, Tensor};
use alloc::string::String;
use alloc::vec::Vec;
use lichen_campaign::model_spec::ModelSpec;

/// Name and shape of every parameter of a model, in order of the names.
///
/// # Errors
/// As [`layers::build`]: the first layer that does not fit.
pub fn parameter_shapes(spec: &ModelSpec) -> Result<Vec<(String, Vec<usize>)>, ModelError> {
    let graph = layers::build(spec, 1)?;
    let mut shapes: Vec<_> = graph.parameters().iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
    shapes.sort_unstable();
    Ok(shapes)
}

/// The parameters a campaign starts from: a pure function of model and seed, the distributions of which are in
/// the table of [`layers`]. Only additions, multiplications, divisions and square roots of integers and doubles
/// take part, so that all machines agree.
///
/// # Errors
/// As [`layers::build`]: the first layer that does not fit.
pub fn initial_parameters(spec: &ModelSpec, seed: u64) -> Result<Parameters, ModelError> {
    let graph = layers::build(spec, 1)?;
    let mut parameters = Parameters::new();
    for parameter in graph.parameters() {
        let key = seed ^ name_key(&parameter.name);
        let elements = parameter.shape.iter().product::<usize>() as u64;
        let spread = match parameter.init {
            Init::Uniform { bound_squared } => libm::sqrt(bound_squared),
            Init::Normal { deviation } => f64::from(deviation),
            Init::Constant(_) => 0.0,
        };
        let data = (0..elements).map(|index| draw(parameter.init, spread, key, index)).collect();
        parameters.insert(parameter.name.clone(), Tensor::new(parameter.shape.clone(), data)?)?;
    }
    Ok(parameters)
}

#[expect(clippy::cast_possible_truncation, reason = "tensors are single precision")]
fn draw(init: Init, spread: f64, key: u64, index: u64) -> f32 {
    match init {
        Init::Constant(value) => value,
        Init::Uniform { .. } => ((uniform(key, index) * 2.0 - 1.0) * spread) as f32,
        Init::Normal { .. } => {
            let sum: f64 = (0..12).map(|part| uniform(key, index * 12 + part)).sum();
            ((sum - 6.0) * spread) as f32
        }
    }
}

/// From 0 to below 1 in steps of 2^-53.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
fn uniform(key: u64, counter: u64) -> f64 {
    (split_mix(key.wrapping_add(split_mix(counter))) >> 11) as f64 / (1u64 << 53) as f64
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
const fn split_mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// FNV-1a, so that a parameter's numbers do not depend on which others there are.
fn name_key(name: &str) -> u64 {
    name.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |key, byte| (key ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use lichen_campaign::model_spec::{Activation, Extent, LayerSpec, Loss, Padding, Reduction};

    fn dense(name: &str, units: usize, activation: Activation) -> LayerSpec {
        LayerSpec::Dense { name: name.into(), units, activation, bias: true }
    }

    fn digits() -> ModelSpec {
        ModelSpec {
            input: vec![64],
            loss: Loss::SoftmaxCrossEntropy,
            ignore_label: None,
            huber_delta: None,
            layers: [dense("hidden", 32, Activation::Relu), dense("out", 10, Activation::None)].into(),
        }
    }

    #[test]
    fn shapes_are_those_of_pytorch() {
        let shapes = parameter_shapes(&digits()).unwrap();
        let named: Vec<_> = shapes.iter().map(|(name, shape)| (name.as_str(), shape.as_slice())).collect();
        assert_eq!(
            named,
            [
                ("hidden.bias", &[32][..]),
                ("hidden.weight", &[32, 64]),
                ("out.bias", &[10]),
                ("out.weight", &[10, 32]),
            ]
        );
    }

    #[test]
    fn a_seed_gives_these_bits_everywhere() {
        let parameters = initial_parameters(&digits(), 7).unwrap();
        let weight = parameters.get("hidden.weight").unwrap();
        let bits: Vec<u32> = weight.data().iter().take(4).map(|value| value.to_bits()).collect();
        assert_eq!(bits, GOLDEN);
        assert!(weight.data().iter().all(|value| value.abs() <= 0.125));
        let mean: f32 = weight.data().iter().sum::<f32>() / 2048.0;
        assert!(mean.abs() < 0.01, "{mean}");
        assert_ne!(parameters, initial_parameters(&digits(), 8).unwrap());
    }

    const GOLDEN: [u32; 4] = [3_172_114_696, 3_171_680_217, 1_038_092_231, 1_038_995_881];

    #[test]
    fn errors_name_the_layer_and_both_shapes() {
        let mut spec = digits();
        let mut layers = spec.layers.to_vec();
        layers.insert(1, LayerSpec::Gru { name: "memory".into(), units: 3, sequence: false });
        spec.layers = layers.into();
        let error = parameter_shapes(&spec).unwrap_err().to_string();
        assert_eq!(error, "layer memory takes [steps, features], but gets [32]");
    }

    #[test]
    fn tables_are_looked_up_by_the_input_s_numbers_alone() {
        let table = |name: &str, vocabulary| LayerSpec::Embedding { name: name.into(), vocabulary, width: 4 };
        let rows = LayerSpec::Reshape { name: "rows".into(), shape: vec![4] };
        let built = |layers: Vec<LayerSpec>| {
            layers::build(&ModelSpec { input: vec![2, 2], layers: layers.into(), ..digits() }, 1)
        };
        let two = LayerSpec::Residual {
            name: "two".into(),
            layers: [table("a", 7)].into(),
            shortcut: vec![table("b", 5)],
            activation: Activation::None,
        };
        assert_eq!(built(vec![rows.clone(), two]).unwrap().vocabulary, 5);
        for layers in
            [vec![table("a", 7), table("table", 7)], vec![dense("a", 4, Activation::Relu), table("table", 7)]]
        {
            let error = built(layers).unwrap_err().to_string();
            assert!(
                error.starts_with("layer table takes the input's whole numbers (put it first)"),
                "{error}"
            );
        }
    }

    #[test]
    fn output_padding_stays_below_stride_or_dilation() {
        let error = |stride: &[usize], dilation: usize, output_padding: &[usize]| {
            let layer = LayerSpec::ConvTranspose {
                name: "up".into(),
                filters: 2,
                kernel: Extent::Every(3),
                stride: Extent::Each(stride.into()),
                padding: Extent::Every(0),
                output_padding: Extent::Each(output_padding.into()),
                dilation: Extent::Every(dilation),
                groups: 1,
                activation: Activation::None,
                bias: false,
            };
            let input = [4; 3][..=stride.len()].to_vec();
            let spec = ModelSpec { input, loss: Loss::Huber, layers: [layer].into(), ..digits() };
            parameter_shapes(&spec).err().map(|error| error.to_string())
        };
        let refused = "layer up takes an output_padding below its stride or its dilation, but gets [4, 4";
        assert!(error(&[1], 1, &[1]).unwrap().starts_with(refused));
        assert!(error(&[2, 2], 2, &[2, 1]).unwrap().starts_with(refused));
        assert!(error(&[2, 1], 1, &[1, 1]).unwrap().starts_with(refused));
        assert_eq!(error(&[2], 1, &[1]), None);
        assert_eq!(error(&[1, 1], 3, &[2, 0]), None);
    }

    #[test]
    fn attention_over_too_many_tokens_is_refused() {
        let attention = LayerSpec::Attention { name: "attention".into(), heads: 2, causal: true };
        let spec = ModelSpec { input: vec![16_384, 2], layers: [attention].into(), ..digits() };
        let error = parameter_shapes(&spec).unwrap_err().to_string();
        assert_eq!(error, "layer attention makes the model larger than 268435456 elements");
    }

    #[test]
    fn layers_that_cannot_be_are_refused() {
        let error = |input: &[usize], layer| {
            let spec = ModelSpec { input: input.into(), layers: [layer].into(), ..digits() };
            parameter_shapes(&spec).unwrap_err().to_string()
        };
        let max_pool = |padding| LayerSpec::MaxPool {
            name: "pool".into(),
            kernel: Extent::Every(2),
            stride: None,
            padding: Padding::Zeros(Extent::Every(padding)),
        };
        let expected = "layer pool takes padding below its window of [2, 2], but gets [1, 4, 4]";
        assert_eq!(error(&[1, 4, 4], max_pool(2)), expected);
        assert_eq!(
            error(&[1, 4], max_pool(5)),
            expected.replace("[2, 2]", "[1, 2]").replace(", 4, 4", ", 4")
        );
        let reduce = LayerSpec::Reduce { name: "sum".into(), axis: 2, how: Reduction::Sum };
        let expected = "layer sum takes samples that have an axis 2 (the first is 0), but gets [3, 4]";
        assert_eq!(error(&[3, 4], reduce), expected);
        let reshape = LayerSpec::Reshape { name: "rows".into(), shape: vec![5] };
        assert_eq!(error(&[4], reshape), "layer rows takes as many elements as [5], but gets [4]");
    }
}
