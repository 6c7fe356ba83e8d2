//! Gets onto this device what the work needs: the first model, the data, checkpoints, and other accounts' updates.

use std::rc::Rc;

use futures::{StreamExt, stream};
use lichen_bridge::Problem;
use lichen_learn::{Codec, PackedDifference};
use lichen_model::Parameters;
use lichen_record::Cid;
use lichen_round::{Difference, Input};
use lichen_store::Blobs;

use super::Done;
use crate::Platform;
use crate::blobs::{CHECKPOINT_LIMIT_MS, dataset, obtain};
use crate::context::{Context, Failure};

/// Updates fetched at a time: from the relay, and in a mesh, where the puller itself keeps to a measure.
const FETCHES_AT_A_TIME: usize = 4;
const PULLS_AT_A_TIME: usize = 64;

/// Gets the campaign's data onto this device, so that it is here when the first round wants it.
pub(crate) async fn fetch_data<P: Platform>(context: Rc<Context<P>>) -> Done<P> {
    match dataset(&context).await {
        Err(Failure::Fatal(problem)) => Done::Broken(problem),
        Ok(_) | Err(Failure::Retry | Failure::Diverged) => Done::Nothing,
    }
}

/// Gets a checkpoint onto this device, by its difference from a base that is here if that is known.
pub(crate) async fn fetch<P: Platform>(
    context: Rc<Context<P>>,
    cid: Cid,
    difference: Option<Difference>,
) -> Done<P> {
    // It may be the first model, which is on its way onto this device: in a mesh nobody else may have it, and finding
    // that out takes seconds.
    if let Err(problem) = draw_first_model(&context).await {
        return Done::Broken(problem);
    }
    if context.platform.blobs().has(&cid).await.unwrap_or(false) {
        return Done::Fetched { cid, is_here: true };
    }
    let until = context.platform.elapsed().saturating_add(CHECKPOINT_LIMIT_MS);
    let mut bytes = None;
    if let Some(difference) = difference {
        bytes = made(&context, &cid, difference, until).await;
    }
    if bytes.is_none() {
        bytes = obtain(&context, &cid, until).await;
    }
    let is_here = match bytes {
        Some(bytes) => context.keep(&cid, &bytes).await,
        None => false,
    };
    if is_here {
        context.mesh.offer(cid);
    }
    Done::Fetched { cid, is_here }
}

/// A checkpoint's bytes, made from its base and a packed difference; none if that gives another, or one of them is not to be had.
async fn made<P: Platform>(
    context: &Context<P>,
    cid: &Cid,
    Difference { base, packed }: Difference,
    until: u64,
) -> Option<Vec<u8>> {
    let codec = Codec::new(context.setup.manifest.result_codec?);
    let base = Parameters::from_safetensors(&context.platform.blobs().get(&base).await.ok()??).ok()?;
    let bytes = obtain(context, &packed, until).await?;
    let checkpoint = PackedDifference::apply(codec, &base, &bytes).ok()?.to_safetensors();
    if !cid.matches(&checkpoint) {
        return None;
    }
    if context.mesh.is_on() && context.keep_for_now(&packed, &bytes).await {
        context.mesh.offer(packed);
    }
    Some(checkpoint)
}

/// Draws the model that the campaign begins with onto this device, unless that is done.
pub(super) async fn draw_first_model<P: Platform>(context: &Context<P>) -> Result<(), Problem> {
    let mut is_drawn = context.is_first_model_drawn.lock().await;
    if !*is_drawn {
        let (cid, parameters) = context.setup.initial()?;
        // Not kept, it is fetched instead.
        let _kept = context.keep(&cid, &parameters.to_safetensors()).await;
        *is_drawn = true;
    }
    Ok(())
}

/// The updates with their weights, in the order given; or those that nobody gave.
pub(super) async fn updates<P: Platform>(
    context: &Rc<Context<P>>,
    inputs: Vec<Input>,
) -> Result<Vec<(Input, Vec<u8>)>, Vec<Cid>> {
    let at_a_time = if context.mesh.is_on() { PULLS_AT_A_TIME } else { FETCHES_AT_A_TIME };
    let until = context.platform.elapsed().saturating_add(context.mesh.limit_ms());
    let got: Vec<_> = stream::iter(inputs)
        .map(|input| async move { (input, update(context, &input, until).await) })
        .buffered(at_a_time)
        .collect()
        .await;
    let missing: Vec<Cid> =
        got.iter().filter(|(_input, bytes)| bytes.is_none()).map(|(input, _none)| input.update).collect();
    if !missing.is_empty() {
        return Err(missing);
    }
    Ok(got.into_iter().filter_map(|(input, bytes)| Some((input, bytes?))).collect())
}

/// An update's bytes; in a mesh they are kept, so that peers can have them from here. In a hub only the own one is here.
async fn update<P: Platform>(context: &Context<P>, input: &Input, until: u64) -> Option<Vec<u8>> {
    let cid = &input.update;
    if (context.mesh.is_on() || input.account == context.account)
        && let Ok(Some(bytes)) = context.platform.blobs().get(cid).await
    {
        return Some(bytes);
    }
    let bytes = obtain(context, cid, until).await?;
    if context.mesh.is_on() && context.keep_for_now(cid, &bytes).await {
        context.mesh.offer(*cid);
    }
    Some(bytes)
}
