//! From the accepted updates of a round to its next checkpoint, the same bits on every machine.

mod bucketing;
mod clipping;
mod geometric;
mod held;
mod krum;
mod mean;
mod mixing;
mod points;
mod ranks;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
mod validated;

use alloc::vec::Vec;

use lichen_campaign::{AggregationRule, Encoding, Rule};
use lichen_model::{ModelError, Parameters};
use lichen_record::{Cid, MAX_BLOB};

use crate::local_work::MeanWork;
use crate::update::to_f32;
use crate::{Codec, LocalWork, Update};
use held::Held;
use mean::WeightedMean;

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

/// Computes a round's next checkpoint by the mean, from the bytes of its base and of the accepted updates, each with its
/// weight, in the order that everybody takes, and names it. The updates have every value as it is. [`Aggregation`] does so
/// update by update, by any rule, and for any codec.
///
/// # Errors
/// [`AggregateError`] if the base is no checkpoint.
pub fn aggregate_checkpoint<B: AsRef<[u8]>>(
    base: &[u8],
    accepted: &[(u32, B)],
    max_norm: f64,
) -> Result<(Cid, Vec<u8>), AggregateError> {
    let (codec, rule) = (Codec::new(Encoding::Dense), AggregationRule::default());
    let mut aggregation = Aggregation::new(base, codec, max_norm, &rule)?;
    for (samples, bytes) in accepted {
        aggregation.add(*samples, bytes.as_ref());
    }
    let checkpoint = aggregation.finish().to_safetensors();
    Ok((Cid::of_raw(&checkpoint), checkpoint))
}

/// A round's next checkpoint in the making.
///
/// The mean has one decoded update at a time in memory, however many there are. The other rules hold all of them, or as
/// many as take 256 MiB, at least three: if there are more, they draw that many, each as likely, by numbers that follow
/// from the base.
#[derive(Clone, Debug)]
pub struct Aggregation {
    base: Parameters,
    gathered: Gathered,
    codec: Codec,
    max_norm: f64,
    work: MeanWork,
}

#[derive(Clone, Debug)]
enum Gathered {
    Mean(WeightedMean),
    Held(Held),
}

impl Aggregation {
    /// Begins with the bytes of a round's base; updates are packed by this codec, none may have a greater norm than this, and
    /// the rule combines them.
    ///
    /// # Errors
    /// [`AggregateError`] if the base is no checkpoint.
    pub fn new(
        base: &[u8],
        codec: Codec,
        max_norm: f64,
        rule: &AggregationRule,
    ) -> Result<Self, AggregateError> {
        if base.len() > MAX_BLOB {
            return Err(AggregateError::BaseTooLarge(base.len()));
        }
        let parameters = Parameters::from_safetensors(base).map_err(AggregateError::Base)?;
        let elements = parameters.elements();
        let gathered = match rule.rule {
            Rule::Mean => Gathered::Mean(WeightedMean::new(elements)),
            _ => Gathered::Held(Held::new(*rule, elements, &Cid::of_raw(base))),
        };
        Ok(Self { base: parameters, gathered, codec, max_norm, work: MeanWork::default() })
    }

    /// The checkpoint that the round began with.
    #[must_use]
    pub const fn base(&self) -> &Parameters {
        &self.base
    }

    /// Takes in the round's next update with its weight, and says whether it counts.
    ///
    /// One that is no update of this model, is packed in another way, or is too long, is left out. Everybody leaves out the same
    /// ones, since that follows from the bytes alone.
    pub fn add(&mut self, samples: u32, bytes: &[u8]) -> bool {
        self.add_part(samples, LocalWork::FULL, bytes)
    }

    /// The same for an update that comes of a part of a training, and was [extended](Update::extended) to what a whole one would
    /// give: what all come to is shortened again, by what was done on average.
    pub fn add_part(&mut self, samples: u32, work: LocalWork, bytes: &[u8]) -> bool {
        let decoded = self.codec.decode_within(bytes, self.base.elements(), self.max_norm);
        let Ok(update) = decoded else { return false };
        self.work.add(samples, work);
        match &mut self.gathered {
            Gathered::Mean(mean) => mean.add(samples, &update),
            Gathered::Held(held) => held.add(samples, update),
        }
        true
    }

    /// With the rule `fltrust`: weighs the updates by what whoever aggregates has learnt itself, from the base on.
    pub fn trust(&mut self, own: Update) {
        if let Gathered::Held(held) = &mut self.gathered {
            held.trust(own);
        }
    }

    /// With the rule `zeno`: where the updates lead as they count now, which is where the loss's gradient is wanted next; none
    /// where there are none.
    #[must_use]
    pub fn heading(&mut self) -> Option<Parameters> {
        let Gathered::Held(held) = &mut self.gathered else { return None };
        Some(added(self.base.clone(), held.heading()?.into_iter()))
    }

    /// With the rule `zeno`: weighs the updates anew by that gradient, one value for each parameter.
    pub fn descend(&mut self, gradient: &[f32]) {
        if let Gathered::Held(held) = &mut self.gathered {
            held.descend(gradient);
        }
    }

    /// The next checkpoint; the base where nothing counted, or where a parameter would leave the numbers that `f32` has.
    #[must_use]
    pub fn finish(self) -> Parameters {
        match self.combine() {
            (base, Some(change)) => added(base, change.into_iter()),
            (base, None) => base,
        }
    }

    /// The base, and what becomes of the updates: one value for each parameter, or none if no update counts.
    #[must_use]
    pub fn combine(self) -> (Parameters, Option<Vec<f64>>) {
        let mut change = match self.gathered {
            Gathered::Mean(mean) => mean.combined(),
            Gathered::Held(held) => held.combined(),
        };
        if let Some(change) = &mut change {
            self.work.shorten(change);
        }
        (self.base, change)
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
    Ok(match mean.combined() {
        Some(change) => added(base.clone(), change.into_iter()),
        None => base.clone(),
    })
}

/// The base with a change to each of its parameters; the base itself where it would no longer be one of numbers.
pub(crate) fn added(base: Parameters, change: impl Iterator<Item = f64>) -> Parameters {
    let mut result = base.clone();
    let values = result.iter_mut().flat_map(|(_name, tensor)| tensor.data_mut());
    for (value, change) in values.zip(change) {
        *value = to_f32(f64::from(*value) + change);
        if !is_within(*value) {
            return base;
        }
    }
    result
}

/// Neither infinite, nor none, nor where numbers end.
pub(crate) const fn is_within(value: f32) -> bool {
    value.abs() < f32::MAX
}
