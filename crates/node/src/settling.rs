//! What rounds come to, and what checkpoints are worth.

use std::cell::Cell;
use std::rc::Rc;

use futures::lock::Mutex;
use lichen_bridge::Event;
use lichen_learn::{Aggregation, Quality};
use lichen_model::Parameters;
use lichen_record::{Cid, RoundNumber, encode};
use lichen_settle::{Measurer, SetAside, Settled, Settler, guarded};
use lichen_store::Blobs;

use crate::Platform;
use crate::blobs;
use crate::jobs::{Done, Shared};
use crate::showing::Of;
use crate::view::{Evaluated, evaluation_name};

/// What settling rounds needs, made when it is first needed.
#[derive(Default)]
pub(crate) struct Settling {
    settler: Mutex<Option<Settler>>,
    measurer: Mutex<Option<Measurer>>,
    /// The last round whose aggregate was turned down here.
    set_aside: Cell<Option<(RoundNumber, SetAside)>>,
}

/// Computes a round's result from its updates with their weights, and puts it onto this device.
pub(crate) async fn combine<P: Platform>(
    shared: &Rc<Shared<P>>,
    round: RoundNumber,
    base: Cid,
    updates: &[(u32, Vec<u8>)],
) -> Option<Cid> {
    let mut aggregation =
        Aggregation::new(&blobs::bytes(shared, &base).await?, shared.setup.max_norm).ok()?;
    for (samples, update) in updates {
        aggregation.add(*samples, update);
    }
    let settled = {
        let mut settler = shared.settling.settler.lock().await;
        let settler = made(shared, &mut settler).await?;
        settler.settle(&base, aggregation, async || shared.platform.yield_now().await).await.ok()?
    };
    let Settled { result, checkpoint, set_aside } = settled;
    if let Some(set_aside) = set_aside {
        shared.settling.set_aside.set(Some((round, set_aside)));
    }
    if let Some(checkpoint) = checkpoint
        && !shared.keep(&result, &checkpoint).await
    {
        return None;
    }
    shared.mesh.offer(result);
    shared.mesh.announce();
    Some(result)
}

/// What the page hears of a round that changed nothing.
pub(crate) fn set_aside<P: Platform>(shared: &Shared<P>, round: RoundNumber) -> Event {
    let found = shared.settling.set_aside.get().filter(|(of, _measured)| *of == round);
    let has_accuracy = shared.setup.manifest.data.classes.is_some();
    let accuracy = found.filter(|_found| has_accuracy).map(|(_round, measured)| measured);
    Event::SetAside {
        round: round.0,
        would_be: accuracy.map(|measured| measured.result.accuracy),
        stays: accuracy.map(|measured| measured.base.accuracy),
    }
}

/// Measures a checkpoint on the held-out samples, shows the result and keeps it.
pub(crate) async fn evaluate<P: Platform>(
    shared: Rc<Shared<P>>,
    round: RoundNumber,
    checkpoint: Cid,
) -> Done<P> {
    // It was here when this was asked for. If it is gone, so is its round, and a newer one is measured instead.
    let Ok(Some(bytes)) = shared.platform.blobs().get(&checkpoint).await else { return Done::Nothing };
    let Ok(parameters) = Parameters::from_safetensors(&bytes) else { return Done::Nothing };
    let Some(result) = measure(&shared, &checkpoint, &parameters).await else { return Done::Nothing };
    // What is no number cannot be shown, and no later training makes it one.
    if !result.loss.is_finite() {
        return Done::Nothing;
    }
    let evaluated = Evaluated {
        round: (round.0 > 0).then_some(round.0),
        checkpoint,
        loss: result.loss,
        accuracy: result.accuracy,
        samples: result.samples,
    };
    (shared.out)(evaluated.into());
    if let Ok(bytes) = encode(&evaluated) {
        // Lost, it is measured again.
        let _kept = shared.platform.save(&evaluation_name(shared.setup.campaign), &bytes).await;
    }
    let of = Of { round: evaluated.round, checkpoint, count: false };
    let setup = &shared.setup;
    if let Ok(dataset) = blobs::dataset(&shared).await {
        // What cannot be shown is no reason to stop: it is there to be looked at only.
        let _unshown = setup
            .showing
            .show(&*shared.platform, &shared.out, &setup.manifest, &dataset, (of, &parameters))
            .await;
    }
    Done::Nothing
}

async fn measure<P: Platform>(
    shared: &Rc<Shared<P>>,
    checkpoint: &Cid,
    parameters: &Parameters,
) -> Option<Quality> {
    let turn = async || shared.platform.yield_now().await;
    let held_out = shared.setup.rules.split.held_out();
    // Where the guard looks at all of them, it knows already what the round came to.
    if held_out.len() <= shared.setup.manifest.guard.samples as usize {
        let mut settler = shared.settling.settler.lock().await;
        return made(shared, &mut settler).await?.quality(checkpoint, parameters, turn).await.ok()?;
    }
    let dataset = blobs::dataset(shared).await.ok()?;
    let mut measurer = shared.settling.measurer.lock().await;
    let measurer = measurer.get_or_insert_with(|| Measurer::new(&shared.setup.manifest.model));
    measurer.measure(parameters, &dataset, &held_out, turn).await.ok()
}

async fn made<'a, P: Platform>(
    shared: &Rc<Shared<P>>,
    settler: &'a mut Option<Settler>,
) -> Option<&'a mut Settler> {
    if settler.is_none() {
        let manifest = &shared.setup.manifest;
        let data = blobs::dataset(shared).await.ok()?.choose(&guarded(manifest));
        *settler = Some(Settler::new(manifest, data).ok()?);
    }
    settler.as_mut()
}
