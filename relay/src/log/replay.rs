//! Reads a log back from disk after a start: from its newest snapshot on, or from its first record.
//!
//! What is read is checked: each record's signature, its place in the chain, and that it may stand there. A relay that begins
//! with a snapshot has folded or checked before what came before it, and does not look at that again; `lichen verify` does.

use lichen_log::{Beginning, Record, Replica, ReplicaError};
use lichen_record::{AccountId, CampaignId, Cid, Entry, Envelope, MAX_ENTRY, decode};
use lichen_round::{CampaignState, Refusal, SnapshotError};
use lichen_store::{Blobs, Disk, StoreError};

use crate::log::snapshots::Snapshots;

/// Records read at a time.
const CHUNK: usize = 1024;

/// Why the log on disk cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    /// A record is damaged, or of another log.
    #[error(transparent)]
    Replica(ReplicaError),
    /// The log was gone on with by a later version of this program.
    #[error("{0}: start the version of lichen-relay that wrote it, or a later one")]
    Later(ReplicaError),
    /// An entry may not stand where it stands.
    #[error("record {index}: {refusal}")]
    Refused { index: u64, refusal: Refusal },
    #[error(transparent)]
    Disk(#[from] StoreError),
}

impl From<ReplicaError> for ReplayError {
    fn from(error: ReplicaError) -> Self {
        if error.is_later() { Self::Later(error) } else { Self::Replica(error) }
    }
}

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
enum Useless {
    #[error("the state that it names is not here")]
    NotHere,
    #[error(transparent)]
    State(#[from] SnapshotError),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Disk(#[from] StoreError),
}

/// Puts a replica and a state, which know nothing yet, where the log's newest snapshot is, if there is one that can be used.
/// Says which snapshots are kept.
pub(crate) async fn begin(
    disk: &Disk,
    coordinator: AccountId,
    replica: &mut Replica,
    state: &mut CampaignState,
) -> Result<Snapshots, StoreError> {
    let Some((beginning, cid)) = newest(disk, replica.campaign()).await? else {
        return Ok(Snapshots::default());
    };
    match restore(disk, coordinator, replica.initial(), (&beginning, cid), state).await {
        Ok((begun, restored, before)) => {
            (*replica, *state) = (begun, restored);
            Ok(Snapshots::kept(before.into_iter().chain([cid])))
        }
        Err(useless) => {
            let index = beginning.record.index;
            tracing::warn!(index, %useless, "the newest snapshot cannot be used: the log is read from its first record");
            Ok(Snapshots::default())
        }
    }
}

/// The newest snapshot in a log, and the state that it names; looked for from the end on.
async fn newest(disk: &Disk, campaign: CampaignId) -> Result<Option<(Beginning, Cid)>, StoreError> {
    let mut end = disk.length(campaign).await?;
    while end > 1 {
        // With the record before each.
        let from = end.saturating_sub(CHUNK as u64);
        let records = disk.records(campaign, from, CHUNK).await?;
        for pair in records.windows(2).rev() {
            if let [before, record] = pair
                && let Some(cid) = snapshot(record)
            {
                let record = record.clone();
                return Ok(Some((Beginning { hash: before.hash, time: before.time, record }, cid)));
            }
        }
        end = if from == 0 { 0 } else { from.saturating_add(1) };
    }
    Ok(None)
}

/// The state that a record names, if it is a snapshot.
fn snapshot(record: &Record) -> Option<Cid> {
    let envelope = Envelope::from_bytes(&record.entry).ok()?;
    match decode(envelope.payload(), MAX_ENTRY).ok()? {
        Entry::Snapshot { state, .. } => Some(state),
        _ => None,
    }
}

/// What replica and state are after the snapshot, and the state that the snapshot before it names.
async fn restore(
    disk: &Disk,
    coordinator: AccountId,
    initial: Cid,
    (beginning, cid): (&Beginning, Cid),
    empty: &CampaignState,
) -> Result<(Replica, CampaignState, Option<Cid>), Useless> {
    let (campaign, record) = (empty.campaign(), &beginning.record);
    let bytes = disk.get(&cid).await?.ok_or(Useless::NotHere)?;
    let mut state = CampaignState::from_bytes(campaign, *empty.rules(), &bytes)?;
    state.check_place((record.index, beginning.time), coordinator, initial)?;
    let before = match state.last_snapshot() {
        Some(index) => disk.records(campaign, index, 1).await?.first().and_then(snapshot),
        None => None,
    };
    let mut replica = Replica::beginning(campaign, coordinator, initial, beginning);
    let entry = replica.take(record)?;
    state.apply(record.time, &entry)?;
    Ok((replica, state, before))
}

/// Reads the records on disk that the replica does not have yet, and folds them.
pub(crate) async fn replay(
    disk: &Disk,
    replica: &mut Replica,
    state: &mut CampaignState,
) -> Result<(), ReplayError> {
    loop {
        let records = disk.records(replica.campaign(), replica.length(), CHUNK).await?;
        if records.is_empty() {
            return Ok(());
        }
        for record in records {
            let entry = replica.take(&record)?;
            let refused = |refusal| ReplayError::Refused { index: record.index, refusal };
            state.apply(record.time, &entry).map_err(refused)?;
        }
    }
}
