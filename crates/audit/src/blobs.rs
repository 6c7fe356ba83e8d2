//! Blobs, checked against their ids.

use lichen_record::Cid;

use crate::{BlobRole, Fault, Source};

/// Fetches blobs and checks them against their ids.
pub(super) struct Blobs<'a, S> {
    pub(super) source: &'a S,
    pub(super) count: u64,
    pub(super) bytes: u64,
}

impl<S: Source> Blobs<'_, S> {
    pub(super) async fn fetch(&mut self, cid: Cid, role: BlobRole, cap: usize) -> Result<Vec<u8>, Fault> {
        let bytes = self.source.blob(&cid, cap).await.map_err(|error| Fault::Blob { cid, role, error })?;
        if !cid.matches(&bytes) {
            return Err(Fault::BlobDiffers { cid, role });
        }
        self.count += 1;
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }
}
