use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lichen_log::{MAX_RECORD, Record};
use lichen_record::{CampaignId, Cid, decode, encode};
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition, WriteTransaction,
};

use crate::blobs::{Blobs, StoreError, check_get, check_put};

/// Blobs: binary content id → bytes.
const BLOBS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("blobs");

/// Blobs that may be dropped: binary content id → when they came, in milliseconds of Unix time.
const LOOSE: TableDefinition<'_, &[u8; 36], u64> = TableDefinition::new("loose");

/// Records: binary content id of the campaign, index → encoded record and its check.
const RECORDS: TableDefinition<'_, RecordKey, RecordValue> = TableDefinition::new("records");

/// The last head that somebody else signed for a log: binary content id of the campaign → envelope.
const HEADS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("heads");

type RecordKey = (&'static [u8; 36], u64);
type RecordValue = (&'static [u8], &'static [u8; 36]);

/// Pages kept in memory, in bytes.
const CACHE: usize = 64 * 1024 * 1024;

/// A relay's blobs and logs in one redb file.
///
/// What a finished call has written survives the process being killed and the machine losing power. Opening checks
/// the whole file; reading checks each blob against its id and each record against a digest beside it.
///
/// A blob is loose when it comes in and may be dropped by [`Disk::sweep`] until [`Disk::append`] keeps it.
#[derive(Clone)]
pub struct Disk {
    database: Arc<Database>,
}

impl Disk {
    /// Opens the file, or makes it. Only one process can have it open.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::DamagedRecord`] naming the first damage found, and
    /// [`StoreError::Medium`] if the file is in use, unreadable, or damaged between blobs and records.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::builder()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .create(path)
            .map_err(|error| open_error(error, path))?;
        let transaction = database.begin_write().map_err(medium)?;
        transaction.open_table(BLOBS).map_err(medium)?;
        transaction.open_table(LOOSE).map_err(medium)?;
        transaction.open_table(RECORDS).map_err(medium)?;
        transaction.open_table(HEADS).map_err(medium)?;
        transaction.commit().map_err(medium)?;
        Ok(Self { database: Arc::new(database) })
    }

    /// Appends records to a campaign's log and keeps the blobs named for good: all of it durably, or nothing.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] if the records do not continue the log, [`StoreError::Missing`] if a blob to be kept
    /// is not held; other errors if the medium fails. Nothing is changed then.
    pub async fn append(
        &self,
        campaign: CampaignId,
        records: Vec<Record>,
        keep: Vec<Cid>,
    ) -> Result<(), StoreError> {
        self.blocking(move |database| append(database, campaign, &records, &keep)).await
    }

    /// Keeps the signed head of a log that another relay orders, in place of the one before.
    ///
    /// # Errors
    /// If the medium fails.
    pub async fn keep_head(&self, campaign: CampaignId, envelope: Vec<u8>) -> Result<(), StoreError> {
        self.blocking(move |database| {
            let transaction = database.begin_write().map_err(medium)?;
            let key = campaign.0.to_bytes();
            transaction.open_table(HEADS).map_err(medium)?.insert(&key, &envelope[..]).map_err(medium)?;
            transaction.commit().map_err(medium)
        })
        .await
    }

    /// The signed head kept last, unchecked.
    ///
    /// # Errors
    /// If the medium fails.
    pub async fn head(&self, campaign: CampaignId) -> Result<Option<Vec<u8>>, StoreError> {
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(medium)?;
            let table = transaction.open_table(HEADS).map_err(medium)?;
            let head = table.get(&campaign.0.to_bytes()).map_err(medium)?;
            Ok(head.map(|head| head.value().to_vec()))
        })
        .await
    }

    /// Reads up to `limit` records from index `from` on; fewer at the log's end.
    ///
    /// # Errors
    /// [`StoreError::DamagedRecord`] naming the first record that is missing or not as it was written.
    pub async fn records(
        &self,
        campaign: CampaignId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.blocking(move |database| records(database, campaign, from, limit)).await
    }

    /// Number of records in a campaign's log.
    ///
    /// # Errors
    /// If the medium fails.
    pub async fn length(&self, campaign: CampaignId) -> Result<u64, StoreError> {
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(medium)?;
            length(&transaction.open_table(RECORDS).map_err(medium)?, campaign)
        })
        .await
    }

    /// Drops loose blobs that came longer ago than `age`, and returns how many.
    ///
    /// # Errors
    /// If the medium fails.
    pub async fn sweep(&self, age: Duration) -> Result<usize, StoreError> {
        let before = now().saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        self.blocking(move |database| sweep(database, before)).await
    }

    // redb waits for the disk; the runtime's own threads must not.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || work(&database)).await.map_err(medium)?
    }
}

impl Blobs for Disk {
    async fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        let cid = *cid;
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(medium)?;
            let table = transaction.open_table(BLOBS).map_err(medium)?;
            let Some(bytes) = table.get(&cid.to_bytes()).map_err(medium)? else {
                return Ok(None);
            };
            check_get(&cid, bytes.value().to_vec()).map(Some)
        })
        .await
    }

    async fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        check_put(cid, bytes)?;
        let (cid, bytes) = (*cid, bytes.to_vec());
        self.blocking(move |database| put(database, &cid, &bytes)).await
    }

    async fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        let cid = *cid;
        self.blocking(move |database| {
            let transaction = database.begin_read().map_err(medium)?;
            holds(&transaction.open_table(BLOBS).map_err(medium)?, &cid)
        })
        .await
    }

    async fn remove(&self, cid: &Cid) -> Result<(), StoreError> {
        let cid = *cid;
        self.blocking(move |database| {
            let transaction = database.begin_write().map_err(medium)?;
            remove(&transaction, &[cid.to_bytes()])?;
            transaction.commit().map_err(medium)
        })
        .await
    }
}

/// Says what is damaged in a file that did not pass the check on opening.
fn open_error(error: DatabaseError, path: &Path) -> StoreError {
    if !matches!(error, DatabaseError::Storage(StorageError::Corrupted(_))) {
        return medium(error);
    }
    // redb may panic over a file with false pages, which it has just found this one to be.
    match std::panic::catch_unwind(|| find_damage(path)) {
        Ok(Err(found @ (StoreError::Damaged { .. } | StoreError::DamagedRecord { .. }))) => found,
        _ => medium(error),
    }
}

/// Reads every record and every blob.
fn find_damage(path: &Path) -> Result<(), StoreError> {
    let database = Database::builder().set_cache_size(CACHE).create(path).map_err(medium)?;
    let transaction = database.begin_read().map_err(medium)?;
    for item in transaction.open_table(RECORDS).map_err(medium)?.iter().map_err(medium)? {
        let (key, value) = item.map_err(medium)?;
        let (campaign, index) = key.value();
        let campaign = CampaignId(Cid::try_from(&campaign[..]).map_err(medium)?);
        read_record(campaign, index, value.value())?;
    }
    for item in transaction.open_table(BLOBS).map_err(medium)?.iter().map_err(medium)? {
        let (key, value) = item.map_err(medium)?;
        let cid = Cid::try_from(&key.value()[..]).map_err(medium)?;
        check_get(&cid, value.value().to_vec())?;
    }
    Ok(())
}

fn append(
    database: &Database,
    campaign: CampaignId,
    records: &[Record],
    keep: &[Cid],
) -> Result<(), StoreError> {
    let transaction = database.begin_write().map_err(medium)?;
    append_records(&transaction, campaign, records)?;
    keep_blobs(&transaction, keep)?;
    transaction.commit().map_err(medium)
}

fn append_records(
    transaction: &WriteTransaction,
    campaign: CampaignId,
    records: &[Record],
) -> Result<(), StoreError> {
    let mut table = transaction.open_table(RECORDS).map_err(medium)?;
    let mut expected = length(&table, campaign)?;
    for record in records {
        if record.index != expected {
            return Err(StoreError::NotNext { expected, found: record.index });
        }
        let bytes = encode(record).map_err(medium)?;
        let check = Cid::of_cbor(&bytes).to_bytes();
        table.insert((&campaign.0.to_bytes(), record.index), (&bytes[..], &check)).map_err(medium)?;
        expected = expected.saturating_add(1);
    }
    Ok(())
}

fn keep_blobs(transaction: &WriteTransaction, keep: &[Cid]) -> Result<(), StoreError> {
    let blobs = transaction.open_table(BLOBS).map_err(medium)?;
    let mut loose = transaction.open_table(LOOSE).map_err(medium)?;
    for cid in keep {
        if !holds(&blobs, cid)? {
            return Err(StoreError::Missing { cid: *cid });
        }
        loose.remove(&cid.to_bytes()).map_err(medium)?;
    }
    Ok(())
}

fn records(
    database: &Database,
    campaign: CampaignId,
    from: u64,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let key = campaign.0.to_bytes();
    let transaction = database.begin_read().map_err(medium)?;
    let table = transaction.open_table(RECORDS).map_err(medium)?;
    let mut records = Vec::new();
    for item in table.range((&key, from)..=(&key, u64::MAX)).map_err(medium)?.take(limit) {
        let (_, value) = item.map_err(medium)?;
        let index = from.saturating_add(records.len() as u64);
        records.push(read_record(campaign, index, value.value())?);
    }
    Ok(records)
}

/// Checks a record on its way out.
fn read_record(
    campaign: CampaignId,
    index: u64,
    (bytes, check): (&[u8], &[u8; 36]),
) -> Result<Record, StoreError> {
    let damaged = || StoreError::DamagedRecord { campaign, index };
    if Cid::of_cbor(bytes).to_bytes() != *check {
        return Err(damaged());
    }
    let record: Record = decode(bytes, MAX_RECORD).map_err(|_damage| damaged())?;
    if record.index == index { Ok(record) } else { Err(damaged()) }
}

fn length(
    table: &impl ReadableTable<RecordKey, RecordValue>,
    campaign: CampaignId,
) -> Result<u64, StoreError> {
    let key = campaign.0.to_bytes();
    let last = table.range((&key, 0)..=(&key, u64::MAX)).map_err(medium)?.next_back();
    let Some(last) = last.transpose().map_err(medium)? else {
        return Ok(0);
    };
    Ok(last.0.value().1.saturating_add(1))
}

fn put(database: &Database, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
    let key = cid.to_bytes();
    let transaction = database.begin_write().map_err(medium)?;
    {
        let mut blobs = transaction.open_table(BLOBS).map_err(medium)?;
        let mut loose = transaction.open_table(LOOSE).map_err(medium)?;
        let held = blobs.insert(&key, bytes).map_err(medium)?.is_some();
        // A kept blob stays kept; a loose one starts its time again.
        if !held || loose.get(&key).map_err(medium)?.is_some() {
            loose.insert(&key, now()).map_err(medium)?;
        }
    }
    transaction.commit().map_err(medium)
}

fn holds(
    table: &impl ReadableTable<&'static [u8; 36], &'static [u8]>,
    cid: &Cid,
) -> Result<bool, StoreError> {
    Ok(table.get(&cid.to_bytes()).map_err(medium)?.is_some())
}

fn sweep(database: &Database, before: u64) -> Result<usize, StoreError> {
    let transaction = database.begin_write().map_err(medium)?;
    let old = old_blobs(&transaction, before)?;
    remove(&transaction, &old)?;
    transaction.commit().map_err(medium)?;
    Ok(old.len())
}

fn old_blobs(transaction: &WriteTransaction, before: u64) -> Result<Vec<[u8; 36]>, StoreError> {
    let loose = transaction.open_table(LOOSE).map_err(medium)?;
    let mut old = Vec::new();
    for item in loose.iter().map_err(medium)? {
        let (cid, came) = item.map_err(medium)?;
        if came.value() < before {
            old.push(*cid.value());
        }
    }
    Ok(old)
}

fn remove(transaction: &WriteTransaction, cids: &[[u8; 36]]) -> Result<(), StoreError> {
    let mut blobs = transaction.open_table(BLOBS).map_err(medium)?;
    let mut loose = transaction.open_table(LOOSE).map_err(medium)?;
    for cid in cids {
        blobs.remove(cid).map_err(medium)?;
        loose.remove(cid).map_err(medium)?;
    }
    Ok(())
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn medium(error: impl std::fmt::Display) -> StoreError {
    StoreError::Medium(error.to_string())
}

#[cfg(test)]
mod tests;
