//! Blobs, checked against their ids, some of them fetched before they are needed.

use std::collections::VecDeque;

use futures::future::LocalBoxFuture;
use futures::stream::{FuturesOrdered, StreamExt};
use lichen_record::Cid;

use crate::{BlobRole, Fault, Source, SourceError};

/// Most bytes that are expected of everything that is on its way ahead of its use.
const AHEAD_BYTES: usize = 32 * 1024 * 1024;

/// Most blobs that are on their way at a time.
const AHEAD: usize = 32;

/// Fetches blobs and checks them against their ids.
pub(super) struct Blobs<'a, S> {
    source: &'a S,
    ahead: Ahead<'a>,
    /// Blobs checked.
    pub(super) count: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

impl<'a, S: Source> Blobs<'a, S> {
    pub(super) fn new(source: &'a S) -> Self {
        Self { source, ahead: Ahead::default(), count: 0, bytes: 0 }
    }

    /// Has what is expected from now on fetched ahead as far as it is of at most so many bytes each.
    pub(super) fn fetch_ahead(&mut self, length: usize) {
        self.ahead.length = length;
        self.ahead.most = (AHEAD_BYTES / length.max(1)).clamp(1, AHEAD);
    }

    /// Whether more could be on its way than is expected yet.
    pub(super) fn may_expect(&self) -> bool {
        self.ahead.named.len() + self.ahead.wanted.len() < self.ahead.most
    }

    /// Expects that these are needed next, after what is expected already, at a place in the order of the work.
    pub(super) fn expect(&mut self, place: u64, cids: impl Iterator<Item = Cid>) {
        self.ahead.wanted.extend(cids.map(|cid| (place, cid)));
    }

    /// The work has come to this place: what was only needed before is not fetched any more.
    pub(super) fn reach(&mut self, place: u64) {
        self.ahead.reach(place);
    }

    /// The bytes that an id names, at most `cap` of them.
    pub(super) async fn fetch(&mut self, cid: Cid, role: BlobRole, cap: usize) -> Result<Vec<u8>, Fault> {
        self.ahead.fill(self.source);
        let bytes = match self.ahead.take(&cid).await {
            // It is longer than expected, or not expected at all.
            Some(Err(SourceError::TooLarge { .. })) | None => self.source.blob(&cid, cap).await,
            Some(outcome) => outcome,
        };
        let bytes = bytes.map_err(|error| Fault::Blob { cid, role, error })?;
        if !cid.matches(&bytes) {
            return Err(Fault::BlobDiffers { cid, role });
        }
        self.count += 1;
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }
}

/// Blobs that are on their way before they are needed, in the order in which they will be.
#[derive(Default)]
struct Ahead<'a> {
    /// Most bytes of each.
    length: usize,
    /// How many may be on their way.
    most: usize,
    /// What is not on its way yet.
    wanted: VecDeque<(u64, Cid)>,
    /// What is, and the answers.
    named: VecDeque<(u64, Cid)>,
    under_way: FuturesOrdered<LocalBoxFuture<'a, Result<Vec<u8>, SourceError>>>,
}

impl<'a> Ahead<'a> {
    /// Asks for as many as may be on their way.
    fn fill<S: Source>(&mut self, source: &'a S) {
        while self.named.len() < self.most
            && let Some((place, cid)) = self.wanted.pop_front()
        {
            let length = self.length;
            self.named.push_back((place, cid));
            self.under_way.push_back(Box::pin(async move { source.blob(&cid, length).await }));
        }
    }

    /// What became of a blob that is on its way; none where it is not.
    async fn take(&mut self, cid: &Cid) -> Option<Result<Vec<u8>, SourceError>> {
        let before = self.named.iter().position(|(_place, named)| named == cid)?;
        self.named.drain(..=before);
        for _skipped in 0..before {
            let _unneeded = self.under_way.next().await?;
        }
        self.under_way.next().await
    }

    fn reach(&mut self, place: u64) {
        let is_over = |(of, _cid): &(u64, Cid)| *of < place;
        if self.named.iter().any(is_over) {
            // What is on its way in vain is not waited for, and the rest is asked for again.
            self.under_way.clear();
            self.named.drain(..).rev().for_each(|one| self.wanted.push_front(one));
        }
        while self.wanted.front().is_some_and(is_over) {
            self.wanted.pop_front();
        }
    }
}
