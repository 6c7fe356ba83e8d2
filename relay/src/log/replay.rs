//! Reads a log back from disk after a start, and checks all of it.

use lichen_log::{Replica, ReplicaError};
use lichen_round::{CampaignState, Refusal};
use lichen_store::{Disk, StoreError};

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
