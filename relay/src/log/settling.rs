//! Computes what rounds came to, for a coordinator that settles them.

use std::sync::Arc;

use anyhow::{Context, Result};
use futures::FutureExt;
use futures::lock::Mutex;
use lichen_campaign::Settlement;
use lichen_record::{Cid, RoundNumber};
use lichen_round::{Input, Outcome};
use lichen_settle::{SetAside, Settled, Settler};
use lichen_store::{Blobs, Disk};

use crate::log::campaign::Campaign;

/// A round whose result is wanted.
pub(crate) struct Aggregation {
    pub(crate) round: RoundNumber,
    /// What the round began with.
    pub(crate) base: Outcome,
    pub(crate) inputs: Vec<Input>,
}

/// What a round came to, stored here.
pub(crate) struct Computed {
    pub(crate) outcome: Outcome,
    /// The packed difference from the base, where results are told so.
    pub(crate) difference: Option<Cid>,
}

/// Computes results, one at a time.
#[derive(Clone)]
pub(crate) struct Settling {
    disk: Disk,
    /// None where contributors settle.
    settler: Option<Arc<Mutex<Settler>>>,
}

impl Settling {
    pub(crate) fn new(campaign: &Campaign, disk: Disk) -> Result<Self> {
        let settler = match campaign.manifest.rounds.settlement {
            Settlement::Coordinator => Some(Arc::new(Mutex::new(campaign.settler()?))),
            Settlement::Contributors => None,
        };
        Ok(Self { disk, settler })
    }

    /// Computes a round's result and stores it.
    pub(crate) async fn settle(self, aggregation: Aggregation) -> (RoundNumber, Result<Computed>) {
        let round = aggregation.round;
        (round, self.compute(aggregation).await)
    }

    async fn compute(self, Aggregation { round, base, inputs }: Aggregation) -> Result<Computed> {
        let settler = self.settler.context("this campaign's rounds are settled by its contributors")?;
        let bytes = blob(&self.disk, &base.result).await?;
        let state = match &base.state {
            Some(state) => Some(blob(&self.disk, state).await?),
            None => None,
        };
        let mut sum = settler.lock().await.aggregation(&bytes)?;
        drop(bytes);
        // One update at a time is in memory, if the rule is the mean.
        for Input { weight, update, steps, .. } in inputs {
            let bytes = blob(&self.disk, &update).await?;
            let work = settler.lock().await.work(steps);
            let add = move || {
                sum.add_part(weight, work, &bytes);
                sum
            };
            sum = tokio::task::spawn_blocking(add).await?;
        }
        let mut settler = settler.lock_owned().await;
        let settle = move || {
            // It waits for nothing: nobody else has a turn here.
            settler
                .settle(&base.result, state.as_deref(), sum, async || {})
                .now_or_never()
                .context("it waits for something")?
                .map_err(anyhow::Error::from)
        };
        let settled = tokio::task::spawn_blocking(settle).await??;
        let Settled { result, checkpoint, state, next_state, difference, set_aside } = settled;
        if let Some(set_aside) = set_aside {
            tell(round, &set_aside);
        }
        for (cid, made) in [(Some(result), checkpoint), (state, next_state)] {
            if let (Some(cid), Some(bytes)) = (cid, made) {
                self.disk.put(&cid, &bytes).await?;
            }
        }
        let mut packed = None;
        if let Some(bytes) = difference {
            let cid = Cid::of_raw(&bytes);
            self.disk.put(&cid, &bytes).await?;
            packed = Some(cid);
        }
        Ok(Computed { outcome: Outcome { result, state }, difference: packed })
    }
}

fn tell(round: RoundNumber, set_aside: &SetAside) {
    let SetAside { base, result } = set_aside;
    tracing::info!(
        round = round.0,
        loss = result.loss,
        accuracy = result.accuracy,
        loss_before = base.loss,
        accuracy_before = base.accuracy,
        "with this round's updates the model would be far worse"
    );
}

pub(crate) async fn blob(disk: &Disk, cid: &Cid) -> Result<Vec<u8>> {
    Ok(disk.get(cid).await?.ok_or(NotHere(*cid))?)
}

/// A blob that the log names is not here.
#[derive(Debug, thiserror::Error)]
#[error("the blob {0} is not here")]
pub(crate) struct NotHere(Cid);
