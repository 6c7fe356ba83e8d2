//! Repeats another account's training.

use std::rc::Rc;

use futures::future::{AbortHandle, Abortable, FutureExt, LocalBoxFuture};
use lichen_record::Cid;
use lichen_round::Repetition;
use lichen_settle::{Course, repeat, repeats};

use super::Done;
use crate::Platform;
use crate::blobs::{bytes, dataset};
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

async fn repeated<P: Platform>(context: &Rc<Context<P>>, repetition: Repetition) -> Option<Cid> {
    let Repetition { base, engine, shard, steps, seed, .. } = repetition;
    if !repeats(engine) {
        return None;
    }
    let base = bytes(context, &base).await?;
    let shard = dataset(context).await.ok()?.choose(&shard);
    let course = Course { base: &base, shard: &shard, steps, seed };
    repeat(&context.setup.manifest, &course, async || context.platform.yield_now().await).await.ok()
}
