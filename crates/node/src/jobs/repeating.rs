//! Repeats another account's training.

use std::rc::Rc;

use futures::future::{AbortHandle, Abortable, FutureExt, LocalBoxFuture};
use lichen_record::{Cid, Evidence};
use lichen_round::Repetition;
use lichen_settle::{Accused, Claim, Course, Parting, examine, repeats};

use super::Done;
use super::handing_over::put_bytes;
use crate::Platform;
use crate::blobs::{bytes, dataset, download};
use crate::context::Context;

/// Repeats a training, on the CPU, until it is done or the handle ends it: of that nothing is told.
pub(crate) fn repeat_training<P: Platform>(
    context: Rc<Context<P>>,
    repetition: Repetition,
) -> (LocalBoxFuture<'static, Done<P>>, AbortHandle) {
    let (handle, registration) = AbortHandle::new_pair();
    let (round, contributor) = (repetition.round, repetition.contributor);
    let work = async move {
        let found = repeated(&context, repetition).await;
        Done::Repeated { round, contributor, found }
    };
    let work = Abortable::new(work, registration).map(|done| done.unwrap_or(Done::Nothing));
    (work.boxed_local(), handle)
}

async fn repeated<P: Platform>(
    context: &Rc<Context<P>>,
    repetition: Repetition,
) -> Option<(Cid, Option<Evidence>)> {
    let Repetition { base, engine, update, trace: named, accusation, shard, steps, seed, .. } = repetition;
    let learning_rate = repetition.learning_rate;
    if !repeats(engine) {
        return None;
    }
    let base = bytes(context, &base).await?;
    let trace = find(context, named).await;
    let before = find(context, accusation.and_then(|accusation| accusation.evidence.before)).await;
    let shard = dataset(context).await.ok()?.choose(&shard);
    let course = Course { base: &base, shard: &shard, steps, seed, learning_rate };
    let claim = Claim { update, trace: named };
    let accused = accusation.as_ref().map(|accusation| Accused {
        found: accusation.found,
        evidence: &accusation.evidence,
        before: before.as_deref(),
    });
    let turn = async || context.platform.yield_now().await;
    let manifest = &context.setup.manifest;
    let repeated = examine(manifest, &course, &claim, trace.as_deref(), accused, turn).await.ok()?;
    let evidence = match repeated.parting {
        Some(parting) => hand_over(context, parting).await,
        None => None,
    };
    Some((repeated.found, evidence))
}

/// A blob that the relay has, whatever way updates go: what trainings are checked by is there.
async fn find<P: Platform>(context: &Context<P>, cid: Option<Cid>) -> Option<Vec<u8>> {
    download(context, &cid?).await
}

/// Gives the relay the state that a piece begins with. Without it others repeat the whole training.
async fn hand_over<P: Platform>(
    context: &Context<P>,
    Parting { piece, before, after }: Parting,
) -> Option<Evidence> {
    let cid = before.as_deref().map(Cid::of_raw);
    if let (Some(cid), Some(before)) = (&cid, before)
        && !put_bytes(context, cid, before).await
    {
        return None;
    }
    Some(Evidence { piece, before: cid, after })
}
