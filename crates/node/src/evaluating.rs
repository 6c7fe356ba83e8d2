//! What settled checkpoints are worth on held-out samples: measured, shown and kept.

use std::rc::Rc;

use lichen_bridge::Event;
use lichen_learn::Quality;
use lichen_model::Parameters;
use lichen_record::{CampaignId, Cid, RoundNumber, decode, encode};
use lichen_settle::Measurer;
use lichen_store::Blobs;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::settling::{self, Settling};
use crate::showing::Of;
use crate::{Platform, blobs};

/// Longest stored evaluation, in bytes.
const MAX_STORED: usize = 1024;

/// Measures a checkpoint on the held-out samples, shows the result and keeps it.
pub(crate) async fn evaluate<P: Platform>(
    context: &Rc<Context<P>>,
    settling: &Settling,
    round: RoundNumber,
    checkpoint: Cid,
) {
    // It was here when this was asked for. If it is gone, so is its round, and a newer one is measured instead.
    let Ok(Some(bytes)) = context.platform.blobs().get(&checkpoint).await else { return };
    let Ok(parameters) = Parameters::from_safetensors(&bytes) else { return };
    let Some(result) = measure(context, settling, &checkpoint, &parameters).await else { return };
    // What is no number cannot be shown, and no later training makes it one.
    if !result.loss.is_finite() {
        return;
    }
    let evaluated = Evaluated {
        round: (round.0 > 0).then_some(round.0),
        checkpoint,
        loss: result.loss,
        accuracy: result.accuracy,
        samples: result.samples,
    };
    (context.out)(evaluated.into());
    if let Ok(bytes) = encode(&evaluated) {
        // Lost, it is measured again.
        let _kept = context.platform.save(&evaluation_name(context.setup.campaign), &bytes).await;
    }
    let of = Of { round: evaluated.round, checkpoint, count: false };
    let setup = &context.setup;
    if let Ok(dataset) = blobs::dataset(context).await {
        // What cannot be shown is no reason to stop: it is there to be looked at only.
        let _unshown = setup
            .showing
            .show(&*context.platform, &context.out, &setup.manifest, &dataset, (of, &parameters))
            .await;
    }
}

async fn measure<P: Platform>(
    context: &Rc<Context<P>>,
    settling: &Settling,
    checkpoint: &Cid,
    parameters: &Parameters,
) -> Option<Quality> {
    let turn = async || context.platform.yield_now().await;
    let manifest = &context.setup.manifest;
    // Where the guard looks at all of them, it knows already what the round came to.
    if manifest.data.split.held_out().len() <= manifest.guard.samples as usize {
        let mut settler = settling.settler.lock().await;
        return settling::made(context, &mut settler)
            .await?
            .quality(checkpoint, parameters, turn)
            .await
            .ok()?;
    }
    let dataset = blobs::dataset(context).await.ok()?;
    let mut measurer = settling.measurer.lock().await;
    let measurer = measurer.get_or_insert_with(|| Measurer::new(&manifest.model));
    measurer.measure(parameters, &dataset, &manifest.measured(), turn).await.ok()
}

/// Where the last evaluation of a campaign's checkpoint is kept.
pub(crate) fn evaluation_name(campaign: CampaignId) -> String {
    format!("evaluation/{campaign}")
}

/// A settled checkpoint measured on held-out data, as it is kept.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evaluated {
    pub(crate) round: Option<u64>,
    pub(crate) checkpoint: Cid,
    pub(crate) loss: f64,
    pub(crate) accuracy: f64,
    pub(crate) samples: u32,
}

impl From<Evaluated> for Event {
    fn from(evaluated: Evaluated) -> Self {
        let Evaluated { round, checkpoint, loss, accuracy, samples } = evaluated;
        Self::Evaluated { round, checkpoint, loss, accuracy, samples }
    }
}

/// The last evaluation that this device has kept.
pub(crate) async fn saved_evaluation<P: Platform>(platform: &P, campaign: CampaignId) -> Option<Evaluated> {
    let (_name, bytes) = platform.load(&evaluation_name(campaign)).await.ok()?.pop()?;
    decode(&bytes, MAX_STORED).ok()
}
