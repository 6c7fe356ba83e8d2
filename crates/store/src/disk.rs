//! The relay's store: a log in an embedded database, blobs as files beside it.

use std::any::Any;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lichen_log::Record;
use lichen_log::tree::{Hash, TilePath};
use lichen_record::{CampaignId, Cid};
use redb::{
    CommitError, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
    TableError, TransactionError,
};

use crate::blobs::{Blobs, StoreError, check_put};

mod files;
mod folder;
mod log;
mod log_file;
mod migrate;
mod pins;
mod tree;

pub use files::{BlobReader, BlobWriter, PART};
pub use folder::Usage;
pub use pins::Pins;

use folder::{Folder, is_full};
use log::RECORDS;
use log_file::LogFile;
use pins::Sums;

/// Pinned blobs: binary content id → length. Their bytes are files.
const PINNED: TableDefinition<'_, &[u8; 36], u64> = TableDefinition::new("kept");

/// The last head that somebody else signed for a log: binary content id of the campaign → envelope.
const HEADS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("heads");

/// Largest file of a log that is checked as a whole when it is opened, in bytes: that takes half a second. Of a larger one, which
/// would take as much longer as it is larger, what is read is checked when it is read; after a crash the whole file is
/// checked, however large it is.
const CHECKED_WHOLE: u64 = 64 * 1024 * 1024;

/// Pages kept in memory, in bytes.
const CACHE: usize = 32 * 1024 * 1024;

/// The folder of the blobs, beside the log's file.
const BLOBS: &str = "blobs";

/// A relay's logs in one redb file, and its blobs as files in the folder `blobs` beside it.
///
/// What a finished call has written survives the process being killed and the machine losing power. Opening checks
/// the whole file, unless it is large, and that every pinned blob is there with its length; reading checks each blob against
/// its id and each record against a digest beside it.
///
/// A blob is unpinned when it comes in and may be dropped by [`Disk::sweep`] until [`Disk::append`] pins it. Unpinned ones
/// change nothing in the log's file, so that a disk full of them can be freed.
#[derive(Clone)]
pub struct Disk {
    shared: Arc<Shared>,
}

struct Shared {
    database: LogFile,
    folder: Folder,
    sums: Sums,
}

impl Disk {
    /// Opens the file and the folder beside it, or makes them. Only one process can have them open. Blobs that an
    /// earlier version has in the file are moved into the folder.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] or [`StoreError::DamagedRecord`] naming the first damage found, [`StoreError::NoSpace`]
    /// if what has to be written finds no space, and [`StoreError::Medium`] if the file is in use, unreadable, or damaged
    /// between blobs and records.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let mut database = open_database(path)?;
        if migrate::is_old(&database)? {
            let folder = open_folder(path, &database)?;
            let file = LogFile::new(path, database);
            let shared = Arc::new(Shared { database: file, folder, sums: Sums::default() });
            migrate::move_blobs(&shared)?;
            drop(shared);
            database = open_database(path)?;
            database.compact().map_err(medium)?;
        }
        let (folder, sums) = (open_folder(path, &database)?, Sums::open(&database)?);
        let database = LogFile::new(path, database);
        Ok(Self { shared: Arc::new(Shared { database, folder, sums }) })
    }

    /// Appends records to a campaign's log and pins the blobs named: all of it durably, or nothing.
    ///
    /// # Errors
    /// [`StoreError::NotNext`] if the records do not continue the log, [`StoreError::Missing`] if a blob to be pinned
    /// is not held; other errors if the medium fails. Nothing is changed then.
    pub async fn append(
        &self,
        campaign: CampaignId,
        records: Vec<Record>,
        pins: Vec<Cid>,
    ) -> Result<(), StoreError> {
        self.blocking(move |shared| shared.append(campaign, &records, &pins)).await
    }

    /// Keeps the signed head of a log that another relay orders, in place of the one before.
    ///
    /// # Errors
    /// If the head cannot be written.
    pub async fn keep_head(&self, campaign: CampaignId, envelope: Vec<u8>) -> Result<(), StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_write()?;
            let key = campaign.0.to_bytes();
            transaction.open_table(HEADS).map_err(medium)?.insert(&key, &envelope[..]).map_err(medium)?;
            transaction.commit().map_err(medium)
        })
        .await
    }

    /// The signed head kept last, unchecked.
    ///
    /// # Errors
    /// If the table of heads cannot be read.
    pub async fn head(&self, campaign: CampaignId) -> Result<Option<Vec<u8>>, StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_read()?;
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
        self.blocking(move |shared| log::records(&shared.database, campaign, from, limit)).await
    }

    /// The same as they were encoded, one after the other, and where each of them ends.
    ///
    /// # Errors
    /// As [`Disk::records`].
    pub async fn encoded_records(
        &self,
        campaign: CampaignId,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<u8>, Vec<usize>), StoreError> {
        self.blocking(move |shared| log::encoded(&shared.database, campaign, from, limit)).await
    }

    /// The root of the tree over a log's first `size` records; none if the tree does not reach that far yet.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub async fn tree_root(&self, campaign: CampaignId, size: u64) -> Result<Option<Hash>, StoreError> {
        self.blocking(move |shared| tree::root(&shared.database, campaign, size)).await
    }

    /// That a record stands in the tree over a log's first `size` records (RFC 6962); none if the tree does not reach that far
    /// yet, or the record is not among them.
    ///
    /// # Errors
    /// If the tree cannot be read.
    pub async fn inclusion(
        &self,
        campaign: CampaignId,
        index: u64,
        size: u64,
    ) -> Result<Option<Vec<Hash>>, StoreError> {
        self.blocking(move |shared| tree::inclusion(&shared.database, campaign, index, size)).await
    }

    /// A tile of that tree or a bundle of its entries; none if the tree does not have it.
    ///
    /// # Errors
    /// If the tree or a record cannot be read.
    pub async fn tile(&self, campaign: CampaignId, path: TilePath) -> Result<Option<Vec<u8>>, StoreError> {
        self.blocking(move |shared| tree::tile(&shared.database, campaign, &path)).await
    }

    /// Takes into the tree what was written by a version without one. Appending does the same.
    ///
    /// # Errors
    /// If the tree cannot be written.
    pub async fn grow_tree(&self, campaign: CampaignId) -> Result<(), StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_write()?;
            tree::grow(&transaction, campaign)?;
            transaction.commit().map_err(medium)
        })
        .await
    }

    /// Number of records in a campaign's log.
    ///
    /// # Errors
    /// If the records cannot be counted.
    pub async fn length(&self, campaign: CampaignId) -> Result<u64, StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_read()?;
            log::length(&transaction.open_table(RECORDS).map_err(medium)?, campaign)
        })
        .await
    }

    /// Closes the log's file for good, so that it is opened again without a look at all of it. Whatever still has it gets an error
    /// from then on.
    ///
    /// # Errors
    /// Never in practice: if the runtime has no thread for it.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.blocking(|shared| {
            shared.database.close();
            Ok(())
        })
        .await
    }

    /// Opens a blob to be read in parts, or nothing if the store does not hold it.
    ///
    /// # Errors
    /// If the file cannot be opened, or is missing though the blob is pinned.
    pub async fn read(&self, cid: &Cid) -> Result<Option<BlobReader>, StoreError> {
        let cid = *cid;
        self.blocking(move |shared| shared.read(&cid)).await
    }

    /// Begins to write a blob in parts; it is named by its bytes, once all of them are there.
    #[must_use]
    pub fn write(&self) -> BlobWriter {
        BlobWriter::new(Arc::clone(&self.shared))
    }

    /// How much the blobs take.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.folder.usage()
    }

    /// Drops unpinned blobs that came longer ago than `age`, and returns how many.
    ///
    /// # Errors
    /// If a file cannot be deleted.
    pub async fn sweep(&self, age: Duration) -> Result<usize, StoreError> {
        self.blocking(move |shared| shared.folder.sweep(age, |cid| shared.is_pinned(cid))).await
    }

    /// Whether the blob is here and may be dropped.
    #[must_use]
    pub fn is_unpinned(&self, cid: &Cid) -> bool {
        self.shared.folder.is_unpinned(cid)
    }

    /// Drops a blob if it is unpinned and nobody is about to pin it, and says whether it did.
    ///
    /// # Errors
    /// If the file cannot be deleted.
    pub async fn drop_unpinned(&self, cid: &Cid) -> Result<bool, StoreError> {
        let cid = *cid;
        self.blocking(move |shared| Ok(!shared.is_pinned(&cid)? && shared.folder.drop_unpinned(&cid)?)).await
    }

    // redb and files wait for the disk; the runtime's own threads must not.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let done = work(&shared);
            if matches!(done, Err(StoreError::NoSpace | StoreError::Medium(_))) {
                shared.database.doubt();
            }
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(medium)?
    }
}

impl Blobs for Disk {
    async fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut reader) = self.read(cid).await? else { return Ok(None) };
        let mut bytes = Vec::with_capacity(usize::try_from(reader.length()).map_err(medium)?);
        while let Some(part) = reader.next().await? {
            bytes.extend_from_slice(&part);
        }
        Ok(Some(bytes))
    }

    async fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        check_put(cid, bytes)?;
        let (cid, bytes) = (*cid, bytes.to_vec());
        self.blocking(move |shared| files::put(shared, &cid, &bytes)).await
    }

    async fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        let cid = *cid;
        self.blocking(move |shared| shared.holds(&cid)).await
    }

    async fn remove(&self, cids: &[Cid]) -> Result<(), StoreError> {
        let cids = cids.to_vec();
        self.blocking(move |shared| cids.iter().try_for_each(|cid| shared.remove(cid))).await
    }
}

impl Shared {
    fn append(&self, campaign: CampaignId, records: &[Record], pins: &[Cid]) -> Result<(), StoreError> {
        let transaction = self.database.begin_write()?;
        let is_new = log::length(&transaction.open_table(RECORDS).map_err(medium)?, campaign)? == 0;
        log::append_records(&transaction, campaign, records)?;
        tree::grow(&transaction, campaign)?;
        if is_new {
            pins::mark(&transaction, campaign)?;
        }
        let pinned = self.pin(&transaction, pins);
        let named = pinned.and_then(|pinned| pins::name(&transaction, campaign, &pinned));
        let committed = named.and_then(|added| transaction.commit().map_err(medium).map(|()| added));
        match committed {
            Ok(added) => {
                self.folder.pin(pins);
                self.sums.add(campaign, added);
                Ok(())
            }
            Err(error) => {
                self.folder.release(pins);
                Err(error)
            }
        }
    }

    fn read(&self, cid: &Cid) -> Result<Option<BlobReader>, StoreError> {
        match self.folder.read(cid)? {
            Some(file) => BlobReader::new(*cid, file).map(Some),
            None if self.is_pinned(cid)? => Err(StoreError::Damaged { cid: *cid }),
            None => Ok(None),
        }
    }

    fn holds(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.folder.is_unpinned(cid) || self.is_pinned(cid)?)
    }

    fn is_pinned(&self, cid: &Cid) -> Result<bool, StoreError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(PINNED).map_err(medium)?;
        Ok(table.get(&cid.to_bytes()).map_err(medium)?.is_some())
    }

    /// The row goes first: a file without one is unpinned, and a row without a file would be damage.
    fn remove(&self, cid: &Cid) -> Result<(), StoreError> {
        let mut length = None;
        if self.is_pinned(cid)? {
            let transaction = self.database.begin_write()?;
            let row = {
                let mut table = transaction.open_table(PINNED).map_err(medium)?;
                table.remove(&cid.to_bytes()).map_err(medium)?.map(|row| row.value())
            };
            let named = self.forget(&transaction, cid)?;
            transaction.commit().map_err(medium)?;
            for (campaign, length) in named {
                let mut taken = Pins::default();
                taken.add(length);
                self.sums.take(campaign, taken);
            }
            length = row;
        }
        self.folder.remove(cid, length)
    }
}

/// Opens the log's file, and makes its tables where they are not there yet: a full disk must not keep a relay from
/// starting that has nothing to write.
fn open_database(path: &Path) -> Result<Database, StoreError> {
    let database = Database::builder()
        .set_cache_size(CACHE)
        .set_check_integrity_on_open(is_checked_whole(path))
        .create(path)
        .map_err(|error| open_error(error, path))?;
    if has_tables(&database)? {
        return Ok(database);
    }
    let transaction = database.begin_write().map_err(medium)?;
    transaction.open_table(PINNED).map_err(medium)?;
    transaction.open_table(RECORDS).map_err(medium)?;
    transaction.open_table(HEADS).map_err(medium)?;
    transaction.commit().map_err(medium)?;
    Ok(database)
}

fn is_checked_whole(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() <= CHECKED_WHOLE)
}

fn has_tables(database: &Database) -> Result<bool, StoreError> {
    let transaction = database.begin_read().map_err(medium)?;
    let is_there = |found: Result<(), TableError>| match found {
        Ok(()) => Ok(true),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(medium(error)),
    };
    Ok(is_there(transaction.open_table(PINNED).map(drop))?
        && is_there(transaction.open_table(RECORDS).map(drop))?
        && is_there(transaction.open_table(HEADS).map(drop))?)
}

fn open_folder(path: &Path, database: &Database) -> Result<Folder, StoreError> {
    let transaction = database.begin_read().map_err(medium)?;
    let mut pinned = HashMap::new();
    for item in transaction.open_table(PINNED).map_err(medium)?.iter().map_err(medium)? {
        let (key, length) = item.map_err(medium)?;
        pinned.insert(Cid::try_from(&key.value()[..]).map_err(medium)?, length.value());
    }
    Folder::open(blobs_beside(path), &pinned)
}

fn blobs_beside(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(BLOBS)
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

/// Reads every record, and every blob that an earlier version has in the file.
fn find_damage(path: &Path) -> Result<(), StoreError> {
    let database = Database::builder().set_cache_size(CACHE).create(path).map_err(medium)?;
    log::find_damage(&database)?;
    migrate::find_damage(&database)
}

fn medium(error: impl std::fmt::Display + 'static) -> StoreError {
    match storage_error(&error) {
        Some(StorageError::Io(error)) if is_full(error) => StoreError::NoSpace,
        _ => StoreError::Medium(error.to_string()),
    }
}

/// What redb says of its file, wherever it says so.
fn storage_error(error: &dyn Any) -> Option<&StorageError> {
    if let Some(DatabaseError::Storage(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(TransactionError::Storage(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(TableError::Storage(error)) = error.downcast_ref() {
        return Some(error);
    }
    if let Some(CommitError::Storage(error)) = error.downcast_ref() {
        return Some(error);
    }
    error.downcast_ref()
}

#[cfg(test)]
mod tests;
