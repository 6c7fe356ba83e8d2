//! Which accounts are connected here, so that rounds need not wait for whoever has closed a tab.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lichen_record::AccountId;
use tokio::sync::Notify;

/// Counts each account's connections, and remembers whose first came or last went.
#[derive(Default)]
pub(crate) struct Presence {
    counts: Mutex<Counts>,
    changed: Notify,
}

#[derive(Default)]
struct Counts {
    connections: HashMap<AccountId, usize>,
    /// Accounts that have come or gone since it was asked last.
    changed: BTreeSet<AccountId>,
}

impl Presence {
    /// An account has one connection more.
    pub(crate) fn came(&self, account: AccountId) {
        let mut counts = self.counts();
        let connections = counts.connections.entry(account).or_default();
        *connections += 1;
        if *connections == 1 {
            self.note(counts, account);
        }
    }

    /// An account has one connection less.
    pub(crate) fn went(&self, account: AccountId) {
        let mut counts = self.counts();
        let Some(connections) = counts.connections.get_mut(&account) else { return };
        *connections = connections.saturating_sub(1);
        if *connections == 0 {
            counts.connections.remove(&account);
            self.note(counts, account);
        }
    }

    /// Whether the account has a connection.
    pub(crate) fn is_here(&self, account: &AccountId) -> bool {
        self.counts().connections.contains_key(account)
    }

    /// Waits until somebody has come or gone, and says who did since it was asked last, and who of them is here now.
    /// Dropping the future loses nothing.
    pub(crate) async fn changes(&self) -> Vec<(AccountId, bool)> {
        loop {
            let changes = self.take();
            if !changes.is_empty() {
                return changes;
            }
            self.changed.notified().await;
        }
    }

    fn take(&self) -> Vec<(AccountId, bool)> {
        let mut counts = self.counts();
        let changed = std::mem::take(&mut counts.changed);
        changed.into_iter().map(|account| (account, counts.connections.contains_key(&account))).collect()
    }

    fn note(&self, mut counts: MutexGuard<'_, Counts>, account: AccountId) {
        counts.changed.insert(account);
        drop(counts);
        self.changed.notify_one();
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counts stay right whatever happened to another thread: nothing in between can fail.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use lichen_record::SigningKey;

    use super::*;

    fn account(seed: u8) -> AccountId {
        SigningKey::generate([seed; 32]).account()
    }

    #[test]
    fn the_last_connection_counts() {
        let presence = Presence::default();
        let changes = || presence.changes().now_or_never();
        assert_eq!(changes(), None);
        presence.came(account(1));
        assert_eq!(changes(), Some(vec![(account(1), true)]));
        presence.came(account(1));
        presence.went(account(1));
        assert_eq!(changes(), None, "it has another connection");
        presence.went(account(1));
        assert_eq!(changes(), Some(vec![(account(1), false)]));
        assert!(!presence.is_here(&account(1)));
        presence.went(account(1));
        assert_eq!(changes(), None, "it was gone already");
    }

    #[test]
    fn whoever_is_back_before_it_is_asked_is_here() {
        let presence = Presence::default();
        presence.came(account(1));
        presence.went(account(1));
        presence.came(account(1));
        presence.came(account(2));
        let changes = presence.changes().now_or_never().unwrap();
        assert!(changes.iter().all(|(_account, is_here)| *is_here) && changes.len() == 2, "{changes:?}");
    }

    #[tokio::test]
    async fn changes_are_waited_for() {
        let presence = std::sync::Arc::new(Presence::default());
        let waiting = tokio::spawn({
            let presence = std::sync::Arc::clone(&presence);
            async move { presence.changes().await }
        });
        tokio::task::yield_now().await;
        presence.came(account(1));
        assert_eq!(waiting.await.unwrap(), [(account(1), true)]);
    }
}
