//! Moves blobs out of the log's file, where earlier versions had them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lichen_record::Cid;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::files::put;
use super::{PINNED, Shared, medium};
use crate::blobs::{StoreError, check_get};

/// Blobs: binary content id → bytes.
pub(super) const BLOBS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("blobs");

/// Blobs that may be dropped: binary content id → when they came, in milliseconds of Unix time.
pub(super) const LOOSE: TableDefinition<'_, &[u8; 36], u64> = TableDefinition::new("loose");

/// Whether the file has blobs in it.
pub(super) fn is_old(database: &Database) -> Result<bool, StoreError> {
    match database.begin_read().map_err(medium)?.open_table(BLOBS) {
        Ok(_table) => Ok(true),
        Err(TableError::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(medium(error)),
    }
}

/// Writes each blob into a file of its own, and then drops all of them from the log's file in one transaction. Broken off,
/// it begins again at the next start, and finds what it has written.
pub(super) fn move_blobs(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let mut pinned = Vec::new();
    {
        let transaction = shared.database.begin_read()?;
        let blobs = transaction.open_table(BLOBS).map_err(medium)?;
        let unpinned = match transaction.open_table(LOOSE) {
            Err(TableError::TableDoesNotExist(_)) => None,
            table => Some(table.map_err(medium)?),
        };
        for item in blobs.iter().map_err(medium)? {
            let (key, bytes) = item.map_err(medium)?;
            let cid = Cid::try_from(&key.value()[..]).map_err(medium)?;
            let bytes = check_get(&cid, bytes.value().to_vec())?;
            put(shared, &cid, &bytes)?;
            let came =
                unpinned.as_ref().map(|unpinned| unpinned.get(key.value())).transpose().map_err(medium)?;
            match came.flatten() {
                Some(came) => shared.folder.date(&cid, time(came.value()))?,
                None => pinned.push((cid, bytes.len() as u64)),
            }
        }
    }
    let transaction = shared.database.begin_write()?;
    {
        let mut table = transaction.open_table(PINNED).map_err(medium)?;
        for (cid, length) in &pinned {
            table.insert(&cid.to_bytes(), *length).map_err(medium)?;
        }
    }
    transaction.delete_table(BLOBS).map_err(medium)?;
    transaction.delete_table(LOOSE).map_err(medium)?;
    transaction.commit().map_err(medium)
}

fn time(milliseconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(milliseconds)).unwrap_or(UNIX_EPOCH)
}

/// Reads every blob.
pub(super) fn find_damage(database: &Database) -> Result<(), StoreError> {
    let transaction = database.begin_read().map_err(medium)?;
    let blobs = match transaction.open_table(BLOBS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(()),
        table => table.map_err(medium)?,
    };
    for item in blobs.iter().map_err(medium)? {
        let (key, value) = item.map_err(medium)?;
        let cid = Cid::try_from(&key.value()[..]).map_err(medium)?;
        check_get(&cid, value.value().to_vec())?;
    }
    Ok(())
}
