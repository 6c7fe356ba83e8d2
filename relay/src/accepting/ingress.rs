//! How fast bytes from one network are read: every byte must be deciphered, even if it is then refused.
//!
//! Faster senders are not refused. Their sockets are read later, so TCP makes them wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lichen_bucket::{Bucket, Rate};

use crate::fairness::rates::site;
use crate::operating::metrics::Metrics;

/// Bytes of one network that may be read at once, and the time in which as many more may come.
const BURST: u32 = 64 * 1024 * 1024;
const INTERVAL: Duration = Duration::from_secs(2);

const PER_NETWORK: Rate = Rate::new(BURST, INTERVAL);

/// All networks of one site together may send four times as much.
const PER_SITE: Rate = Rate::new(4 * BURST, INTERVAL);

/// Networks remembered before those that owe nothing are forgotten.
const FORGET_FROM: usize = 1024;

/// Whom something is charged to. The first network of a site has the site's address.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Payer {
    Network(IpAddr),
    Site(IpAddr),
}

/// What networks have sent lately.
pub(crate) struct Ingress {
    start: Instant,
    /// What each network and each site may still send; less than nothing if it has to wait.
    allowed: Mutex<HashMap<Payer, Bucket>>,
    metrics: Arc<Metrics>,
}

impl Ingress {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { start: Instant::now(), allowed: Mutex::default(), metrics })
    }

    /// Counts bytes read from a network, and returns how long to wait before reading more from it.
    pub(crate) fn read(&self, network: IpAddr, bytes: usize, now: Instant) -> Option<Duration> {
        let now = now.saturating_duration_since(self.start);
        // Each change leaves the map whole, whatever happened to another thread.
        let mut allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner);
        if allowed.len() >= FORGET_FROM {
            allowed.retain(|_payer, bucket| !bucket.is_full(now));
        }
        let mut charge = |payer, rate| {
            let wait = allowed.entry(payer).or_default().owe(rate, bytes as u64, now);
            (!wait.is_zero()).then_some(wait)
        };
        let own = charge(Payer::Network(network), PER_NETWORK);
        let of_site = site(network).and_then(|site| charge(Payer::Site(site), PER_SITE));
        drop(allowed);
        if own.is_some() {
            self.metrics.limit("received_bytes_per_address");
        } else if of_site.is_some() {
            self.metrics.limit("received_bytes_per_site");
        }
        own.max(of_site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: usize = 32 * 1024 * 1024;

    fn ingress() -> Arc<Ingress> {
        Ingress::new(Arc::new(Metrics::new()))
    }

    #[test]
    fn whoever_sends_too_fast_waits_and_others_do_not() {
        let ingress = ingress();
        let (fast, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let begin = ingress.start;
        assert_eq!(ingress.read(fast, 2 * SECOND, begin), None);
        assert_eq!(ingress.read(fast, SECOND / 2, begin), Some(Duration::from_millis(500)));
        assert_eq!(ingress.read(other, SECOND, begin), None);
        let text = ingress.metrics.text().unwrap();
        assert!(text.contains("limited_total{limit=\"received_bytes_per_address\"} 1"), "{text}");
        // Half a second later it has waited for that, and after a long silence no more than the burst is its due.
        assert_eq!(ingress.read(fast, 0, begin + Duration::from_millis(500)), None);
        let later = begin + Duration::from_secs(100);
        assert_eq!(ingress.read(fast, 3 * SECOND, later), Some(Duration::from_secs(1)));
    }

    #[test]
    fn the_networks_of_a_site_share() {
        let ingress = ingress();
        let network = |number| [0x2001, 0xdb8, 0, number, 0, 0, 0, 0].into();
        let waits: Vec<bool> =
            (0..5).map(|number| ingress.read(network(number), 2 * SECOND, ingress.start).is_some()).collect();
        assert_eq!(waits, [false, false, false, false, true]);
    }

    #[test]
    fn those_who_owe_nothing_are_forgotten() {
        let ingress = ingress();
        let later = ingress.start + Duration::from_secs(60);
        for number in 0..3000_u32 {
            let now = if number < 2000 { ingress.start } else { later };
            ingress.read(std::net::Ipv4Addr::from(number).into(), SECOND, now);
        }
        assert!(ingress.allowed.lock().unwrap().len() <= FORGET_FROM);
    }
}
