//! Blobs in parts: neither reading nor writing one holds more than a part of it in memory.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use lichen_record::{Cid, CidHasher, Codec, MAX_BLOB};

use super::folder::{Folder, failed};
use super::{Shared, medium};
use crate::blobs::StoreError;

/// Most bytes of a blob in memory at a time, where it is read or written in parts.
pub const PART: usize = 64 * 1024;

/// A blob that is being read.
pub struct BlobReader {
    state: Option<Reading>,
    length: u64,
}

struct Reading {
    file: File,
    cid: Cid,
    hasher: CidHasher,
    left: u64,
}

impl BlobReader {
    pub(super) fn new(cid: Cid, file: File) -> Result<Self, StoreError> {
        let length = file.metadata().map_err(failed)?.len();
        let state = Some(Reading { file, cid, hasher: CidHasher::default(), left: length });
        Ok(Self { state, length })
    }

    /// Bytes of the whole blob.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The next part, at most [`PART`] bytes, or nothing after the last. The last one is given only once all bytes are
    /// known to be those that the id names.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if they are not; other errors if the store fails.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut reading) = self.state.take() else { return Ok(None) };
        let read = tokio::task::spawn_blocking(move || reading.next().map(|part| (reading, part)));
        let (reading, part) = read.await.map_err(medium)??;
        if reading.left > 0 {
            self.state = Some(reading);
        }
        Ok(Some(part))
    }
}

impl Reading {
    fn next(&mut self) -> Result<Vec<u8>, StoreError> {
        let size = usize::try_from(self.left).unwrap_or(PART).min(PART);
        let mut part = vec![0; size];
        match self.file.read_exact(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.damaged()),
            read => read.map_err(failed)?,
        }
        self.hasher.update(&part);
        self.left = self.left.saturating_sub(size as u64);
        if self.left == 0 && self.hasher.clone().finish(self.cid.codec()) != self.cid {
            return Err(self.damaged());
        }
        Ok(part)
    }

    const fn damaged(&self) -> StoreError {
        StoreError::Damaged { cid: self.cid }
    }
}

/// A blob that is being written. Dropped before it is finished, it leaves nothing behind.
pub struct BlobWriter {
    state: Option<Writing>,
    shared: Arc<Shared>,
}

struct Writing {
    file: File,
    hasher: CidHasher,
    length: u64,
    unfinished: Unfinished,
}

/// A file without a name of its own; deleted when dropped, unless it got one.
struct Unfinished {
    path: PathBuf,
    counted: u64,
    shared: Arc<Shared>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.shared.folder.forget_incoming(self.counted);
        // Where it has its name it is not here any more; what stays here is thrown away at the next start.
        let _renamed = fs::remove_file(&self.path);
    }
}

impl BlobWriter {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { state: None, shared }
    }

    /// Takes the next part.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] if it makes more than a blob may have, [`StoreError::NoSpace`] if the disk is full; other
    /// errors if the store fails.
    pub async fn add(&mut self, part: Vec<u8>) -> Result<(), StoreError> {
        self.step(move |writing| writing.add(&part)).await
    }

    /// Stores what was written under its id, unpinned unless it is pinned already.
    ///
    /// # Errors
    /// As [`BlobWriter::add`].
    pub async fn finish(mut self) -> Result<Cid, StoreError> {
        // A blob without a part is one, too.
        self.step(|_writing| Ok(())).await?;
        let Some(writing) = self.state.take() else { return Err(medium("a blob was not written")) };
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || writing.finish(&shared, Codec::Raw)).await.map_err(medium)?
    }

    async fn step(
        &mut self,
        work: impl FnOnce(&mut Writing) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let (state, shared) = (self.state.take(), Arc::clone(&self.shared));
        let step = tokio::task::spawn_blocking(move || {
            let mut writing = state.map_or_else(|| Writing::begin(&shared), Ok)?;
            work(&mut writing)?;
            Ok(writing)
        });
        self.state = Some(step.await.map_err(medium)??);
        Ok(())
    }
}

impl Writing {
    fn begin(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        let (file, path) = shared.folder.begin()?;
        let unfinished = Unfinished { path, counted: 0, shared: Arc::clone(shared) };
        Ok(Self { file, hasher: CidHasher::default(), length: 0, unfinished })
    }

    fn add(&mut self, part: &[u8]) -> Result<(), StoreError> {
        let length = self.length.saturating_add(part.len() as u64);
        if length > MAX_BLOB as u64 {
            return Err(StoreError::TooLarge { size: usize::try_from(length).unwrap_or(usize::MAX) });
        }
        self.unfinished.counted += part.len() as u64;
        self.unfinished.shared.folder.count_incoming(part.len() as u64);
        self.file.write_all(part).map_err(failed)?;
        self.hasher.update(part);
        self.length = length;
        Ok(())
    }

    fn finish(self, shared: &Shared, codec: Codec) -> Result<Cid, StoreError> {
        let Self { file, hasher, length, unfinished } = self;
        let cid = hasher.finish(codec);
        file.sync_all().map_err(failed)?;
        shared.folder.finish(&unfinished.path, &cid, length, || shared.is_pinned(&cid))?;
        Ok(cid)
    }
}

/// Writes all bytes of a blob, unless they are here as they should be.
pub(super) fn put(shared: &Arc<Shared>, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
    if is_held(&shared.folder, cid, bytes)? && shared.holds(cid)? {
        shared.folder.refresh(cid);
        return Ok(());
    }
    let mut writing = Writing::begin(shared)?;
    writing.add(bytes)?;
    writing.finish(shared, cid.codec()).map(drop)
}

/// Whether the blob's file has these very bytes.
fn is_held(folder: &Folder, cid: &Cid, bytes: &[u8]) -> Result<bool, StoreError> {
    let Some(mut file) = folder.read(cid)? else { return Ok(false) };
    if file.metadata().map_err(failed)?.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let mut buffer = vec![0; PART.min(bytes.len())];
    for part in bytes.chunks(PART) {
        let Some(read) = buffer.get_mut(..part.len()) else { return Ok(false) };
        file.read_exact(read).map_err(failed)?;
        if read != part {
            return Ok(false);
        }
    }
    Ok(true)
}
