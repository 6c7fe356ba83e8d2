//! Whether a settled checkpoint reaches the goal that ends a campaign.

use lichen_campaign::Manifest;
use lichen_learn::{Dataset, DatasetError, Quality};
use lichen_model::Parameters;

use crate::{Measurer, SettleError};

/// Measures settled checkpoints for a campaign that ends at an accuracy, on all held-out samples that no rule of
/// aggregation sees. Whoever does so finds
/// the same bits.
pub struct Gauge {
    measurer: Measurer,
    data: Dataset,
    indices: Vec<u32>,
}

impl Gauge {
    /// For a campaign with this data file; none where its goal ends nothing.
    ///
    /// # Errors
    /// [`DatasetError`] if the file is not the manifest's.
    pub fn new(manifest: &Manifest, data: &[u8]) -> Result<Option<Self>, DatasetError> {
        if manifest.ends_at().is_none() {
            return Ok(None);
        }
        let data = Dataset::decode_samples(data, manifest, &manifest.measured())?;
        let indices = (0..u32::try_from(data.len()).unwrap_or(u32::MAX)).collect();
        Ok(Some(Self { measurer: Measurer::new(&manifest.model), data, indices }))
    }

    /// What a checkpoint is worth. `turn` is called while it is measured, now and then.
    ///
    /// # Errors
    /// [`SettleError::Engine`] if it is no checkpoint of the model.
    pub async fn measure(
        &mut self,
        parameters: &Parameters,
        turn: impl AsyncFn(),
    ) -> Result<Quality, SettleError> {
        let measured = self.measurer.measure(parameters, &self.data, &self.indices, turn).await;
        measured.map_err(SettleError::Engine)
    }

    /// Whether a checkpoint of this worth reaches the accuracy at which the campaign ends.
    #[must_use]
    pub fn reaches(quality: &Quality, target: f64) -> bool {
        quality.accuracy >= target
    }
}
