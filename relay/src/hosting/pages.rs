//! The log in pages as they go out: encoded once, and one copy of each in memory, however many read it and however slowly.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use axum::body::Bytes;
use lichen_net::hub::{MAX_RECORDS, parts};
use lichen_record::CampaignId;
use lichen_store::{Disk, StoreError};

use crate::log::ledger::SignedHead;

/// Pages kept ready besides those under way, in bytes.
const KEPT: usize = 8 * 1024 * 1024;

/// The pages of a campaign's log.
pub(crate) struct Pages {
    campaign: CampaignId,
    disk: Disk,
    loaded: Mutex<Loaded>,
    /// Held while a page is read from disk: whoever wants the same waits for it.
    loading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Loaded {
    /// By the index of their first record.
    alive: HashMap<u64, Weak<Chunk>>,
    recent: VecDeque<Arc<Chunk>>,
    recent_bytes: usize,
}

/// Records from a multiple of [`MAX_RECORDS`] on, at most [`MAX_RECORDS`] of them.
struct Chunk {
    first: u64,
    records: Bytes,
    ends: Vec<usize>,
}

/// Consecutive records with a head that is not behind them.
pub(crate) struct Page {
    head: Arc<[u8]>,
    records: Bytes,
    count: usize,
    /// Keeps the page's bytes shared while somebody has them.
    _chunk: Option<Arc<Chunk>>,
}

impl Page {
    /// How many records it has.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Its records as they were encoded, one after the other.
    pub(crate) const fn records(&self) -> &Bytes {
        &self.records
    }

    /// What stands before the records where the page stands alone.
    pub(crate) fn begin(&self) -> Vec<u8> {
        parts::records(&self.head, self.count)
    }

    /// What stands before them in a reply.
    pub(crate) fn begin_reply(&self) -> Vec<u8> {
        parts::records_reply(&self.head, self.count)
    }
}

impl Pages {
    pub(crate) fn new(campaign: CampaignId, disk: Disk) -> Self {
        Self { campaign, disk, loaded: Mutex::default(), loading: tokio::sync::Mutex::default() }
    }

    /// Records from an index on: at most `limit`, none behind the head, and only those of one chunk.
    pub(crate) async fn page(&self, from: u64, limit: usize, head: &SignedHead) -> Result<Page, StoreError> {
        let first = from - from % MAX_RECORDS as u64;
        // What was written after this head was signed is not its to vouch for.
        let vouched =
            usize::try_from(head.length.saturating_sub(first)).unwrap_or(usize::MAX).min(MAX_RECORDS);
        let begin = usize::try_from(from.saturating_sub(first)).unwrap_or(MAX_RECORDS);
        let end = vouched.min(begin.saturating_add(limit));
        if begin >= end {
            let (head, records) = (Arc::clone(&head.envelope), Bytes::new());
            return Ok(Page { head, records, count: 0, _chunk: None });
        }
        let chunk = self.chunk(first, end).await?;
        let end = end.min(chunk.ends.len());
        let records = chunk.records.slice(chunk.end(begin)..chunk.end(end).max(chunk.end(begin)));
        let count = end.saturating_sub(begin);
        Ok(Page { head: Arc::clone(&head.envelope), records, count, _chunk: Some(chunk) })
    }

    /// The chunk that begins there, with at least this many records if the log has them.
    async fn chunk(&self, first: u64, least: usize) -> Result<Arc<Chunk>, StoreError> {
        if let Some(chunk) = self.find(first, least) {
            return Ok(chunk);
        }
        let _loading = self.loading.lock().await;
        if let Some(chunk) = self.find(first, least) {
            return Ok(chunk);
        }
        let (records, ends) = self.disk.encoded_records(self.campaign, first, MAX_RECORDS).await?;
        let chunk = Arc::new(Chunk { first, records: records.into(), ends });
        self.loaded().add(&chunk);
        Ok(chunk)
    }

    fn find(&self, first: u64, least: usize) -> Option<Arc<Chunk>> {
        let chunk = self.loaded().alive.get(&first)?.upgrade()?;
        (chunk.ends.len() >= least).then_some(chunk)
    }

    // What another thread left is whole, or is read again.
    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loaded {
    fn add(&mut self, chunk: &Arc<Chunk>) {
        // A longer one takes the place of the chunk at the log's end.
        self.recent.retain(|one| one.first != chunk.first);
        self.recent.push_back(Arc::clone(chunk));
        self.recent_bytes = self.recent.iter().map(|chunk| chunk.records.len()).sum();
        while self.recent_bytes > KEPT
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.records.len();
        }
        self.alive.retain(|_first, chunk| chunk.strong_count() > 0);
        self.alive.insert(chunk.first, Arc::downgrade(chunk));
    }
}

impl Chunk {
    /// Where the first `count` records end.
    fn end(&self, count: usize) -> usize {
        let last = count.checked_sub(1).and_then(|last| self.ends.get(last));
        last.copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use lichen_log::{Chain, Record};
    use lichen_net::hub::Records;
    use lichen_record::{Entry, SigningKey, decode, verify};

    use super::*;

    fn log(campaign: CampaignId, length: u64) -> Vec<Record> {
        let key = SigningKey::generate([1; 32]);
        let mut chain = Chain::new(campaign);
        let entry = |sequence| verify(&key.sign(&Entry::Joined { campaign, sequence }).unwrap()).unwrap();
        (0..length).map(|n| chain.append(1_000 + n, &entry(n)).unwrap().0).collect()
    }

    #[tokio::test]
    async fn pages_are_what_the_log_has_and_shared() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::open(&folder.path().join("relay.redb")).unwrap();
        let campaign = CampaignId::of_manifest(b"a campaign");
        let records = log(campaign, 300);
        disk.append(campaign, records[..290].to_vec(), vec![]).await.unwrap();
        let pages = Pages::new(campaign, disk.clone());
        let head = |length| SignedHead { length, snapshot: None, envelope: Arc::from(b"a head".as_slice()) };
        let most = MAX_RECORDS;
        for (from, limit, length, end) in [
            (0, most, 290, 128),
            (5, most, 290, 128),
            (5, 2, 290, 7),
            (128, 1_000_000, 290, 256),
            (256, most, 290, 290),
            (256, most, 260, 260),
            (290, most, 290, 290),
            (299, most, 290, 299),
            (u64::MAX, most, 290, u64::MAX),
            (3, 0, 290, 3),
        ] {
            let page = pages.page(from, limit, &head(length)).await.unwrap();
            let bytes = [page.begin(), page.records().to_vec()].concat();
            let read: Records = decode(&bytes, 1_000_000).unwrap();
            let is_within = |record: &&Record| record.index >= from && record.index < end;
            let expected: Vec<Record> = records.iter().filter(is_within).cloned().collect();
            assert!(read.records == expected, "{from} {limit} {length}");
            assert_eq!((read.head.as_slice(), page.count()), (b"a head".as_slice(), expected.len()));
        }
        // A head may be signed before what it covers is looked up, and the chunk at the end grows.
        disk.append(campaign, records[290..].to_vec(), vec![]).await.unwrap();
        let grown = pages.page(280, most, &head(300)).await.unwrap();
        assert_eq!(grown.count(), 20);
        let again = pages.page(280, most, &head(300)).await.unwrap();
        assert_eq!(grown.records().as_ptr(), again.records().as_ptr(), "one copy for all");
    }
}
