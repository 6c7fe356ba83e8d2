//! Begins with the log's newest snapshot, so that coming late costs no more than coming early.
//!
//! Of what came before, a tab that begins so knows what the coordinator has signed: the snapshot, and with the head the chain
//! before it. Whoever has followed the log from its beginning has checked that the snapshot is what the log comes to, and
//! believes no log with a false one. Where the relay has none, or an earlier version, the log is read as a whole.

use std::rc::Rc;

use lichen_log::Replica;
use lichen_net::hub::{Reply, Request};
use lichen_record::Entry;
use lichen_round::{CampaignState, SnapshotError};

use crate::Platform;
use crate::blobs::download;
use crate::context::Context;
use crate::log_reader::LogFault;

/// The log behind a snapshot, and what it comes to there.
pub(crate) struct Begun {
    pub(crate) replica: Replica,
    pub(crate) state: CampaignState,
}

/// The log behind its newest snapshot, if nothing of it is here yet. Whoever has read a part goes on from there, however much has
/// come since: it sees whether that is the log that it has read.
pub(crate) async fn begin<P: Platform>(
    context: &Rc<Context<P>>,
    replica: &Replica,
) -> Result<Option<Box<Begun>>, LogFault> {
    let (campaign, rules) = (context.setup.campaign, context.setup.rules);
    let Some(coordinator) = replica.signer().filter(|_signer| replica.length() == 0) else { return Ok(None) };
    let Ok(Reply::Snapshot(beginning)) = context.hub.ask(&Request::Snapshot { campaign }).await else {
        return Ok(None);
    };
    let record = &beginning.record;
    let initial = replica.initial();
    let mut replica = Replica::beginning(campaign, coordinator, initial, &beginning);
    let entry = replica.take_checked(record, context.platform.verify(&record.entry).await)?;
    let Entry::Snapshot { state, .. } = entry.get() else { return Ok(None) };
    if entry.account() != coordinator {
        return Err(LogFault::Snapshot("another than the coordinator signed it".into()));
    }
    let Some(bytes) = download(context, state).await else { return Ok(None) };
    let mut state = match CampaignState::from_bytes(campaign, rules, &bytes) {
        Err(SnapshotError::Version(_)) => return Ok(None),
        read => read.map_err(|error| LogFault::Snapshot(error.to_string()))?,
    };
    let place = (record.index, beginning.time);
    let checked = state.check_place(place, coordinator, initial);
    checked.map_err(|error| LogFault::Snapshot(error.to_string()))?;
    let applied = state.apply(record.time, &entry);
    applied.map_err(|refusal| LogFault::Snapshot(refusal.to_string()))?;
    Ok(Some(Box::new(Begun { replica, state })))
}
