//! Counts what a log of an earlier version names, once: from then on that is written with each entry.

use lichen_record::{CampaignId, Entry, Envelope, MAX_ENTRY, decode};
use lichen_store::{Disk, StoreError};

use crate::log::campaign::Campaign;
use crate::log::pinned::named;

/// Records read at a time.
const CHUNK: usize = 1024;

/// Counts the pinned blobs that the campaign's log names, unless that was done before.
pub(crate) async fn count(disk: &Disk, campaign: &Campaign) -> Result<(), StoreError> {
    if disk.is_counted(campaign.id).await? || disk.length(campaign.id).await? == 0 {
        return Ok(());
    }
    let mut found = vec![campaign.manifest.data.cid];
    let mut from = 0;
    loop {
        let entries = entries(disk, campaign.id, from).await?;
        if entries.is_empty() {
            break;
        }
        from = from.saturating_add(entries.len() as u64);
        found.extend(entries.iter().flatten().flat_map(named));
    }
    disk.count(campaign.id, found).await
}

/// What the next records say; nothing of one that cannot be read, which whoever folds the log reports.
async fn entries(disk: &Disk, campaign: CampaignId, from: u64) -> Result<Vec<Option<Entry>>, StoreError> {
    let records = disk.records(campaign, from, CHUNK).await?;
    let read = records.iter().map(|record| {
        let envelope = Envelope::from_bytes(&record.entry).ok()?;
        decode(envelope.payload(), MAX_ENTRY).ok()
    });
    Ok(read.collect())
}
