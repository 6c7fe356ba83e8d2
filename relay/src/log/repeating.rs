//! Repeats trainings that the coordinator was drawn for, one at a time and beside everything else.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures::FutureExt;
use lichen_campaign::Manifest;
use lichen_learn::Dataset;
use lichen_record::{AccountId, Cid, Evidence, RoundNumber};
use lichen_round::Repetition;
use lichen_settle::{Accused, Claim, Course, Parting, examine, repeats};
use lichen_store::{Blobs, Disk};

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
    /// What it gives, and where it parts from what was contributed; none if it could not be repeated, which was said.
    pub(crate) found: Option<(Cid, Option<Evidence>)>,
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

    async fn compute(self, repetition: Repetition) -> Result<(Cid, Option<Evidence>)> {
        if !repeats(repetition.engine) {
            bail!("it was done by another version of the engine");
        }
        let disk = self.disk.clone();
        let base = blob(&disk, &repetition.base).await?;
        let accusation = repetition.accusation;
        let trace = self.find(repetition.trace).await?;
        let before = self.find(accusation.and_then(|accusation| accusation.evidence.before)).await?;
        // Read anew each time: only the shard's samples stay in memory.
        let data = blob(&self.disk, &self.manifest.data.cid).await?;
        let compute = move || {
            let shard = Dataset::decode_samples(&data, &self.manifest, &repetition.shard)?;
            drop(data);
            let Repetition { steps, seed, learning_rate, update, trace: named, .. } = repetition;
            let course = Course { base: &base, shard: &shard, steps, seed, learning_rate };
            let claim = Claim { update, trace: named };
            let accused = accusation.as_ref().map(|accusation| Accused {
                found: accusation.found,
                evidence: &accusation.evidence,
                before: before.as_deref(),
            });
            // It waits for nothing: nobody else has a turn here.
            let repeated = examine(&self.manifest, &course, &claim, trace.as_deref(), accused, async || {});
            anyhow::Ok(repeated.now_or_never().context("it waits for something")??)
        };
        let repeated = tokio::task::spawn_blocking(compute).await??;
        let evidence = match repeated.parting {
            Some(parting) => Some(keep(&disk, parting).await?),
            None => None,
        };
        Ok((repeated.found, evidence))
    }

    /// A blob, if it is named and here.
    async fn find(&self, cid: Option<Cid>) -> Result<Option<Vec<u8>>> {
        match cid {
            Some(cid) => Ok(self.disk.get(&cid).await?),
            None => Ok(None),
        }
    }
}

/// Keeps the state that a piece begins with where others find it.
async fn keep(disk: &Disk, Parting { piece, before, after }: Parting) -> Result<Evidence> {
    let cid = before.as_deref().map(Cid::of_raw);
    if let (Some(cid), Some(before)) = (&cid, before) {
        disk.put(cid, &before).await?;
    }
    Ok(Evidence { piece, before: cid, after })
}
