//! Places that networks share: how many of something there are at a time, in all, for each network, and for all networks of
//! a site ([`crate::fairness::rates::site`]).
//!
//! Whoever waits for a place waits in its network's own queue first, so that many from one network do not stand in the
//! way of the others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::fairness::rates::{of_site, site};
use crate::operating::metrics::Metrics;

/// How many places there are, and who has them.
pub(crate) struct Shares {
    /// The limit's name in the metrics.
    name: &'static str,
    all: Arc<Semaphore>,
    per_network: usize,
    per_site: usize,
    /// Of networks, and of sites.
    groups: Mutex<HashMap<Group, Arc<Semaphore>>>,
    metrics: Arc<Metrics>,
}

/// Whoever shares places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Group {
    Network(IpAddr),
    Site(IpAddr),
}

/// A place, given back when dropped.
pub(crate) struct Place {
    permits: Vec<OwnedSemaphorePermit>,
    network: IpAddr,
    shares: Arc<Shares>,
}

impl Shares {
    pub(crate) fn new(
        name: &'static str,
        in_all: usize,
        per_network: usize,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        let (all, groups, metrics) =
            (Arc::new(Semaphore::new(in_all)), Mutex::default(), Arc::clone(metrics));
        let per_site = of_site(in_all, per_network);
        Arc::new(Self { name, all, per_network, per_site, groups, metrics })
    }

    /// A place, if one is free.
    pub(crate) fn take(self: &Arc<Self>, network: IpAddr) -> Option<Place> {
        let mut place = Place { permits: Vec::with_capacity(3), network, shares: Arc::clone(self) };
        for (semaphore, limit) in self.semaphores(network) {
            let Ok(permit) = semaphore.try_acquire_owned() else {
                self.metrics.limit(limit);
                return None;
            };
            place.permits.push(permit);
        }
        Some(place)
    }

    /// A place, once one is free, unless that takes too long.
    pub(crate) async fn wait(self: &Arc<Self>, network: IpAddr, patience: Duration) -> Option<Place> {
        let mut place = Place { permits: Vec::with_capacity(3), network, shares: Arc::clone(self) };
        let mut waits_for = self.name;
        let permits = async {
            for (semaphore, limit) in self.semaphores(network) {
                waits_for = limit;
                place.permits.push(semaphore.acquire_owned().await.ok()?);
            }
            Some(())
        };
        if tokio::time::timeout(patience, permits).await.ok().flatten().is_none() {
            self.metrics.limit(waits_for);
            return None;
        }
        Some(place)
    }

    /// What a place takes one permit of each, the narrowest first, and the limit that each stands for.
    fn semaphores(&self, network: IpAddr) -> impl Iterator<Item = (Arc<Semaphore>, &'static str)> {
        let own = self.of(Group::Network(network), self.per_network);
        let site = site(network).map(|site| (self.of(Group::Site(site), self.per_site), "places_per_site"));
        std::iter::once((own, self.name)).chain(site).chain([(Arc::clone(&self.all), self.name)])
    }

    fn of(&self, group: Group, places: usize) -> Arc<Semaphore> {
        Arc::clone(self.groups().entry(group).or_insert_with(|| Arc::new(Semaphore::new(places))))
    }

    /// Remembers a group only while it has a place or waits for one.
    fn forget(&self, group: Group, places: usize) {
        let mut groups = self.groups();
        let is_idle = |one: &Arc<Semaphore>| Arc::strong_count(one) == 1 && one.available_permits() == places;
        if groups.get(&group).is_some_and(is_idle) {
            groups.remove(&group);
        }
    }

    // Each change is one call of the map, whatever happened to another thread.
    fn groups(&self) -> MutexGuard<'_, HashMap<Group, Arc<Semaphore>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permits.clear();
        let Self { network, shares, .. } = self;
        shares.forget(Group::Network(*network), shares.per_network);
        site(*network).into_iter().for_each(|site| shares.forget(Group::Site(site), shares.per_site));
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
        assert!(shares.groups().is_empty(), "who has nothing is forgotten");
        assert_eq!(shares.all.available_permits(), 3);
    }

    #[test]
    fn the_networks_of_a_site_share_its_places() {
        let shares = shares(20, 2);
        let network = |site: u16, number: u16| IpAddr::from([0x2001, 0xdb8, site, number, 0, 0, 0, 0]);
        let taken: Vec<_> = (0..100).filter_map(|number| shares.take(network(1, number))).collect();
        assert_eq!(taken.len(), 8, "four networks' share");
        let text = shares.metrics.text().unwrap();
        assert!(text.contains("limited_total{limit=\"places_per_site\"} 92"), "{text}");
        let other = shares.take(network(2, 1)).unwrap();
        drop((taken, other));
        assert!(shares.groups().is_empty() && shares.all.available_permits() == 20);
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
        assert!(shares.groups().is_empty());
    }
}
