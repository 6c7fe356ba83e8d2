//! Computes what a round settles with: the aggregate, or the base where the guard turns it down.

use lichen_campaign::model_spec::TrainSpec;
use lichen_campaign::{AggregationRule, Manifest, OuterOptimizer};
use lichen_engine::EngineError;
use lichen_learn::{
    AggregateError, Aggregation, Codec, Dataset, Judge, LocalWork, OuterState, OuterStateError,
    PackedDifference, Quality, max_norm, outer_step,
};
use lichen_model::{ModelError, Parameters};
use lichen_record::{Cid, EncodeError};

use crate::Measurer;
use crate::validating::Validating;

/// Measurements remembered: of the base, of what comes of it, and of a round before.
const REMEMBERED: usize = 4;

/// Computes rounds' results for one campaign.
pub struct Settler {
    codec: Codec,
    /// None where results are told whole.
    result_codec: Option<Codec>,
    max_norm: f64,
    rule: AggregationRule,
    outer: OuterOptimizer,
    train: TrainSpec,
    /// None where the rule looks at updates alone.
    validating: Option<Validating>,
    /// None where the manifest turns it off.
    guard: Option<Guarding>,
}

struct Guarding {
    judge: Judge,
    data: Dataset,
    /// All of its samples.
    indices: Vec<u32>,
    measurer: Measurer,
    known: Vec<(Cid, Quality)>,
}

/// A round's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Settled {
    /// The checkpoint that the next round starts from.
    pub result: Cid,
    /// Its bytes; none where it is the base.
    pub checkpoint: Option<Vec<u8>>,
    /// What the outer optimiser carries over with it.
    pub state: Option<Cid>,
    /// Its bytes; none where it is the base's.
    pub next_state: Option<Vec<u8>>,
    /// Its packed difference from the base, where the manifest says that results are told so; none where it is the base.
    pub difference: Option<Vec<u8>>,
    /// Why it is the base, where the guard decided so.
    pub set_aside: Option<SetAside>,
}

/// What made the guard turn a round's aggregate down.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetAside {
    /// What the base is worth, which stays.
    pub base: Quality,
    /// What the model would have been worth.
    pub result: Quality,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettleError {
    /// The manifest's model cannot be built.
    #[error("the campaign's model: {0}")]
    Model(ModelError),
    /// A checkpoint cannot be measured.
    #[error("the checkpoint cannot be measured: {0}")]
    Engine(EngineError),
    /// What was carried over with the base is nothing that this campaign's outer optimiser carries over.
    #[error("{0}")]
    State(OuterStateError),
    /// A state cannot be written down.
    #[error("the outer optimiser's state {0}")]
    Encode(EncodeError),
}

/// The samples that settling a campaign's rounds takes, as indices into its data: where the rule of aggregation measures
/// updates, it sees every other one, from the first on, and rounds' results are measured on the rest; else they are on all.
#[must_use]
pub fn guarded(manifest: &Manifest) -> Vec<u32> {
    manifest.data.split.first_held_out(manifest.guard.samples)
}

impl Settler {
    /// For a campaign; `data` has its [`guarded`] samples and no others.
    ///
    /// # Errors
    /// [`SettleError::Model`] if the manifest's model cannot be built.
    pub fn new(manifest: &Manifest, data: Dataset) -> Result<Self, SettleError> {
        let every_other = |first: u32| (first..u32::try_from(data.len()).unwrap_or(u32::MAX)).step_by(2);
        let validating = Validating::new(manifest, data.choose(&every_other(0).collect::<Vec<_>>()));
        let data = if validating.is_some() { data.choose(&every_other(1).collect::<Vec<_>>()) } else { data };
        let indices: Vec<u32> = (0..u32::try_from(data.len()).unwrap_or(u32::MAX)).collect();
        let (_x, answers) = data.gather(&indices);
        let guard = (!data.is_empty()).then(|| Guarding {
            judge: Judge::new(&manifest.guard, &manifest.model, &answers),
            measurer: Measurer::new(&manifest.model),
            data,
            indices,
            known: Vec::new(),
        });
        let max_norm = max_norm(manifest).map_err(SettleError::Model)?;
        let codec = Codec::new(manifest.update.encoding);
        let result_codec = manifest.result_codec.map(Codec::new);
        let (rule, outer) = (manifest.aggregation, manifest.outer);
        let train = manifest.train.clone();
        Ok(Self { codec, result_codec, max_norm, rule, outer, train, validating, guard })
    }

    /// Begins a round's aggregate on the bytes of its base, by what the manifest says of updates.
    ///
    /// # Errors
    /// [`AggregateError`] if the base is no checkpoint.
    pub fn aggregation(&self, base: &[u8]) -> Result<Aggregation, AggregateError> {
        Aggregation::new(base, self.codec, self.max_norm, &self.rule)
    }

    /// How much of a full training so many steps are.
    #[must_use]
    pub fn work(&self, steps: u32) -> LocalWork {
        LocalWork::of(&self.train, steps)
    }

    /// The largest norm that an update may have.
    #[must_use]
    pub const fn max_norm(&self) -> f64 {
        self.max_norm
    }

    /// Whether a result of this worth may follow a base of that; always where there is no guard.
    #[must_use]
    pub fn accepts(&self, base: &Quality, result: &Quality) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.judge.accepts(base, result))
    }

    /// What a checkpoint is worth on the guarded samples; none where there is no guard. `turn` is called while it is
    /// measured, now and then.
    ///
    /// # Errors
    /// [`SettleError::Engine`] if it is no checkpoint of the model.
    pub async fn quality(
        &mut self,
        cid: &Cid,
        parameters: &Parameters,
        turn: impl AsyncFn(),
    ) -> Result<Option<Quality>, SettleError> {
        let Some(guard) = &mut self.guard else { return Ok(None) };
        guard.quality(cid, parameters, turn).await.map(Some)
    }

    /// The result of a round that began with this base and the bytes of what the outer optimiser carried over with it, from an
    /// aggregation of the base that all accepted updates were added to.
    ///
    /// # Errors
    /// [`SettleError::Engine`] if the base is no checkpoint of the model, [`SettleError::State`] if what was carried over is
    /// nothing of the kind.
    pub async fn settle(
        &mut self,
        base: &Cid,
        state: Option<&[u8]>,
        mut aggregation: Aggregation,
        turn: impl AsyncFn(),
    ) -> Result<Settled, SettleError> {
        if let Some(validating) = &self.validating {
            let weighed = validating.weigh(base, &mut aggregation, &turn).await;
            weighed.map_err(SettleError::Engine)?;
        }
        let of_base = self.quality(base, aggregation.base(), &turn).await?;
        let before = self.result_codec.map(|codec| (codec, aggregation.base().clone()));
        let (parameters, next) = self.step(state, aggregation)?;
        let (parameters, difference) = packed(before, parameters);
        let checkpoint = parameters.to_safetensors();
        let result = Cid::of_raw(&checkpoint);
        // The base, and what goes with it.
        let unchanged = |set_aside| Settled {
            result: *base,
            checkpoint: None,
            state: state.map(Cid::of_raw),
            next_state: None,
            difference: None,
            set_aside,
        };
        if result == *base {
            return Ok(unchanged(None));
        }
        if let (Some(guard), Some(of_base)) = (&mut self.guard, of_base) {
            let of_result = guard.quality(&result, &parameters, &turn).await?;
            if !guard.judge.accepts(&of_base, &of_result) {
                return Ok(unchanged(Some(SetAside { base: of_base, result: of_result })));
            }
        }
        let next_state = next.map(|state| state.encode()).transpose().map_err(SettleError::Encode)?;
        let state = next_state.as_deref().map(Cid::of_raw);
        Ok(Settled { result, checkpoint: Some(checkpoint), state, next_state, difference, set_aside: None })
    }

    /// The outer optimiser's step by what the updates come to; none where they come to nothing.
    fn step(
        &self,
        state: Option<&[u8]>,
        aggregation: Aggregation,
    ) -> Result<(Parameters, Option<OuterState>), SettleError> {
        let elements = aggregation.base().elements();
        let decode = |bytes| OuterState::decode(bytes, &self.outer, elements);
        let state = state.map(decode).transpose().map_err(SettleError::State)?;
        let (base, change) = aggregation.combine();
        let stepped = change.and_then(|change| outer_step(&self.outer, &base, &change, state.as_ref()));
        Ok(stepped.unwrap_or((base, state)))
    }
}

/// A result, and where results are told as packed differences from their bases, that one, which makes it another result.
fn packed(before: Option<(Codec, Parameters)>, result: Parameters) -> (Parameters, Option<Vec<u8>>) {
    let Some((codec, base)) = before.filter(|(_codec, base)| *base != result) else { return (result, None) };
    match PackedDifference::new(codec, &base, &result) {
        Some(PackedDifference { bytes, result }) => (result, Some(bytes)),
        None => (base, None),
    }
}

impl Guarding {
    async fn quality(
        &mut self,
        cid: &Cid,
        parameters: &Parameters,
        turn: impl AsyncFn(),
    ) -> Result<Quality, SettleError> {
        if let Some((_cid, quality)) = self.known.iter().find(|(known, _quality)| known == cid) {
            return Ok(*quality);
        }
        let measured = self.measurer.measure(parameters, &self.data, &self.indices, turn).await;
        let quality = measured.map_err(SettleError::Engine)?;
        if self.known.len() >= REMEMBERED {
            self.known.remove(0);
        }
        self.known.push((*cid, quality));
        Ok(quality)
    }
}
