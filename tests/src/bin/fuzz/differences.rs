//! The decoder of packed differences, from which tabs make checkpoints.

#![expect(clippy::unwrap_used, reason = "a target panics to report a finding")]

use lichen_campaign::Encoding;
use lichen_learn::{Codec, PackedDifference};
use lichen_model::{Parameters, Tensor};

use crate::targets::Target;

/// More than one block, the last of which ends within a byte.
const VALUES: u16 = 512 + 21;

/// Whatever a difference is, what comes of it is a checkpoint, and the same each time.
pub(crate) fn difference() -> Target {
    let codec = Codec::new(Encoding::Int8);
    let base = parameters(|place| f32::from(place) - 200.0);
    let few = parameters(|place| f32::from(place) - f32::from(200 - u16::from(place % 20 == 0)));
    let all = parameters(|place| f32::from(place) * 1.01 - 200.0);
    let valid = [few, all].map(|result| PackedDifference::new(codec, &base, &result).unwrap().bytes);
    Target {
        name: "difference",
        cap: 1024,
        valid: valid.to_vec(),
        accepts: Box::new(move |input| {
            let Ok(result) = PackedDifference::apply(codec, &base, input) else { return false };
            let checkpoint = result.to_safetensors();
            assert_eq!(Parameters::from_safetensors(&checkpoint).unwrap(), result);
            assert_eq!(PackedDifference::apply(codec, &base, input).unwrap(), result);
            true
        }),
    }
}

fn parameters(value: impl Fn(u16) -> f32) -> Parameters {
    let mut parameters = Parameters::new();
    let values = (0..VALUES).map(value).collect();
    parameters.insert("w".into(), Tensor::new(vec![VALUES.into()], values).unwrap()).unwrap();
    parameters
}
