//! A round's result told as a packed difference from its base.

use alloc::vec::Vec;

use lichen_model::Parameters;

use crate::aggregate::added;
use crate::{Codec, UpdateError, difference};

/// The packed difference of a round's result from its base, and what whoever has the base makes of it.
///
/// That is not quite the result that was packed, since packing rounds: it takes its place, for everybody alike.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedDifference {
    /// The packed difference.
    pub bytes: Vec<u8>,
    /// The base with that added to it.
    pub result: Parameters,
}

impl PackedDifference {
    /// Packs how a result differs from its base; none if a difference is too large for a number.
    #[must_use]
    pub fn new(codec: Codec, base: &Parameters, result: &Parameters) -> Option<Self> {
        let packed = codec.encode_difference(&difference(base, result).ok()?).ok()?;
        Some(Self { bytes: packed.bytes, result: add(base, packed.update.values()) })
    }

    /// Adds a packed difference, which comes from outside, to a base. Compare the id of what this gives with the one wanted.
    ///
    /// # Errors
    /// [`UpdateError`] if the bytes are no packed difference of this model.
    pub fn apply(codec: Codec, base: &Parameters, bytes: &[u8]) -> Result<Parameters, UpdateError> {
        Ok(add(base, codec.decode_difference(bytes, base.elements())?.values()))
    }
}

fn add(base: &Parameters, values: &[f32]) -> Parameters {
    added(base.clone(), values.iter().copied().map(f64::from))
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;

    use lichen_campaign::Encoding;
    use lichen_model::Tensor;
    use proptest::prelude::*;

    use super::*;

    const INT8: Codec = Codec::new(Encoding::Int8);

    fn parameters(values: Vec<f32>) -> Parameters {
        let mut parameters = Parameters::new();
        parameters.insert("w".into(), Tensor::new(vec![values.len()], values).unwrap()).unwrap();
        parameters
    }

    fn bits(parameters: &Parameters) -> Vec<u32> {
        parameters.iter().flat_map(|(_name, tensor)| tensor.data()).map(|value| value.to_bits()).collect()
    }

    proptest! {
        #[test]
        fn whoever_has_the_base_gets_the_same_bits(
            pairs in proptest::collection::vec((-10f32..10.0, -0.5f32..0.5), 1..700),
        ) {
            let base = parameters(pairs.iter().map(|(value, _change)| *value).collect());
            let result = parameters(pairs.iter().map(|(value, change)| value + change).collect());
            let packed = PackedDifference::new(INT8, &base, &result).unwrap();
            let applied = PackedDifference::apply(INT8, &base, &packed.bytes).unwrap();
            prop_assert_eq!(bits(&applied), bits(&packed.result));
            let [wanted, got] = [&result, &applied].map(bits);
            // No further off than half a step of the largest change, and what two roundings to 32 bits are worth.
            let largest = pairs.iter().fold(0f32, |most, (_value, change)| most.max(change.abs()));
            for (wanted, got) in wanted.into_iter().zip(got) {
                let off = (f32::from_bits(wanted) - f32::from_bits(got)).abs();
                prop_assert!(off <= largest / 127.0 * 0.51 + 4e-6, "{} of {}", off, largest);
            }
        }

        #[test]
        fn junk_is_no_difference(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(PackedDifference::apply(INT8, &parameters(vec![1.0; 8]), &bytes).is_err());
        }
    }

    #[test]
    fn few_changes_take_few_bytes() {
        let base = parameters(vec![1.0; 10_000]);
        let changed = |every: usize| {
            parameters((0..10_000).map(|place| if place % every == 0 { 1.5 } else { 1.0 }).collect())
        };
        let length = |every: usize| PackedDifference::new(INT8, &base, &changed(every)).unwrap().bytes.len();
        assert!(length(20) < 2_000, "{} bytes for 500 changes", length(20));
        assert!(length(1) < 10_250, "{} bytes for 10,000", length(1));
        let few = PackedDifference::new(INT8, &base, &changed(20)).unwrap();
        assert_eq!(few.result, PackedDifference::apply(INT8, &base, &few.bytes).unwrap());
        assert_eq!(few.result, changed(20));
    }

    #[test]
    fn a_result_that_is_its_base_stays_it() {
        let base = parameters(vec![1.0, -0.0, f32::MIN_POSITIVE]);
        assert_eq!(bits(&PackedDifference::new(INT8, &base, &base).unwrap().result)[0], 1f32.to_bits());
    }

    #[test]
    fn a_difference_beyond_all_numbers_is_none() {
        let [base, result] = [-3e38f32, 3e38].map(|value| parameters(vec![value]));
        assert_eq!(PackedDifference::new(INT8, &base, &result), None);
        let other = parameters(vec![0.0, 0.0]);
        assert_eq!(PackedDifference::new(INT8, &base, &other), None, "another model's");
    }
}
