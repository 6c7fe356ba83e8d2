//! Computes what a round settles with: the aggregate, or the base where the guard turns it down.

use lichen_campaign::{AggregationRule, Manifest};
use lichen_engine::EngineError;
use lichen_learn::{AggregateError, Aggregation, Codec, Dataset, Judge, Quality, max_norm};
use lichen_model::{ModelError, Parameters};
use lichen_record::Cid;

use crate::Measurer;

/// Measurements remembered: of the base, of what comes of it, and of a round before.
const REMEMBERED: usize = 4;

/// Computes rounds' results for one campaign.
pub struct Settler {
    codec: Codec,
    max_norm: f64,
    rule: AggregationRule,
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
}

/// The samples that rounds' results of a campaign are measured on, as indices into its data.
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
        Ok(Self { codec, max_norm, rule: manifest.aggregation, guard })
    }

    /// Begins a round's aggregate on the bytes of its base, by what the manifest says of updates.
    ///
    /// # Errors
    /// [`AggregateError`] if the base is no checkpoint.
    pub fn aggregation(&self, base: &[u8]) -> Result<Aggregation, AggregateError> {
        Aggregation::new(base, self.codec, self.max_norm, &self.rule)
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

    /// The result of a round that began with this base, from an aggregation of it that all accepted updates were added to.
    ///
    /// # Errors
    /// [`SettleError::Engine`] if the base is no checkpoint of the model.
    pub async fn settle(
        &mut self,
        base: &Cid,
        aggregation: Aggregation,
        turn: impl AsyncFn(),
    ) -> Result<Settled, SettleError> {
        let of_base = self.quality(base, aggregation.base(), &turn).await?;
        let parameters = aggregation.finish();
        let checkpoint = parameters.to_safetensors();
        let result = Cid::of_raw(&checkpoint);
        if result == *base {
            return Ok(Settled { result, checkpoint: None, set_aside: None });
        }
        if let (Some(guard), Some(of_base)) = (&mut self.guard, of_base) {
            let of_result = guard.quality(&result, &parameters, &turn).await?;
            if !guard.judge.accepts(&of_base, &of_result) {
                let set_aside = Some(SetAside { base: of_base, result: of_result });
                return Ok(Settled { result: *base, checkpoint: None, set_aside });
            }
        }
        Ok(Settled { result, checkpoint: Some(checkpoint), set_aside: None })
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
