//! A store that remembers what it was last given.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lichen_record::Cid;

use crate::blobs::{Blobs, StoreError, check_put};

/// Most bytes remembered: some rounds of small models, or one checkpoint of a larger one.
const REMEMBERED: usize = 8 << 20;

/// What is kept for now stays in memory alone if so many of its size fit there.
const FOR_NOW: usize = 16;

/// A slower store, with the blobs that were last put there in memory too.
///
/// A tab writes each checkpoint and update once and reads it several times within the round, and a browser's database
/// takes a millisecond or more for each time. A finished `put` has reached the slower store, as ever.
#[derive(Debug)]
pub struct Recent<B> {
    slower: B,
    /// The newest last, no id twice.
    blobs: Mutex<VecDeque<(Cid, Vec<u8>)>>,
}

impl<B> Recent<B> {
    /// Remembers nothing yet.
    #[must_use]
    pub const fn new(slower: B) -> Self {
        Self { slower, blobs: Mutex::new(VecDeque::new()) }
    }

    /// The slower store.
    pub const fn slower(&self) -> &B {
        &self.slower
    }

    // Each critical section leaves whole entries, so a poisoned lock still guards a whole queue.
    fn lock(&self) -> MutexGuard<'_, VecDeque<(Cid, Vec<u8>)>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, cid: &Cid, bytes: &[u8]) {
        let mut blobs = self.lock();
        if bytes.len() > REMEMBERED || blobs.iter().any(|(known, _bytes)| known == cid) {
            return;
        }
        blobs.push_back((*cid, bytes.to_vec()));
        let mut sum: usize = blobs.iter().map(|(_cid, bytes)| bytes.len()).sum();
        while sum > REMEMBERED {
            sum -= blobs.pop_front().map_or(sum, |(_cid, bytes)| bytes.len());
        }
    }
}

impl<B: Blobs> Blobs for Recent<B> {
    async fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        let known =
            self.lock().iter().find(|(known, _bytes)| known == cid).map(|(_cid, bytes)| bytes.clone());
        match known {
            Some(bytes) => Ok(Some(bytes)),
            None => self.slower.get(cid).await,
        }
    }

    async fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        self.slower.put(cid, bytes).await?;
        self.remember(cid, bytes);
        Ok(())
    }

    async fn put_for_now(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes.len() > REMEMBERED / FOR_NOW {
            return self.put(cid, bytes).await;
        }
        check_put(cid, bytes)?;
        self.remember(cid, bytes);
        Ok(())
    }

    async fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        let is_known = self.lock().iter().any(|(known, _bytes)| known == cid);
        if is_known { Ok(true) } else { self.slower.has(cid).await }
    }

    async fn remove(&self, cids: &[Cid]) -> Result<(), StoreError> {
        self.lock().retain(|(known, _bytes)| !cids.contains(known));
        self.slower.remove(cids).await
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::Memory;

    fn remembered(store: &Recent<Memory>) -> Vec<Cid> {
        store.lock().iter().map(|(cid, _bytes)| *cid).collect()
    }

    async fn put(store: &Recent<Memory>, bytes: &[u8]) -> Cid {
        let cid = Cid::of_raw(bytes);
        store.put(&cid, bytes).await.unwrap();
        cid
    }

    #[tokio::test]
    async fn keeps_the_promises_of_a_store() {
        crate::suite::run(|| async { Recent::new(Memory::new()) }).await;
    }

    #[tokio::test]
    async fn what_was_put_last_is_had_without_the_slower_store() {
        let store = Recent::new(Memory::new());
        let cid = put(&store, b"checkpoint").await;
        store.slower().remove(&[cid]).await.unwrap();
        assert!(store.has(&cid).await.unwrap());
        assert_eq!(store.get(&cid).await.unwrap().as_deref(), Some(&b"checkpoint"[..]));
    }

    #[tokio::test]
    async fn what_the_slower_store_refuses_is_not_remembered() {
        let store = Recent::new(Memory::new());
        assert!(store.put(&Cid::of_raw(b"one"), b"another").await.is_err());
        assert_eq!(remembered(&store), []);
    }

    #[tokio::test]
    async fn what_is_small_and_kept_for_now_does_not_reach_the_slower_store() {
        let store = Recent::new(Memory::new());
        for (size, is_stored) in [(REMEMBERED / FOR_NOW, false), (REMEMBERED / FOR_NOW + 1, true)] {
            let bytes = vec![1; size];
            let cid = Cid::of_raw(&bytes);
            store.put_for_now(&cid, &bytes).await.unwrap();
            assert_eq!(store.get(&cid).await.unwrap().as_ref(), Some(&bytes));
            assert_eq!(store.slower().has(&cid).await.unwrap(), is_stored);
        }
        assert!(store.put_for_now(&Cid::of_raw(b"one"), b"another").await.is_err());
        // Kept for good after all, it is kept there too.
        let cid = Cid::of_raw(b"update");
        store.put_for_now(&cid, b"update").await.unwrap();
        store.put(&cid, b"update").await.unwrap();
        assert!(store.slower().has(&cid).await.unwrap());
    }

    #[tokio::test]
    async fn the_oldest_is_forgotten_and_is_still_in_the_slower_store() {
        let store = Recent::new(Memory::new());
        let mut cids = Vec::new();
        for number in 0..5_u8 {
            cids.push(put(&store, &vec![number; REMEMBERED / 4]).await);
            put(&store, &vec![number; REMEMBERED / 4]).await;
        }
        assert_eq!(remembered(&store), cids[1..]);
        assert_eq!(store.get(&cids[0]).await.unwrap().map(|bytes| bytes.len()), Some(REMEMBERED / 4));
    }
}
