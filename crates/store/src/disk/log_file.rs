//! The log's file. Once something of it could not be read or written, redb does nothing more with it until it is opened
//! again: that is done here, so that a disk that was full goes on by itself once there is room.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, StorageError, TransactionError, WriteTransaction};

use super::{medium, open_database};
use crate::blobs::StoreError;

/// The log's file, open as far as it can be.
pub(super) struct LogFile {
    path: PathBuf,
    database: RwLock<Option<Database>>,
    /// Whether something has failed that may have been this file.
    is_in_doubt: AtomicBool,
    /// Whether it is closed for good.
    is_closed: AtomicBool,
}

impl LogFile {
    pub(super) fn new(path: &Path, database: Database) -> Self {
        let (database, is_in_doubt) = (RwLock::new(Some(database)), AtomicBool::new(false));
        Self { path: path.to_owned(), database, is_in_doubt, is_closed: AtomicBool::new(false) }
    }

    /// Notes that something has failed: whether the file has to be opened again is found out before it is used next.
    pub(super) fn doubt(&self) {
        self.is_in_doubt.store(true, Ordering::Relaxed);
    }

    /// Closes the file for good, with all that the next opening wants to know.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction, StoreError> {
        self.make_usable()?;
        self.with(|database| database.begin_read().map_err(medium))
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        self.make_usable()?;
        self.with(|database| database.begin_write().map_err(medium))
    }

    fn with<T>(&self, work: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        // Whoever held it and panicked has left it as it was: it is replaced as a whole.
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or_else(|| medium("the log's file is not open"))?)
    }

    /// Opens the file again where that is needed.
    fn make_usable(&self) -> Result<(), StoreError> {
        if !self.is_in_doubt.load(Ordering::Relaxed) || self.is_closed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.as_ref().is_none_or(is_spent) {
            // The old one has to be closed first: a file is open once.
            *database = None;
            *database = Some(open_database(&self.path)?);
        }
        self.is_in_doubt.store(false, Ordering::Relaxed);
        Ok(())
    }
}

/// Whether the database does nothing any more since its file failed.
fn is_spent(database: &Database) -> bool {
    let is_storage = |error: &StorageError| matches!(error, StorageError::PreviousIo | StorageError::Io(_));
    matches!(database.try_begin_write(), Err(TransactionError::Storage(error)) if is_storage(&error))
}
