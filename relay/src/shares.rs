//! Places that networks share: how many of something there are at a time, in all and for each network.
//!
//! Whoever waits for a place waits in its network's own queue first, so that many from one network do not stand in the
//! way of the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::metrics::Metrics;

/// How many places there are, and who has them.
pub(crate) struct Shares {
    /// The limit's name in the metrics.
    name: &'static str,
    all: Arc<Semaphore>,
    per_network: usize,
    networks: Mutex<HashMap<IpAddr, Arc<Semaphore>>>,
    metrics: Arc<Metrics>,
}

/// A place, given back when dropped.
pub(crate) struct Place {
    permits: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
    network: IpAddr,
    shares: Arc<Shares>,
}

impl Shares {
    pub(crate) fn new(
        name: &'static str,
        all: usize,
        per_network: usize,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let (all, networks, metrics) = (Arc::new(Semaphore::new(all)), Mutex::default(), Arc::clone(metrics));
        Arc::new(Self { name, all, per_network, networks, metrics })
    }

    /// A place, if one is free.
    pub(crate) fn take(self: &Arc<Self>, network: IpAddr) -> Option<Place> {
        let of_network = self.of(network).try_acquire_owned().ok();
        let permits = of_network.and_then(|one| Some((one, Arc::clone(&self.all).try_acquire_owned().ok()?)));
        if permits.is_none() {
            self.metrics.limit(self.name);
            self.forget(network);
        }
        permits.map(|permits| self.place(network, permits))
    }

    /// A place, once one is free, unless that takes too long.
    pub(crate) async fn wait(self: &Arc<Self>, network: IpAddr, patience: Duration) -> Option<Place> {
        let permits = async {
            let of_network = self.of(network).acquire_owned().await.ok()?;
            Some((of_network, Arc::clone(&self.all).acquire_owned().await.ok()?))
        };
        let permits = tokio::time::timeout(patience, permits).await.ok().flatten();
        if permits.is_none() {
            self.metrics.limit(self.name);
            self.forget(network);
        }
        permits.map(|permits| self.place(network, permits))
    }

    fn place(
        self: &Arc<Self>,
        network: IpAddr,
        permits: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Place {
        Place { permits: Some(permits), network, shares: Arc::clone(self) }
    }

    fn of(&self, network: IpAddr) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(self.per_network));
        Arc::clone(self.networks().entry(network).or_insert_with(new))
    }

    /// Remembers a network only while it has a place or waits for one.
    fn forget(&self, network: IpAddr) {
        let mut networks = self.networks();
        let is_idle =
            |one: &Arc<Semaphore>| Arc::strong_count(one) == 1 && one.available_permits() == self.per_network;
        if networks.get(&network).is_some_and(is_idle) {
            networks.remove(&network);
        }
    }

    // Each change is one call of the map, whatever happened to another thread.
    fn networks(&self) -> MutexGuard<'_, HashMap<IpAddr, Arc<Semaphore>>> {
        self.networks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permits.take());
        self.shares.forget(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shares(all: usize, per_network: usize) -> Arc<Shares> {
        Shares::new("of_a_test", all, per_network, &Arc::new(Metrics::new()))
    }

    fn network(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    #[test]
    fn a_network_has_its_share_and_all_together_theirs() {
        let shares = shares(3, 2);
        let mine: Vec<_> = (0..2).map(|_| shares.take(network(1)).unwrap()).collect();
        assert!(shares.take(network(1)).is_none());
        let other = shares.take(network(2)).unwrap();
        assert!(shares.take(network(3)).is_none(), "all are taken");
        drop(other);
        let other = shares.take(network(3)).unwrap();
        drop((mine, other));
        assert!(shares.networks().is_empty(), "who has nothing is forgotten");
        assert_eq!(shares.all.available_permits(), 3);
    }

    #[tokio::test]
    async fn who_waits_gets_the_next_one_of_the_own_network() {
        let shares = shares(8, 1);
        let first = shares.take(network(1)).unwrap();
        assert!(shares.wait(network(1), Duration::ZERO).await.is_none());
        let waiting = tokio::spawn({
            let shares = Arc::clone(&shares);
            async move { shares.wait(network(1), PATIENCE).await.is_some() }
        });
        assert!(shares.wait(network(2), PATIENCE).await.is_some(), "another network does not wait");
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(shares.networks().is_empty());
    }
}
