//! Repeats trainings that the coordinator was drawn for, one at a time and beside everything else.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::FutureExt;
use lichen_campaign::Manifest;
use lichen_learn::Dataset;
use lichen_record::{AccountId, Cid, RoundNumber};
use lichen_round::Repetition;
use lichen_settle::{Course, repeat, repeats};
use lichen_store::Disk;

use crate::log::campaign::Campaign;
use crate::log::settling::blob;

/// Repeats trainings.
#[derive(Clone)]
pub(crate) struct Repeating {
    disk: Disk,
    manifest: Arc<Manifest>,
}

/// A training that was repeated.
pub(crate) struct Repeated {
    pub(crate) round: RoundNumber,
    pub(crate) contributor: AccountId,
    /// The update that it gives; none if it could not be repeated, which was said.
    pub(crate) found: Option<Cid>,
}

impl Repeating {
    pub(crate) fn new(campaign: &Campaign, disk: Disk) -> Self {
        Self { disk, manifest: Arc::new(campaign.manifest.clone()) }
    }

    /// Repeats a training.
    pub(crate) async fn repeat(self, repetition: Repetition) -> Repeated {
        let (round, contributor) = (repetition.round, repetition.contributor);
        let found = match self.compute(repetition).await {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::warn!(round = round.0, %contributor, "cannot repeat a training: {error:#}");
                None
            }
        };
        Repeated { round, contributor, found }
    }

    async fn compute(self, repetition: Repetition) -> Result<Cid> {
        if !repeats(repetition.engine) {
            bail!("it was done by another version of the engine");
        }
        let base = blob(&self.disk, &repetition.base).await?;
        // Read anew each time: only the shard's samples stay in memory.
        let data = blob(&self.disk, &self.manifest.data.cid).await?;
        let compute = move || {
            let shard = Dataset::decode_samples(&data, &self.manifest, &repetition.shard)?;
            drop(data);
            let Repetition { steps, seed, .. } = repetition;
            let course = Course { base: &base, shard: &shard, steps, seed };
            // It waits for nothing: nobody else has a turn here.
            let repeated = repeat(&self.manifest, &course, async || {}).now_or_never();
            anyhow::Ok(repeated.context("it waits for something")??)
        };
        tokio::task::spawn_blocking(compute).await?
    }
}
