//! Measures settled checkpoints against the goal, in campaigns that end when it is reached. Beside everything else: nothing
//! waits for it but, where that may be the end, the next round.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::lock::Mutex;
use lichen_learn::Quality;
use lichen_model::Parameters;
use lichen_record::{Cid, RoundNumber};
use lichen_settle::Gauge;
use lichen_store::Disk;

use crate::log::campaign::Campaign;
use crate::log::settling::blob;

/// A settled checkpoint that is to be measured.
#[derive(Clone, Copy)]
pub(crate) struct Measurement {
    /// The round that it came out of.
    pub(crate) round: RoundNumber,
    pub(crate) checkpoint: Cid,
    /// The accuracy that is the goal.
    pub(crate) target: f64,
}

/// A measured checkpoint.
pub(crate) struct Measured {
    pub(crate) of: Measurement,
    /// None if it could not be measured, which was said.
    pub(crate) quality: Option<Quality>,
    pub(crate) reaches_goal: bool,
}

/// Measures one at a time.
#[derive(Clone)]
pub(crate) struct Goal {
    disk: Disk,
    /// None where the goal ends nothing.
    gauge: Option<Arc<Mutex<Gauge>>>,
}

impl Goal {
    pub(crate) fn new(campaign: &Campaign, disk: Disk) -> Result<Self> {
        let gauge = Gauge::new(&campaign.manifest, &campaign.data_bytes)?;
        Ok(Self { disk, gauge: gauge.map(|gauge| Arc::new(Mutex::new(gauge))) })
    }

    /// Measures a checkpoint. One that cannot be measured has not been seen to reach the goal, and rounds go on.
    pub(crate) async fn measure(self, of: Measurement) -> Measured {
        let (round, checkpoint) = (of.round.0, of.checkpoint);
        match self.compute(of.checkpoint, of.target).await {
            Ok((quality, reaches_goal)) => {
                let accuracy = quality.accuracy;
                tracing::info!(round, accuracy, reaches_goal, "a settled checkpoint was measured");
                Measured { of, quality: Some(quality), reaches_goal }
            }
            Err(error) => {
                tracing::error!(round, %checkpoint, "cannot measure this round's checkpoint: {error:#}");
                Measured { of, quality: None, reaches_goal: false }
            }
        }
    }

    async fn compute(self, checkpoint: Cid, target: f64) -> Result<(Quality, bool)> {
        let gauge = self.gauge.context("this campaign does not end at its goal")?;
        let bytes = blob(&self.disk, &checkpoint).await?;
        let mut gauge = gauge.lock_owned().await;
        let measure = move || {
            let parameters = Parameters::from_safetensors(&bytes)?;
            // It waits for nothing: nobody else has a turn here.
            let measured = gauge.measure(&parameters, async || {}).now_or_never();
            let quality = measured.context("it waits for something")??;
            anyhow::Ok((quality, Gauge::reaches(&quality, target)))
        };
        tokio::task::spawn_blocking(measure).await?
    }
}
