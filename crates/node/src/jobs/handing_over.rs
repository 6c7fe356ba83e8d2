//! Hands what this tab has made to the relay and to peers: updates, checkpoints and signed entries.

use std::rc::Rc;

use lichen_learn::{LocalWork, difference};
use lichen_log::Receipt;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{Cid, RoundNumber};
use lichen_round::{Refusal, Ticket};
use lichen_store::Blobs;

use super::Done;
use crate::Platform;
use crate::context::Context;
use crate::hub::HubError;
use crate::mesh::Serving;
use crate::packing::pack;
use crate::training::Trained;

/// How often an attestation looks whether another has put what it attests at the relay, in milliseconds, and how often
/// before it does so itself, for each contributor before the own.
const PUT_WAIT_MS: u32 = 150;
const PUT_WAITS: usize = 4;

/// Most times that one attestation puts what it attests at the relay.
const MOST_PUTS: usize = 2;

/// Hands the update that a training gave to the relay, or in a mesh offers it to peers. `accepted` is this account's last
/// update that a round accepted, and the round.
pub(crate) async fn publish<P: Platform>(
    context: Rc<Context<P>>,
    trained: Rc<Trained>,
    accepted: Option<(RoundNumber, Cid)>,
) -> Done<P> {
    let round = trained.round;
    let update = async {
        let change = difference(&trained.base, &trained.parameters).ok()?;
        let change = change.extended(LocalWork::of(&context.setup.manifest.train, trained.metrics.steps()));
        let update = pack(&context, (round, trained.base_cid), change, accepted).await?;
        let cid = Cid::of_raw(&update);
        if let Some(trace) = &trained.trace {
            put_bytes(&context, &trace.id(), trace.bytes().to_vec()).await.then_some(())?;
        }
        // Kept here too, so that the own update need not be fetched for aggregation.
        let is_kept = context.keep(&cid, &update).await;
        if context.mesh.is_on() {
            if !is_kept {
                return None;
            }
            offer_own(&context, cid, update).await;
            return Some(cid);
        }
        put_bytes(&context, &cid, update).await.then_some(cid)
    };
    Done::Published { round, update: update.await }
}

/// Puts an own blob at the relay; whether it is there now.
pub(super) async fn put_bytes<P: Platform>(context: &Context<P>, cid: &Cid, bytes: Vec<u8>) -> bool {
    match context.hub.ask(&Request::PutBlob { bytes }).await {
        Ok(Reply::Stored { cid: stored }) => stored == *cid,
        Ok(_) => false,
        Err(error) => {
            context.obstacles.refused_by(&error);
            false
        }
    }
}

/// Offers the own update to peers, and where one may be out of reach gives the relay a copy first.
async fn offer_own<P: Platform>(context: &Context<P>, cid: Cid, update: Vec<u8>) {
    context.mesh.set_unpinned(cid);
    context.mesh.offer(cid);
    context.mesh.announce();
    if context.mesh.take_unpinned().is_some() {
        // Refused, it is still to be had from here.
        let _kept = context.hub.ask(&Request::PutBlob { bytes: update }).await;
    }
}

/// Gives the relay a copy of the own update, as somebody turned out to be out of reach.
pub(crate) async fn pin<P: Platform>(context: Rc<Context<P>>, cid: Cid) -> Done<P> {
    if let Ok(Some(bytes)) = context.platform.blobs().get(&cid).await {
        let _kept = context.hub.ask(&Request::PutBlob { bytes }).await;
    }
    Done::Nothing
}

/// Answers a peer.
pub(crate) async fn serve<P: Platform>(context: Rc<Context<P>>, serving: Serving) -> Done<P> {
    let blob = match context.mesh.held(&serving.cid) {
        Some(held) => Some(held),
        None => context.platform.blobs().get(&serving.cid).await.ok().flatten().map(Rc::new),
    };
    context.mesh.serve(&serving, blob);
    Done::Nothing
}

/// What an attestation names, which the relay of a mesh must hold.
pub(crate) struct Attested {
    /// The checkpoint, and what the outer optimiser carries over with it.
    pub(crate) required: Vec<Cid>,
    /// The packed difference, which it holds if it is given.
    pub(crate) difference: Option<Cid>,
    /// How many who may attest contributed before this account.
    pub(crate) rank: usize,
}

/// Has a signed entry appended to the log.
pub(crate) async fn append<P: Platform>(
    context: Rc<Context<P>>,
    ticket: Ticket,
    id: Cid,
    entry: Vec<u8>,
    attested: Option<Attested>,
) -> Done<P> {
    let request = Request::Append { campaign: context.setup.campaign, entry };
    let mut answer = context.hub.ask(&request).await;
    if let Some(Attested { required, difference, rank }) = attested {
        let mut waits = rank.min(PUT_WAITS) * PUT_WAITS;
        let mut puts = 0;
        while matches!(answer, Err(HubError::Refused(Reason::CheckpointMissing))) {
            // In the order of contributions, so that not everybody puts it.
            if waits > 0 {
                waits -= 1;
                context.platform.sleep(PUT_WAIT_MS).await;
            } else {
                puts += 1;
                // A relay that never finds what it was given is asked again later, with a pause.
                if puts > MOST_PUTS || !put(&context, &required).await {
                    break;
                }
                if let Some(difference) = difference {
                    // Refused, the checkpoint is there all the same.
                    let _kept = put(&context, &[difference]).await;
                }
            }
            answer = context.hub.ask(&request).await;
        }
    }
    let outcome = match answer {
        Ok(Reply::Receipt { receipt }) => {
            context.platform.verify::<Receipt>(&receipt).await.map_err(|_unsigned| None)
        }
        // The entry stands already: the log tells the rest.
        Err(HubError::Refused(Reason::Inadmissible(Refusal::Duplicate))) => Err(None),
        Err(HubError::Refused(reason)) => Err(Some(reason.to_string())),
        _ => Err(None),
    };
    Done::Appended { ticket, id, outcome }
}

/// Puts blobs that are on this device at the relay; whether they are there now.
async fn put<P: Platform>(context: &Context<P>, cids: &[Cid]) -> bool {
    for cid in cids {
        let Ok(Some(bytes)) = context.platform.blobs().get(cid).await else { return false };
        let answer = context.hub.ask(&Request::PutBlob { bytes }).await;
        if !matches!(answer, Ok(Reply::Stored { cid: stored }) if stored == *cid) {
            return false;
        }
    }
    true
}
