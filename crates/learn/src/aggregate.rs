//! From the accepted updates of a round to its next checkpoint, the same bits on every machine.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::Encoding;
use lichen_model::{ModelError, Parameters};
use lichen_record::{Cid, MAX_BLOB};

use crate::{Codec, Update};

/// Why there is no aggregate.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AggregateError {
    /// The base is no checkpoint.
    #[error("the base is no checkpoint: {0}")]
    Base(ModelError),
    /// The base has more bytes than a blob may have.
    #[error("the base has {0} bytes, more than a blob may have")]
    BaseTooLarge(usize),
    /// An update has another number of values than the base has parameters.
    #[error("update {index} has {actual} values, the base {expected} parameters")]
    Count {
        /// Position of the update.
        index: usize,
        /// Parameters of the base.
        expected: usize,
        /// Values of the update.
        actual: usize,
    },
}

/// Computes a round's next checkpoint from the bytes of its base and of the accepted updates, each with its weight,
/// in the order that everybody takes, and names it. The updates have every value as it is. [`Aggregation`] does so update by
/// update, and for any codec.
///
/// # Errors
/// [`AggregateError`] if the base is no checkpoint.
pub fn aggregate_checkpoint<B: AsRef<[u8]>>(
    base: &[u8],
    accepted: &[(u32, B)],
    max_norm: f64,
) -> Result<(Cid, Vec<u8>), AggregateError> {
    let mut aggregation = Aggregation::new(base, Codec::new(Encoding::Dense), max_norm)?;
    for (samples, bytes) in accepted {
        aggregation.add(*samples, bytes.as_ref());
    }
    let checkpoint = aggregation.finish().to_safetensors();
    Ok((Cid::of_raw(&checkpoint), checkpoint))
}

/// A round's next checkpoint in the making: one decoded update at a time is in memory, however many there are.
#[derive(Clone, Debug)]
pub struct Aggregation {
    base: Parameters,
    mean: WeightedMean,
    codec: Codec,
    max_norm: f64,
}

impl Aggregation {
    /// Begins with the bytes of a round's base; updates are packed by this codec, and none may have a greater norm than this.
    ///
    /// # Errors
    /// [`AggregateError`] if the base is no checkpoint.
    pub fn new(base: &[u8], codec: Codec, max_norm: f64) -> Result<Self, AggregateError> {
        if base.len() > MAX_BLOB {
            return Err(AggregateError::BaseTooLarge(base.len()));
        }
        let base = Parameters::from_safetensors(base).map_err(AggregateError::Base)?;
        let mean = WeightedMean::new(base.elements());
        Ok(Self { base, mean, codec, max_norm })
    }

    /// The checkpoint that the round began with.
    #[must_use]
    pub const fn base(&self) -> &Parameters {
        &self.base
    }

    /// Takes in the round's next update with its weight, and says whether it counts.
    ///
    /// One that is no update of this model, is packed in another way, or is too long, is left out. Everybody leaves out the same ones, since that
    /// follows from the bytes alone.
    pub fn add(&mut self, samples: u32, bytes: &[u8]) -> bool {
        match self.codec.decode_within(bytes, self.base.elements(), self.max_norm) {
            Ok(update) => {
                self.mean.add(samples, &update);
                true
            }
            Err(_left_out) => false,
        }
    }

    /// The next checkpoint; the base where nothing counted, or where a parameter would leave the numbers that `f32` has.
    #[must_use]
    pub fn finish(self) -> Parameters {
        self.mean.added_to(self.base)
    }
}

/// Adds the mean of the updates, weighted by their numbers of samples, to the base. The order counts: sums of
/// floating-point numbers depend on it.
///
/// # Errors
/// [`AggregateError::Count`] if an update is not one of this model.
pub fn aggregate(base: &Parameters, accepted: &[(u32, &Update)]) -> Result<Parameters, AggregateError> {
    let expected = base.elements();
    let mut mean = WeightedMean::new(expected);
    for (index, (samples, update)) in accepted.iter().enumerate() {
        let actual = update.values().len();
        if actual != expected {
            return Err(AggregateError::Count { index, expected, actual });
        }
        mean.add(*samples, update);
    }
    Ok(mean.added_to(base.clone()))
}

#[derive(Clone, Debug)]
struct WeightedMean {
    sums: Vec<f64>,
    weight: f64,
}

impl WeightedMean {
    fn new(count: usize) -> Self {
        Self { sums: vec![0.0; count], weight: 0.0 }
    }

    fn add(&mut self, samples: u32, update: &Update) {
        let weight = f64::from(samples);
        self.weight += weight;
        for (sum, value) in self.sums.iter_mut().zip(update.values()) {
            *sum += weight * f64::from(*value);
        }
    }

    /// The base where it would no longer be one of numbers.
    fn added_to(&self, base: Parameters) -> Parameters {
        if self.weight == 0.0 {
            return base;
        }
        let mut result = base.clone();
        let values = result.iter_mut().flat_map(|(_name, tensor)| tensor.data_mut());
        for (value, sum) in values.zip(&self.sums) {
            *value = to_f32(f64::from(*value) + sum / self.weight);
            if !is_within(*value) {
                return base;
            }
        }
        result
    }
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to f32 is what this is for")]
const fn to_f32(value: f64) -> f32 {
    value as f32
}

/// Neither infinite, nor none, nor where numbers end.
const fn is_within(value: f32) -> bool {
    value.abs() < f32::MAX
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::format;

    use lichen_model::Tensor;
    use proptest::prelude::*;

    use super::*;

    fn parameters(values: &[f32]) -> Parameters {
        let mut parameters = Parameters::new();
        let (first, second) = values.split_at(values.len() / 2);
        for (name, part) in [("a", first), ("b", second)] {
            parameters.insert(name.into(), Tensor::new(vec![part.len()], part.to_vec()).unwrap()).unwrap();
        }
        parameters
    }

    fn values(parameters: &Parameters) -> Vec<f32> {
        parameters.iter().flat_map(|(_name, tensor)| tensor.data().to_vec()).collect()
    }

    fn update(values: &[f32]) -> Update {
        Update::new(values.to_vec()).unwrap()
    }

    #[test]
    fn samples_weigh() {
        let base = parameters(&[1.0, 10.0]);
        let result = aggregate(&base, &[(1, &update(&[4.0, 0.0])), (3, &update(&[0.0, 8.0]))]).unwrap();
        assert_eq!(values(&result), [2.0, 16.0]);
    }

    #[test]
    fn without_updates_the_base_stays() {
        let base = parameters(&[1.0, -0.0]);
        assert_eq!(aggregate(&base, &[]).unwrap().to_safetensors(), base.to_safetensors());
        assert_eq!(aggregate(&base, &[(0, &update(&[1.0, 1.0]))]).unwrap(), base);
    }

    #[test]
    fn an_update_of_another_model_is_named() {
        let refused = aggregate(&parameters(&[1.0, 2.0]), &[(1, &update(&[1.0, 1.0])), (1, &update(&[1.0]))]);
        assert_eq!(refused, Err(AggregateError::Count { index: 1, expected: 2, actual: 1 }));
    }

    #[test]
    fn what_leaves_the_finite_numbers_leaves_the_base() {
        let base = parameters(&[1.0, f32::MIN / 2.0]);
        for hostile in [[f32::MAX, 0.0], [0.0, f32::MIN], [f32::MAX, f32::MIN], [0.0, f32::MIN / 2.0]] {
            let result = aggregate(&base, &[(u32::MAX, &update(&hostile))]).unwrap();
            assert_eq!(result, base, "{hostile:?}");
        }
        let large = aggregate(&base, &[(1, &update(&[1e38, 1e38]))]).unwrap();
        assert_ne!(large, base, "it is large, but a number");
    }

    #[test]
    fn what_is_too_long_is_left_out() {
        let bytes = parameters(&[1.0, 2.0]).to_safetensors();
        let blob = |values: &[f32]| update(values).encode().unwrap();
        let (good, long, largest) = (blob(&[0.5, 0.5]), blob(&[3.0, 4.1]), blob(&[f32::MAX, f32::MIN]));
        let accepted: [(u32, &[u8]); 3] = [(9, &long), (7, &good), (11, &largest)];
        let bounded = aggregate_checkpoint(&bytes, &accepted, 5.0).unwrap();
        assert_eq!(bounded, aggregate_checkpoint(&bytes, &[(7, &good)], 5.0).unwrap());
        assert_eq!(aggregate_checkpoint(&bytes, &[(9, &long)], 5.0).unwrap(), (Cid::of_raw(&bytes), bytes));
    }

    #[test]
    fn a_checkpoint_leaves_out_what_is_no_update() {
        let base = parameters(&[1.0, 2.0]);
        let good = update(&[0.5, 0.5]).encode().unwrap();
        let other_model = update(&[9.0, 9.0, 9.0]).encode().unwrap();
        let mut hostile = update(&[9.0, 9.0]).encode().unwrap();
        let nan = hostile.windows(4).position(|window| window == 9f32.to_le_bytes()).unwrap();
        hostile[nan..nan + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        let bytes = base.to_safetensors();
        let accepted: [(u32, &[u8]); 4] = [(5, b"junk"), (7, &good), (9, &other_model), (11, &hostile)];
        let (cid, checkpoint) = aggregate_checkpoint(&bytes, &accepted, 100.0).unwrap();
        let alone = aggregate_checkpoint(&bytes, &[(7, &good)], 100.0).unwrap();
        assert_eq!((cid, &checkpoint), (alone.0, &alone.1));
        assert_eq!(values(&Parameters::from_safetensors(&checkpoint).unwrap()), [1.5, 2.5]);
        assert!(cid.matches(&checkpoint));
    }

    #[test]
    fn a_round_of_junk_ends_with_its_base() {
        let bytes = parameters(&[1.0, 2.0]).to_safetensors();
        let (cid, checkpoint) = aggregate_checkpoint(&bytes, &[(1, b"junk")], 100.0).unwrap();
        assert_eq!((cid, checkpoint), (Cid::of_raw(&bytes), bytes));
    }

    #[test]
    fn a_base_that_is_no_checkpoint_is_refused() {
        let none: [(u32, &[u8]); 0] = [];
        assert!(matches!(aggregate_checkpoint(b"junk", &none, 1.0), Err(AggregateError::Base(_))));
        let large = vec![0; MAX_BLOB + 1];
        assert_eq!(aggregate_checkpoint(&large, &none, 1.0), Err(AggregateError::BaseTooLarge(MAX_BLOB + 1)));
    }

    fn finite() -> impl Strategy<Value = f32> {
        proptest::num::f32::NORMAL | proptest::num::f32::ZERO | proptest::num::f32::SUBNORMAL
    }

    /// A base of some size and several updates of the same size with weights.
    fn rounds() -> impl Strategy<Value = (Vec<f32>, Vec<(u32, Vec<f32>)>)> {
        (1usize..20).prop_flat_map(|count| {
            let updates =
                proptest::collection::vec((any::<u32>(), proptest::collection::vec(finite(), count)), 0..6);
            (proptest::collection::vec(finite(), count), updates)
        })
    }

    proptest! {
        #[test]
        fn bytes_and_parameters_give_the_same((base, updates) in rounds()) {
            let base = parameters(&base);
            let updates: Vec<_> = updates.iter().map(|(samples, values)| (*samples, update(values))).collect();
            let borrowed: Vec<_> = updates.iter().map(|(samples, update)| (*samples, update)).collect();
            let encoded: Vec<_> =
                updates.iter().map(|(samples, update)| (*samples, update.encode().unwrap())).collect();
            let expected = aggregate(&base, &borrowed).unwrap().to_safetensors();
            let (cid, checkpoint) = aggregate_checkpoint(&base.to_safetensors(), &encoded, f64::INFINITY).unwrap();
            prop_assert_eq!(cid, Cid::of_raw(&expected));
            prop_assert_eq!(&checkpoint, &expected);
            // Whatever finite updates came, the next round can start from the result.
            prop_assert!(Parameters::from_safetensors(&checkpoint).is_ok());
        }

        #[test]
        #[expect(clippy::cast_possible_truncation, reason = "the nearest f32 is what is expected")]
        fn equal_updates_give_base_plus_update(base in proptest::collection::vec(-1e6f32..1e6, 6), change in proptest::collection::vec(-1e6f32..1e6, 6), weights in proptest::collection::vec(1u32..65536, 1..8)) {
            let change = update(&change);
            let accepted: Vec<_> = weights.iter().map(|samples| (*samples, &change)).collect();
            let result = aggregate(&parameters(&base), &accepted).unwrap();
            let expected: Vec<f32> = base
                .iter()
                .zip(change.values())
                .map(|(value, change)| (f64::from(*value) + f64::from(*change)) as f32)
                .collect();
            prop_assert_eq!(values(&result), expected);
        }

        #[test]
        fn the_mean_lies_between_the_updates((base, updates) in rounds()) {
            let zero = parameters(&vec![0.0; base.len()]);
            let weighted: Vec<_> = updates.iter().map(|(samples, values)| (samples.max(&1), update(values))).collect();
            let borrowed: Vec<_> = weighted.iter().map(|(samples, update)| (**samples, update)).collect();
            let result = values(&aggregate(&zero, &borrowed).unwrap());
            for (index, value) in result.iter().enumerate() {
                let column = || weighted.iter().map(|(_samples, update)| update.values()[index]);
                let (least, most) = (column().fold(f32::MAX, f32::min), column().fold(f32::MIN, f32::max));
                let is_between = weighted.is_empty() || (*value >= least && *value <= most);
                prop_assert!(is_between, "{}", format!("{value} is not between {least} and {most}"));
            }
        }
    }
}
