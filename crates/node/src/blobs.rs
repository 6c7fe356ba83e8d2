//! Blobs for the jobs: from this device, else from the relay or from peers.

use std::rc::Rc;

use futures::future::{Fuse, FutureExt};
use futures::{StreamExt, select_biased};
use lichen_bridge::Problem;
use lichen_learn::Dataset;
use lichen_model::Parameters;
use lichen_net::hub::{Reply, Request};
use lichen_record::Cid;
use lichen_store::Blobs;

use crate::Platform;
use crate::context::{Context, Failure};
use crate::mesh::Note;

/// How often a pull looks whether a peer has stalled, in milliseconds.
const PULL_TICK_MS: u32 = 200;

/// How long a checkpoint may take to come, in milliseconds.
pub(crate) const CHECKPOINT_LIMIT_MS: u64 = 60_000;

/// The campaign's data, from this device or from the relay.
pub(crate) async fn dataset<P: Platform>(context: &Rc<Context<P>>) -> Result<Rc<Dataset>, Failure> {
    let mut held = context.dataset.lock().await;
    if let Some(dataset) = &*held {
        return Ok(Rc::clone(dataset));
    }
    let cid = context.setup.manifest.data.cid;
    let bytes = match context.platform.blobs().get(&cid).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(_) => {
            let bytes = download(context, &cid).await.ok_or(Failure::Retry)?;
            // Not kept, it is fetched again next time.
            let _kept = context.keep(&cid, &bytes).await;
            bytes
        }
    };
    let dataset = Dataset::decode(&bytes, &context.setup.manifest).map_err(|error| {
        Failure::Fatal(Problem {
            message: format!("The campaign's data cannot be used: {error}."),
            remedy: "Tell the people who run this campaign.".into(),
        })
    })?;
    let dataset = Rc::new(dataset);
    *held = Some(Rc::clone(&dataset));
    Ok(dataset)
}

pub(crate) async fn checkpoint<P: Platform>(context: &Context<P>, cid: &Cid) -> Option<Parameters> {
    Parameters::from_safetensors(&bytes(context, cid).await?).ok()
}

/// A blob's bytes, from this device or from the relay; in the latter case they are not kept.
pub(crate) async fn bytes<P: Platform>(context: &Context<P>, cid: &Cid) -> Option<Vec<u8>> {
    match context.platform.blobs().get(cid).await {
        Ok(Some(bytes)) => Some(bytes),
        Ok(None) | Err(_) => {
            let until = context.platform.elapsed().saturating_add(CHECKPOINT_LIMIT_MS);
            obtain(context, cid, until).await
        }
    }
}

/// A checkpoint's or an update's bytes: in a hub from the relay, in a mesh from peers and from the relay at last.
pub(crate) async fn obtain<P: Platform>(context: &Context<P>, cid: &Cid, until: u64) -> Option<Vec<u8>> {
    if !context.mesh.is_on() {
        let bytes = download(context, cid).await?;
        context.mesh.count_relayed(bytes.len());
        return Some(bytes);
    }
    let settled = context.settled.get();
    let mut wanted = context.mesh.want(context.platform.elapsed(), *cid, until);
    let mut relay = Box::pin(Fuse::terminated());
    let mut tick = Box::pin(context.platform.sleep(PULL_TICK_MS).fuse());
    loop {
        select_biased! {
            note = wanted.notes.next() => match note {
                Some(Note::Got(bytes)) => return Some(bytes),
                Some(Note::AskRelay) => relay = Box::pin(download(context, cid).fuse()),
                Some(Note::Missing) | None => return None,
            },
            bytes = relay => context.mesh.relay_gave(context.platform.elapsed(), *cid, bytes),
            () = tick => {
                if context.settled.get() != settled {
                    // Of a round that is over peers have little, and nobody needs it.
                    return None;
                }
                context.mesh.tick(context.platform.elapsed());
                tick = Box::pin(context.platform.sleep(PULL_TICK_MS).fuse());
            }
        }
    }
}

/// A blob from the relay.
pub(crate) async fn download<P: Platform>(context: &Context<P>, cid: &Cid) -> Option<Vec<u8>> {
    match context.hub.ask(&Request::GetBlob { cid: *cid }).await {
        Ok(Reply::Blob { bytes }) if cid.matches(&bytes) => Some(bytes),
        _ => None,
    }
}
