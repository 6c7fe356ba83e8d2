//! Memory for work on whole blobs: checking updates, and adding them up. Work takes what it needs before it begins, and
//! waits while others have it.

use tokio::sync::{Semaphore, SemaphorePermit};

/// All of it, in KiB.
const KIB: usize = 192 * 1024;

/// What is left of it.
pub(crate) struct Workspace {
    kib: Semaphore,
}

/// Room for one piece of work, given back when dropped.
pub(crate) struct Room<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Workspace {
    pub(crate) fn new() -> Self {
        Self { kib: Semaphore::new(KIB) }
    }

    /// Waits for room for this many bytes. Work that needs more than all of it gets all of it.
    pub(crate) async fn reserve(&self, bytes: usize) -> Room<'_> {
        let kib = u32::try_from((bytes / 1024).saturating_add(1).min(KIB)).unwrap_or(u32::MAX);
        // It is never closed.
        Room { _permit: self.kib.acquire_many(kib).await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_larger_than_all_of_it_has_it_alone() {
        let workspace = Workspace::new();
        let large = workspace.reserve(usize::MAX).await;
        assert_eq!(workspace.kib.available_permits(), 0);
        drop(large);
        let _small = workspace.reserve(1).await;
        assert_eq!(workspace.kib.available_permits(), KIB - 1);
    }
}
