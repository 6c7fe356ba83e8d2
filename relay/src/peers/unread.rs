//! Memory for what peers have sent and nobody has read yet: charged as it arrives, shared by networks.
//!
//! A peer may send 256 KiB on each of its streams before it has to wait, whatever we do: so says the protocol by which
//! streams share a connection. Where a network holds more than its share, or all hold more than theirs, the connection that
//! holds the most of whoever has the most is ended. An honest one's bytes are read as they come, so that it holds little.

mod held;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::fairness::rates::site;
use crate::operating::metrics::Metrics;
use held::Held;

/// Most bytes that wait of one network's connections, of those of one site's networks, and of all together.
const LIMITS: Limits =
    Limits { per_network: 64 * 1024 * 1024, per_site: 96 * 1024 * 1024, in_all: 192 * 1024 * 1024 };

/// Step in which a connection's bytes are charged: less than one step is free, so small requests touch no shared state.
const STEP: usize = 16 * 1024;

/// What all connections hold.
pub(crate) struct Unread {
    limits: Limits,
    charged: Mutex<Charged>,
    metrics: Arc<Metrics>,
}

#[derive(Clone, Copy)]
struct Limits {
    per_network: usize,
    per_site: usize,
    in_all: usize,
}

#[derive(Default)]
struct Charged {
    next: u64,
    total: usize,
    networks: HashMap<IpAddr, Network>,
    /// What the networks of each site hold together.
    sites: HashMap<IpAddr, usize>,
}

#[derive(Default)]
struct Network {
    total: usize,
    connections: HashMap<u64, Charge>,
}

struct Charge {
    bytes: usize,
    over: CancellationToken,
}

/// One connection's part, given back when dropped.
pub(crate) struct Connection {
    network: IpAddr,
    number: u64,
    over: CancellationToken,
    held: Mutex<(Held, usize)>,
    unread: Arc<Unread>,
}

impl Unread {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits: LIMITS, charged: Mutex::default(), metrics })
    }

    /// A connection from this network, which `over` ends.
    pub(crate) fn connection(self: &Arc<Self>, network: IpAddr, over: CancellationToken) -> Arc<Connection> {
        let mut charged = self.charged();
        let number = charged.next;
        charged.next = charged.next.wrapping_add(1);
        drop(charged);
        Arc::new(Connection { network, number, over, held: Mutex::default(), unread: Arc::clone(self) })
    }

    fn charge(&self, connection: &Connection, bytes: usize) {
        let mut charged = self.charged();
        charged.set(connection, bytes);
        if let Some((limit, network)) = self.exceeded(&charged, connection.network) {
            self.metrics.limit(limit);
            charged.end_largest(network);
        }
        self.metrics.unread_bytes.set(i64::try_from(charged.total).unwrap_or(i64::MAX));
    }

    /// The limit that is exceeded since this network's bytes changed, and the network that has to give some back.
    fn exceeded(&self, charged: &Charged, network: IpAddr) -> Option<(&'static str, IpAddr)> {
        let Limits { per_network, per_site, in_all } = self.limits;
        if charged.of(network) > per_network {
            return Some(("unread_bytes_per_address", network));
        }
        if let Some(of_site) = site(network)
            && charged.sites.get(&of_site).is_some_and(|bytes| *bytes > per_site)
        {
            return Some(("unread_bytes_per_site", charged.largest(Some(of_site))?));
        }
        if charged.total > in_all {
            return Some(("unread_bytes", charged.largest(None)?));
        }
        None
    }

    fn charged(&self) -> MutexGuard<'_, Charged> {
        // Sums stay right whatever happened to another thread: nothing in between can fail.
        self.charged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Charged {
    fn of(&self, network: IpAddr) -> usize {
        self.networks.get(&network).map_or(0, |network| network.total)
    }

    /// The network that holds the most, of this site or of whichever site or lone network holds the most.
    fn largest(&self, of_site: Option<IpAddr>) -> Option<IpAddr> {
        let networks = self.networks.iter().map(|(address, network)| (*address, network.total));
        let own = networks.filter(|(address, _own)| of_site.is_none() || site(*address) == of_site);
        let with_site = own.map(|(address, own)| {
            let together = site(address).and_then(|site| self.sites.get(&site));
            (together.copied().unwrap_or(own), own, address)
        });
        with_site.max().map(|(_together, _own, address)| address)
    }

    /// Records how many bytes a connection holds now.
    fn set(&mut self, connection: &Connection, bytes: usize) {
        self.remove(connection.network, connection.number);
        // One that is ended gives its bytes back as soon as it can.
        if bytes == 0 || connection.over.is_cancelled() {
            return;
        }
        self.total = self.total.saturating_add(bytes);
        if let Some(site) = site(connection.network) {
            let site = self.sites.entry(site).or_default();
            *site = site.saturating_add(bytes);
        }
        let network = self.networks.entry(connection.network).or_default();
        network.total = network.total.saturating_add(bytes);
        network.connections.insert(connection.number, Charge { bytes, over: connection.over.clone() });
    }

    fn remove(&mut self, address: IpAddr, number: u64) -> Option<Charge> {
        let network = self.networks.get_mut(&address)?;
        let charge = network.connections.remove(&number)?;
        network.total = network.total.saturating_sub(charge.bytes);
        self.total = self.total.saturating_sub(charge.bytes);
        if network.connections.is_empty() {
            self.networks.remove(&address);
        }
        if let Some(of_site) = site(address)
            && let Some(bytes) = self.sites.get_mut(&of_site)
        {
            *bytes = bytes.saturating_sub(charge.bytes);
            if *bytes == 0 {
                self.sites.remove(&of_site);
            }
        }
        Some(charge)
    }

    /// Ends the connection of a network that holds the most.
    fn end_largest(&mut self, address: IpAddr) {
        let Some(network) = self.networks.get(&address) else { return };
        let largest = network.connections.iter().max_by_key(|(_number, charge)| charge.bytes);
        let Some(number) = largest.map(|(number, _charge)| *number) else { return };
        if let Some(charge) = self.remove(address, number) {
            charge.over.cancel();
        }
    }
}

impl Connection {
    /// Takes in what has arrived.
    pub(crate) fn arrived(&self, bytes: &[u8]) {
        self.change(|held| held.arrived(bytes));
    }

    /// We have opened a stream.
    pub(crate) fn opened(&self, stream: u32) {
        self.change(|held| held.opened(stream));
    }

    /// So many bytes of a stream were read.
    pub(crate) fn read(&self, stream: u32, count: usize) {
        self.change(|held| held.read(stream, count));
    }

    /// A stream is given up.
    pub(crate) fn dropped(&self, stream: u32) {
        self.change(|held| held.dropped(stream));
    }

    fn change(&self, change: impl FnOnce(&mut Held)) {
        // Each change keeps the sums whole.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut held.0);
        let steps = held.0.total() / STEP;
        if steps != held.1 {
            held.1 = steps;
            // Under the lock, so that two changes are charged in their order.
            self.unread.charge(self, steps.saturating_mul(STEP));
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.unread.charge(self, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unread(per_network: usize, in_all: usize) -> Arc<Unread> {
        let limits = Limits { per_network, per_site: 2 * per_network, in_all };
        Arc::new(Unread { limits, charged: Mutex::default(), metrics: Arc::new(Metrics::new()) })
    }

    fn connect(unread: &Arc<Unread>, number: u8) -> Arc<Connection> {
        unread.connection([192, 0, 2, number].into(), CancellationToken::new())
    }

    /// Sends so many bytes on a new stream.
    fn send(connection: &Connection, stream: u32, bytes: u32) {
        let head = [&[0, 0, 0, 1][..], &stream.to_be_bytes(), &bytes.to_be_bytes()].concat();
        connection.arrived(&head);
        connection.arrived(&vec![0; usize::try_from(bytes).unwrap()]);
    }

    fn are_over(connections: &[&Arc<Connection>]) -> Vec<bool> {
        connections.iter().map(|connection| connection.over.is_cancelled()).collect()
    }

    #[test]
    fn the_connection_that_holds_the_most_of_a_network_gives_way() {
        let unread = unread(500_000, 10_000_000);
        let (much, little, other) = (connect(&unread, 1), connect(&unread, 1), connect(&unread, 2));
        send(&other, 1, 400_000);
        send(&much, 1, 300_000);
        send(&little, 1, 100_000);
        assert_eq!(are_over(&[&much, &little, &other]), [false, false, false]);
        send(&little, 3, 120_000);
        assert_eq!(are_over(&[&much, &little, &other]), [true, false, false]);
        let text = unread.metrics.text().unwrap();
        assert!(text.contains("limited_total{limit=\"unread_bytes_per_address\"} 1"), "{text}");
    }

    #[test]
    fn the_network_with_the_most_gives_way_to_all() {
        let unread = unread(1_000_000, 1_000_000);
        let (much, little) = (connect(&unread, 1), connect(&unread, 2));
        send(&much, 1, 600_000);
        send(&little, 1, 300_000);
        send(&little, 3, 200_000);
        assert_eq!(are_over(&[&much, &little]), [true, false]);
    }

    #[test]
    fn the_networks_of_a_site_have_a_joint_limit() {
        let unread = unread(500_000, 10_000_000);
        let of_site = |number: u16| {
            unread.connection([0x2001, 0xdb8, 0, number, 0, 0, 0, 0].into(), CancellationToken::new())
        };
        let other = connect(&unread, 1);
        send(&other, 1, 490_000);
        let site: Vec<_> = (0..4).map(of_site).collect();
        site.iter().zip([200_000, 250_000, 300_000, 400_000]).for_each(|(one, bytes)| send(one, 1, bytes));
        let over: Vec<_> = site.iter().map(|one| one.over.is_cancelled()).collect();
        assert_eq!((over, other.over.is_cancelled()), (vec![false, false, false, true], false));
        drop((site, other));
        assert!(unread.charged().sites.is_empty());
    }

    #[test]
    fn what_is_read_dropped_or_gone_is_given_back() {
        let unread = unread(500_000, 1_000_000);
        let one = connect(&unread, 1);
        for stream in (1..100).step_by(2) {
            send(&one, stream, 400_000);
            one.read(stream, 400_000);
            one.dropped(stream);
        }
        send(&one, 101, 400_000);
        one.dropped(101);
        send(&one, 103, 400_000);
        assert!(!one.over.is_cancelled());
        drop(one);
        let charged = unread.charged();
        assert!(charged.networks.is_empty() && charged.total == 0);
    }

    #[test]
    fn small_requests_touch_nothing_shared() {
        let unread = unread(100, 100);
        let one = connect(&unread, 1);
        send(&one, 1, 1000);
        send(&one, 3, 1000);
        assert!(unread.charged().networks.is_empty());
    }
}
