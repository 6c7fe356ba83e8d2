//! A store in memory, for tests of what stands on a store.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lichen_record::Cid;

use crate::blobs::{Blobs, StoreError, check_get, check_put};

/// Blobs in memory, gone when dropped.
#[derive(Debug, Default)]
pub struct Memory {
    blobs: Mutex<BTreeMap<Cid, Vec<u8>>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    // Each critical section is one call of the map, so a poisoned lock still guards a whole map.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Cid, Vec<u8>>> {
        self.blobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Blobs for Memory {
    async fn get(&self, cid: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.lock().get(cid).cloned();
        bytes.map(|bytes| check_get(cid, bytes)).transpose()
    }

    async fn put(&self, cid: &Cid, bytes: &[u8]) -> Result<(), StoreError> {
        check_put(cid, bytes)?;
        self.lock().insert(*cid, bytes.to_vec());
        Ok(())
    }

    async fn has(&self, cid: &Cid) -> Result<bool, StoreError> {
        Ok(self.lock().contains_key(cid))
    }

    async fn remove(&self, cids: &[Cid]) -> Result<(), StoreError> {
        self.lock().retain(|held, _bytes| !cids.contains(held));
        Ok(())
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keeps_the_promises_of_a_store() {
        crate::suite::run(|| async { Memory::new() }).await;
    }

    #[tokio::test]
    async fn damage_is_found_on_reading() {
        let store = Memory::new();
        let cid = Cid::of_raw(b"digits");
        store.put(&cid, b"digits").await.unwrap();
        store.lock().get_mut(&cid).unwrap()[0] ^= 1;
        assert!(matches!(store.get(&cid).await, Err(StoreError::Damaged { cid: found }) if found == cid));
    }
}
