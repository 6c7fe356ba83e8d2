//! How often an address may ask something, in memory that does not grow with the number of addresses: over UDP
//! anybody can write any sender on a packet.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use lichen_bucket::{Bucket, Rate};

/// Buckets. Addresses that share one share its allowance, which no sender can aim at: the hash is keyed.
const BUCKETS: usize = 1 << 16;

/// What each address may ask, and all together.
pub(crate) struct Rates {
    start: Instant,
    per_address: Rate,
    in_all: Rate,
    total: Bucket,
    buckets: Box<[Bucket]>,
    hasher: RandomState,
}

/// Which allowance is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exhausted {
    Address,
    All,
}

impl Rates {
    /// As many requests at once, and in each interval for good.
    pub(crate) fn new(interval: Duration, per_address: u32, in_all: u32) -> Self {
        let buckets = vec![Bucket::default(); BUCKETS].into_boxed_slice();
        let (per_address, in_all) = (Rate::new(per_address, interval), Rate::new(in_all, interval));
        let (start, hasher) = (Instant::now(), RandomState::new());
        Self { start, per_address, in_all, total: Bucket::default(), buckets, hasher }
    }

    /// Takes one of the address's allowance and one of everybody's, or neither.
    ///
    /// # Errors
    /// Whose is used up.
    pub(crate) fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Exhausted> {
        self.take_key(&network(address), now)
    }

    /// The same for any other key that identifies the sender.
    ///
    /// # Errors
    /// Whose is used up.
    pub(crate) fn take_key(&mut self, key: &impl Hash, now: Instant) -> Result<(), Exhausted> {
        let now = now.saturating_duration_since(self.start);
        let hash = self.hasher.hash_one(key);
        let buckets = self.buckets.len() as u64;
        let bucket = usize::try_from(hash % buckets).ok().and_then(|at| self.buckets.get_mut(at));
        // There is a bucket for every remainder; without one nobody would be let in.
        let Some(bucket) = bucket else { return Err(Exhausted::All) };
        if !bucket.holds(self.per_address, 1, now) {
            return Err(Exhausted::Address);
        }
        if !self.total.take(self.in_all, 1, now) {
            return Err(Exhausted::All);
        }
        bucket.take(self.per_address, 1, now);
        Ok(())
    }
}

/// What one customer of a provider has: an IPv4 address, or the upper half of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [one, two, three, four, ..] = address.segments();
            Ipv6Addr::new(one, two, three, four, 0, 0, 0, 0).into()
        }
    }
}

/// The site that a network is of, where sites have many: the /48 of an IPv6 one, which providers give to anybody who asks.
pub(crate) fn site(network: IpAddr) -> Option<IpAddr> {
    match network {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => {
            let [one, two, three, ..] = address.segments();
            Some(Ipv6Addr::new(one, two, three, 0, 0, 0, 0, 0).into())
        }
    }
}

/// How many of something a site's networks may have together: as many as four networks, but no more than half of all.
pub(crate) fn of_site(in_all: usize, per_network: usize) -> usize {
    (in_all / 2).min(per_network.saturating_mul(4)).max(per_network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_has_asked_comes_back_within_the_interval() {
        let mut rates = Rates::new(Duration::from_secs(1), 2, 1_000_000);
        let (now, one) = (rates.start, "192.0.2.1".parse().unwrap());
        assert_eq!(rates.take(one, now), Ok(()));
        assert_eq!(rates.take("::ffff:192.0.2.1".parse().unwrap(), now), Ok(()));
        assert_eq!(rates.take(one, now + Duration::from_millis(499)), Err(Exhausted::Address));
        assert_eq!(rates.take(one, now + Duration::from_millis(500)), Ok(()));
        assert_eq!(rates.take(one, now + Duration::from_millis(999)), Err(Exhausted::Address));
    }

    #[test]
    fn a_house_with_many_ipv6_addresses_is_one() {
        let mut rates = Rates::new(Duration::from_secs(1), 1, 1_000_000);
        let now = rates.start;
        assert_eq!(rates.take("2001:db8::1".parse().unwrap(), now), Ok(()));
        assert_eq!(rates.take("2001:db8::2".parse().unwrap(), now), Err(Exhausted::Address));
        assert_eq!(rates.take("2001:db8:0:1::1".parse().unwrap(), now), Ok(()));
    }

    #[test]
    fn all_addresses_together_have_one_too() {
        let mut rates = Rates::new(Duration::from_secs(1), 2, 5_000);
        let now = rates.start;
        let let_in = (0..100_000_u32).filter(|n| rates.take(IpAddr::from(n.to_be_bytes()), now).is_ok());
        assert_eq!(let_in.count(), 5_000);
    }

    #[test]
    fn a_site_has_many_networks_and_its_own_share() {
        let of = |address: &str| site(network(address.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:ffff::1"));
        assert_ne!(of("2001:db8:1::1"), of("2001:db8:2::1"));
        assert_eq!((of("192.0.2.1"), of("::ffff:192.0.2.1")), (None, None));
        assert_eq!(
            (of_site(8192, 1024), of_site(512, 128), of_site(256, 128), of_site(100, 80)),
            (4096, 256, 128, 80)
        );
    }
}
