//! What rounds come to.

use std::cell::Cell;
use std::rc::Rc;

use futures::lock::Mutex;
use lichen_bridge::Event;
use lichen_record::{Cid, RoundNumber};
use lichen_round::{Input, Outcome};
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

/// What a round came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Combined {
    pub(crate) outcome: Outcome,
    /// The packed difference from the base, where results are told so.
    pub(crate) difference: Option<Cid>,
}

/// Computes a round's result from what it began with and its updates with their weights, and puts it onto this device.
pub(crate) async fn combine<P: Platform>(
    context: &Rc<Context<P>>,
    settling: &Settling,
    round: RoundNumber,
    base: Outcome,
    updates: &[(Input, Vec<u8>)],
) -> Option<Combined> {
    let bytes = blobs::bytes(context, &base.result).await?;
    let state = match &base.state {
        Some(state) => Some(blobs::bytes(context, state).await?),
        None => None,
    };
    let settled = {
        let mut settler = settling.settler.lock().await;
        let settler = made(context, &mut settler).await?;
        let mut aggregation = settler.aggregation(&bytes).ok()?;
        drop(bytes);
        for (input, update) in updates {
            aggregation.add_part(input.weight, settler.work(input.steps), update);
        }
        let turn = async || context.platform.yield_now().await;
        settler.settle(&base.result, state.as_deref(), aggregation, turn).await.ok()?
    };
    let Settled { result, checkpoint, state, next_state, difference, set_aside } = settled;
    if let Some(set_aside) = set_aside {
        settling.set_aside.set(Some((round, set_aside)));
    }
    for (cid, made) in [(Some(result), checkpoint), (state, next_state)] {
        let Some(cid) = cid else { continue };
        if let Some(bytes) = made
            && !context.keep(&cid, &bytes).await
        {
            return None;
        }
        context.mesh.offer(cid);
    }
    let packed = difference.map(|bytes| (Cid::of_raw(&bytes), bytes));
    // In a hub the relay has it.
    if let Some((cid, bytes)) = &packed
        && context.mesh.is_on()
        && context.keep_for_now(cid, bytes).await
    {
        context.mesh.offer(*cid);
    }
    context.mesh.announce();
    Some(Combined { outcome: Outcome { result, state }, difference: packed.map(|(cid, _bytes)| cid) })
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
