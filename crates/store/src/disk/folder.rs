//! Blobs as files named by their ids, beside the log that says which of them are pinned.
//!
//! A file gets its name once its bytes are on the medium, and the name is on the medium before anybody is told. A blob
//! is unpinned until a row of the log's file pins it; unpinned ones are known in memory alone, so that whatever strangers hand
//! over neither writes to that file nor makes it grow, and a deleted one gives its space back at once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use lichen_record::Cid;

use crate::blobs::StoreError;

/// Where unfinished files are, below the folder.
const UNFINISHED: &str = "new";

/// How long a blob stays that no log needs any more: whoever was just about to name it can.
const LEAVE: Duration = Duration::from_secs(60);

/// What a file takes at least: a medium gives out whole blocks.
const BLOCK: u64 = 4096;

/// How much the blobs take, in bytes of whole blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blobs that an entry names.
    pub pinned: u64,
    /// Blobs that came in and may be dropped.
    pub unpinned: u64,
    /// Blobs that a log named, and needs no more.
    pub leaving: u64,
    /// Blobs that are still being written.
    pub incoming: u64,
    /// How many are pinned.
    pub pinned_blobs: usize,
    /// How many may be dropped.
    pub unpinned_blobs: usize,
}

/// The folder, and what is unpinned in it.
pub(super) struct Folder {
    path: PathBuf,
    index: Mutex<Index>,
    /// Held while a file gets or loses its name.
    names: Mutex<()>,
    next: AtomicU64,
    incoming: AtomicU64,
}

#[derive(Default)]
struct Index {
    unpinned: HashMap<Cid, Unpinned>,
    unpinned_bytes: u64,
    leaving_bytes: u64,
    pinned_blobs: usize,
    pinned_bytes: u64,
}

#[derive(Clone, Copy)]
struct Unpinned {
    length: u64,
    came: Instant,
    /// Whether somebody is about to pin it.
    is_wanted: bool,
    /// Whether it was pinned before.
    is_leaving: bool,
}

impl Folder {
    /// Reads which blobs are there; `pinned` are those that must be, with their lengths. Every other one is unpinned.
    pub(super) fn open(path: PathBuf, pinned: &HashMap<Cid, u64>) -> Result<Self, StoreError> {
        let unfinished = path.join(UNFINISHED);
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&unfinished).map_err(failed)?;
        let mut index = Index::default();
        let mut found = 0_usize;
        for item in fs::read_dir(&path).map_err(failed)? {
            let item = item.map_err(failed)?;
            let Some(cid) = item.file_name().to_str().and_then(|name| name.parse::<Cid>().ok()) else {
                continue;
            };
            let metadata = item.metadata().map_err(failed)?;
            match pinned.get(&cid) {
                Some(length) if *length == metadata.len() => {
                    found += 1;
                    index.count_pinned(*length);
                }
                Some(_other) => return Err(StoreError::Damaged { cid }),
                None => index.insert(cid, Unpinned::found(&metadata)),
            }
        }
        if found < pinned.len()
            && let Some(cid) = pinned.keys().find(|cid| !path.join(cid.to_string()).is_file())
        {
            return Err(StoreError::Damaged { cid: *cid });
        }
        let (index, names) = (Mutex::new(index), Mutex::default());
        Ok(Self { path, index, names, next: AtomicU64::default(), incoming: AtomicU64::default() })
    }

    // Each change of the index is whole whatever happened to another thread.
    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn names(&self) -> MutexGuard<'_, ()> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, cid: &Cid) -> PathBuf {
        self.path.join(cid.to_string())
    }

    pub(super) fn usage(&self) -> Usage {
        let index = self.index();
        Usage {
            pinned: index.pinned_bytes,
            unpinned: index.unpinned_bytes,
            leaving: index.leaving_bytes,
            incoming: self.incoming.load(Ordering::Relaxed),
            pinned_blobs: index.pinned_blobs,
            unpinned_blobs: index.unpinned.len(),
        }
    }

    /// Whether the blob is here and may be dropped.
    pub(super) fn is_unpinned(&self, cid: &Cid) -> bool {
        self.index().unpinned.contains_key(cid)
    }

    /// Opens a blob's file, if there is one.
    pub(super) fn read(&self, cid: &Cid) -> Result<Option<File>, StoreError> {
        match File::open(self.file(cid)) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// A new file for bytes that have no name yet.
    pub(super) fn begin(&self) -> Result<(File, PathBuf), StoreError> {
        let name = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        let path = self.path.join(UNFINISHED).join(name);
        Ok((File::create(&path).map_err(failed)?, path))
    }

    /// Counts bytes of unfinished files.
    pub(super) fn count_incoming(&self, more: u64) {
        self.incoming.fetch_add(more, Ordering::Relaxed);
    }

    /// Counts bytes no longer as those of unfinished files.
    pub(super) fn forget_incoming(&self, less: u64) {
        self.incoming.fetch_sub(less, Ordering::Relaxed);
    }

    /// Gives a finished file its name; unpinned unless `is_pinned`.
    pub(super) fn finish(
        &self,
        unfinished: &Path,
        cid: &Cid,
        length: u64,
        is_pinned: impl FnOnce() -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let _names = self.names();
        fs::rename(unfinished, self.file(cid)).map_err(failed)?;
        sync_folder(&self.path).map_err(failed)?;
        let mut index = self.index();
        // Asked while the index is held: whoever pins it meanwhile finds it in the index, or has a row already.
        if !is_pinned()? {
            index
                .insert(*cid, Unpinned { length, came: Instant::now(), is_wanted: false, is_leaving: false });
        }
        Ok(())
    }

    /// Lets an unpinned blob stay a while longer; whether there is one.
    pub(super) fn touch(&self, cid: &Cid) -> bool {
        match self.index().unpinned.get_mut(cid) {
            Some(unpinned) => {
                unpinned.came = Instant::now();
                true
            }
            None => false,
        }
    }

    /// These, with their lengths, are pinned no more.
    pub(super) fn unpin(&self, blobs: &[(Cid, u64)]) {
        let mut index = self.index();
        for (cid, length) in blobs {
            index.forget_pinned(*length);
            let came = Instant::now();
            index.insert(*cid, Unpinned { length: *length, came, is_wanted: false, is_leaving: true });
        }
    }

    /// Lets an unpinned blob's time begin again.
    pub(super) fn refresh(&self, cid: &Cid) {
        if let Some(unpinned) = self.index().unpinned.get_mut(cid) {
            unpinned.came = Instant::now();
            // After a start its age counts from when it came first, if this fails.
            let _dated = File::open(self.file(cid)).and_then(|file| file.set_modified(SystemTime::now()));
        }
    }

    /// Dates a blob's file: what was unpinned elsewhere keeps its age here.
    pub(super) fn date(&self, cid: &Cid, came: SystemTime) -> Result<(), StoreError> {
        File::open(self.file(cid)).and_then(|file| file.set_modified(came)).map_err(failed)
    }

    /// Makes sure that an unpinned blob stays until it is pinned or released; its length, if it is here.
    pub(super) fn want(&self, cid: &Cid) -> Option<u64> {
        let mut index = self.index();
        let unpinned = index.unpinned.get_mut(cid)?;
        unpinned.is_wanted = true;
        Some(unpinned.length)
    }

    /// What was wanted is pinned now.
    pub(super) fn pin(&self, cids: &[Cid]) {
        let mut index = self.index();
        for cid in cids {
            if let Some(length) = index.remove(cid) {
                index.count_pinned(length);
            }
        }
    }

    /// What was wanted may be dropped again.
    pub(super) fn release(&self, cids: &[Cid]) {
        let mut index = self.index();
        for cid in cids {
            if let Some(unpinned) = index.unpinned.get_mut(cid) {
                unpinned.is_wanted = false;
            }
        }
    }

    /// Deletes a blob that no row pins any more; `pinned` is its length if one did.
    pub(super) fn remove(&self, cid: &Cid, pinned: Option<u64>) -> Result<(), StoreError> {
        let _names = self.names();
        {
            let mut index = self.index();
            index.remove(cid);
            if let Some(length) = pinned {
                index.forget_pinned(length);
            }
        }
        self.delete(cid)
    }

    /// Deletes unpinned blobs that came longer ago than this, and says how many.
    pub(super) fn sweep(
        &self,
        age: Duration,
        is_pinned: impl Fn(&Cid) -> Result<bool, StoreError>,
    ) -> Result<usize, StoreError> {
        let old: Vec<Cid> = {
            let index = self.index();
            let is_old = |unpinned: &Unpinned| !unpinned.is_wanted && unpinned.is_due(age);
            index
                .unpinned
                .iter()
                .filter(|(_cid, unpinned)| is_old(unpinned))
                .map(|(cid, _unpinned)| *cid)
                .collect()
        };
        let mut dropped = 0;
        for cid in old {
            // Unpinned and pinned at once would be our own mistake, and the log is worth more than the space.
            if !is_pinned(&cid)? {
                dropped += usize::from(self.drop_if(&cid, |unpinned| unpinned.is_due(age))?);
            }
        }
        Ok(dropped)
    }

    /// Deletes an unpinned blob, unless somebody is about to pin it.
    pub(super) fn drop_unpinned(&self, cid: &Cid) -> Result<bool, StoreError> {
        self.drop_if(cid, |_unpinned| true)
    }

    /// Deletes an unpinned blob that nobody wants, if this still holds of it.
    fn drop_if(&self, cid: &Cid, is_due: impl Fn(&Unpinned) -> bool) -> Result<bool, StoreError> {
        let _names = self.names();
        {
            let mut index = self.index();
            if !index.unpinned.get(cid).is_some_and(|unpinned| !unpinned.is_wanted && is_due(unpinned)) {
                return Ok(false);
            }
            index.remove(cid);
        }
        self.delete(cid)?;
        Ok(true)
    }

    fn delete(&self, cid: &Cid) -> Result<(), StoreError> {
        match fs::remove_file(self.file(cid)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

impl Index {
    fn insert(&mut self, cid: Cid, unpinned: Unpinned) {
        let is_wanted = self.unpinned.get(&cid).is_some_and(|before| before.is_wanted);
        self.remove(&cid);
        *self.bytes(unpinned.is_leaving) += blocks(unpinned.length);
        self.unpinned.insert(cid, Unpinned { is_wanted, ..unpinned });
    }

    fn remove(&mut self, cid: &Cid) -> Option<u64> {
        let unpinned = self.unpinned.remove(cid)?;
        let bytes = self.bytes(unpinned.is_leaving);
        *bytes = bytes.saturating_sub(blocks(unpinned.length));
        Some(unpinned.length)
    }

    const fn bytes(&mut self, is_leaving: bool) -> &mut u64 {
        if is_leaving { &mut self.leaving_bytes } else { &mut self.unpinned_bytes }
    }

    fn forget_pinned(&mut self, length: u64) {
        self.pinned_blobs = self.pinned_blobs.saturating_sub(1);
        self.pinned_bytes = self.pinned_bytes.saturating_sub(blocks(length));
    }

    fn count_pinned(&mut self, length: u64) {
        self.pinned_blobs += 1;
        self.pinned_bytes += blocks(length);
    }
}

impl Unpinned {
    /// Whether it has been here for as long as it may.
    fn is_due(&self, age: Duration) -> bool {
        self.came.elapsed() >= if self.is_leaving { age.min(LEAVE) } else { age }
    }

    /// One that an earlier run left. Its age is what the clock says, and nothing where that was set back.
    fn found(metadata: &fs::Metadata) -> Self {
        let age = metadata.modified().ok().and_then(|came| SystemTime::now().duration_since(came).ok());
        let now = Instant::now();
        let came = now.checked_sub(age.unwrap_or_default()).unwrap_or(now);
        Self { length: metadata.len(), came, is_wanted: false, is_leaving: false }
    }
}

/// A file's length in whole blocks.
pub(super) fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1).saturating_mul(BLOCK)
}

/// Makes names that were given or taken in a folder survive a loss of power.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// What an error of the file system is to a store.
#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`, which gives the error away")]
pub(super) fn failed(error: io::Error) -> StoreError {
    if is_full(&error) { StoreError::NoSpace } else { StoreError::Medium(error.to_string()) }
}

/// Whether it says that there is no space left.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
