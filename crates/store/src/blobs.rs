//! The trait that every store of blobs implements.

use lichen_record::{CampaignId, Cid, MAX_BLOB};

/// Blobs by content id.
///
/// Futures are not required to be `Send`: a browser's stores live on one thread. Native stores' futures are.
#[expect(async_fn_in_trait, reason = "callers name the store they use, so `Send` follows from the type")]
pub trait Blobs {
    /// The bytes that `cid` names, checked against it, or nothing if the store does not hold them.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if what is held is not what the id names; other errors if the store fails.
    async fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps the bytes that `cid` names; keeping them twice is keeping them once.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Mismatch`] for the wrong bytes, which changes nothing; other errors
    /// if the store fails.
    async fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError>;

    /// Keeps bytes that can be had again from elsewhere: the store may forget them whenever it likes.
    ///
    /// # Errors
    /// As [`Blobs::put`]'s.
    async fn put_for_now(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        self.put(cid, bytes).await
    }

    /// Whether the store holds bytes under this id; they are not read.
    ///
    /// # Errors
    /// If the store fails.
    async fn has(&self, cid: &Cid) -> Result<bool, StoreError>;

    /// Forgets the bytes under these ids, as far as there are any.
    ///
    /// # Errors
    /// If the store fails; some may be forgotten then, and others not.
    async fn remove(&self, cids: &[Cid]) -> Result<(), StoreError>;
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// More bytes than a blob may have.
    #[error("a blob of {size} bytes, at most {MAX_BLOB} allowed")]
    TooLarge {
        /// Bytes given.
        size: usize,
    },
    /// The bytes given are not the ones that the id names.
    #[error("the bytes are not the ones that {cid} names")]
    Mismatch {
        /// The id given.
        cid: Cid,
    },
    /// The bytes held are not the ones that the id names.
    #[error("the stored bytes of {cid} are damaged")]
    Damaged {
        /// The id asked for.
        cid: Cid,
    },
    /// A record of a log is missing or not as it was written.
    #[error("the stored record {index} of campaign {campaign} is damaged")]
    DamagedRecord {
        /// Whose log.
        campaign: CampaignId,
        /// The record's place.
        index: u64,
    },
    /// The record to append does not come next.
    #[error("record {found} does not come next, record {expected} does")]
    NotNext {
        /// The log's length.
        expected: u64,
        /// The index given.
        found: u64,
    },
    /// A blob to be pinned is not held.
    #[error("the blob {cid} is not held")]
    Missing {
        /// Its id.
        cid: Cid,
    },
    /// There is no space left on the medium; nothing was written.
    #[error("the store is full: there is no space left on its disk")]
    NoSpace,
    /// The medium failed.
    #[error("the store failed: {0}")]
    Medium(String),
}

/// Checks bytes on their way into a store.
pub(crate) fn check_put(cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
    if bytes.len() > MAX_BLOB {
        return Err(StoreError::TooLarge { size: bytes.len() });
    }
    if !cid.matches(bytes) {
        return Err(StoreError::Mismatch { cid: *cid });
    }
    Ok(())
}

/// Checks bytes on their way out of a store.
pub(crate) fn check_get(cid: &Cid, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    if !cid.matches(&bytes) {
        return Err(StoreError::Damaged { cid: *cid });
    }
    Ok(bytes)
}
