//! What rounds come to.

use std::cell::Cell;
use std::rc::Rc;

use futures::lock::Mutex;
use lichen_bridge::Event;
use lichen_record::{Cid, RoundNumber};
use lichen_settle::{Measurer, SetAside, Settled, Settler, guarded};

use crate::Platform;
use crate::blobs;
use crate::context::Context;

/// What settling rounds needs, made when it is first needed.
#[derive(Default)]
pub(crate) struct Settling {
    pub(crate) settler: Mutex<Option<Settler>>,
    pub(crate) measurer: Mutex<Option<Measurer>>,
    /// The last round whose aggregate was turned down here.
    set_aside: Cell<Option<(RoundNumber, SetAside)>>,
}

/// Computes a round's result from its updates with their weights, and puts it onto this device.
pub(crate) async fn combine<P: Platform>(
    context: &Rc<Context<P>>,
    settling: &Settling,
    round: RoundNumber,
    base: Cid,
    updates: &[(u32, Vec<u8>)],
) -> Option<Cid> {
    let bytes = blobs::bytes(context, &base).await?;
    let settled = {
        let mut settler = settling.settler.lock().await;
        let settler = made(context, &mut settler).await?;
        let mut aggregation = settler.aggregation(&bytes).ok()?;
        drop(bytes);
        for (samples, update) in updates {
            aggregation.add(*samples, update);
        }
        settler.settle(&base, aggregation, async || context.platform.yield_now().await).await.ok()?
    };
    let Settled { result, checkpoint, set_aside } = settled;
    if let Some(set_aside) = set_aside {
        settling.set_aside.set(Some((round, set_aside)));
    }
    if let Some(checkpoint) = checkpoint
        && !context.keep(&result, &checkpoint).await
    {
        return None;
    }
    context.mesh.offer(result);
    context.mesh.announce();
    Some(result)
}

/// What the page hears of a round that changed nothing.
pub(crate) fn set_aside<P: Platform>(context: &Context<P>, settling: &Settling, round: RoundNumber) -> Event {
    let found = settling.set_aside.get().filter(|(of, _measured)| *of == round);
    let has_accuracy = context.setup.manifest.data.classes.is_some();
    let accuracy = found.filter(|_found| has_accuracy).map(|(_round, measured)| measured);
    Event::SetAside {
        round: round.0,
        would_be: accuracy.map(|measured| measured.result.accuracy),
        stays: accuracy.map(|measured| measured.base.accuracy),
    }
}

/// The settler, made when it is first needed.
pub(crate) async fn made<'a, P: Platform>(
    context: &Rc<Context<P>>,
    settler: &'a mut Option<Settler>,
) -> Option<&'a mut Settler> {
    if settler.is_none() {
        let manifest = &context.setup.manifest;
        let data = blobs::dataset(context).await.ok()?.choose(&guarded(manifest));
        *settler = Some(Settler::new(manifest, data).ok()?);
    }
    settler.as_mut()
}
