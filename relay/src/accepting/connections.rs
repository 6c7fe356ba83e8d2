//! Counts open connections and keeps them within limits, so that nobody's silence shuts others out.
//!
//! A connection is silent until it has sent a whole request, and silent again when it has become a WebSocket until the peer
//! at its other end has shown who it is. Silent ones have a limit of their own; where it is reached, the oldest of
//! whoever has the most gives way: an honest one is silent for a moment, and so is seldom the oldest. All connections have
//! a limit, too; where that is reached, whoever has the most loses one to whoever has fewer.
//!
//! Whoever is a network, not an address: see [`network`]. Networks of one [`site`] have a joint limit, and give way together:
//! whoever has the most is first looked for among sites.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lichen_net::swarm::libp2p::Multiaddr;
use tokio_util::sync::CancellationToken;

use crate::fairness::rates::{network, of_site, site};
use crate::operating::metrics::Metrics;

/// How many there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) all: usize,
    pub(crate) per_address: usize,
    pub(crate) silent: usize,
    pub(crate) silent_per_address: usize,
}

/// All open connections.
pub(crate) struct Connections {
    limits: Limits,
    open: Mutex<Open>,
    metrics: Arc<Metrics>,
}

/// One open connection, counted until it is dropped.
pub(crate) struct Connection {
    pub(crate) remote: SocketAddr,
    /// Whether it speaks TLS with us; a proxy in front may speak it with the client all the same.
    pub(crate) is_tls: bool,
    number: u64,
    was_heard: AtomicBool,
    over: CancellationToken,
    connections: Arc<Connections>,
}

#[derive(Default)]
struct Open {
    next: u64,
    places: HashMap<u64, Place>,
    silent: usize,
    networks: HashMap<IpAddr, Network>,
    /// The networks of each site together.
    sites: HashMap<IpAddr, Counts>,
    named: HashMap<Multiaddr, u64>,
}

/// Where a connection is counted.
struct Place {
    /// Nowhere, for one of a proxy's that no client has to itself.
    network: Option<IpAddr>,
    stage: Stage,
    name: Option<Multiaddr>,
    over: CancellationToken,
}

/// How far a connection has come, those that give way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Nothing whole has come yet.
    Silent,
    /// It asks by HTTP.
    Asking,
    /// A peer is at its other end.
    Peer,
}

/// The connections of one network, oldest first.
#[derive(Default)]
struct Network {
    places: BTreeMap<u64, Stage>,
    silent: usize,
}

/// How many connections there are, and how many of them are silent.
#[derive(Clone, Copy, Default)]
struct Counts {
    all: usize,
    silent: usize,
}

impl Connections {
    pub(crate) fn new(limits: Limits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default(), metrics })
    }

    /// Counts a new connection, unless there are too many; `is_proxy` if it is not its client's own.
    pub(crate) fn admit(
        self: &Arc<Self>,
        remote: SocketAddr,
        is_tls: bool,
        is_proxy: bool,
    ) -> Option<Connection> {
        let network = (!is_proxy).then(|| network(remote.ip()));
        let mut open = self.open();
        if let Some(limit) = network.and_then(|network| self.full(&open, network)) {
            self.metrics.limit(limit);
            return None;
        }
        if open.places.len() >= self.limits.all {
            self.metrics.limit("connections");
            if !open.take_from_another(network) {
                return None;
            }
        }
        let (number, over) = open.add(network);
        self.end_silent_ones(&mut open, network);
        self.show(&open);
        drop(open);
        let (was_heard, connections) = (AtomicBool::new(false), Arc::clone(self));
        Some(Connection { remote, is_tls, number, was_heard, over, connections })
    }

    /// The peer that came from there has shown who it is.
    pub(crate) fn identified(&self, name: &Multiaddr) {
        let mut open = self.open();
        if let Some(number) = open.named.get(name).copied() {
            open.set_stage(number, Stage::Peer);
        }
    }

    /// What ends the connection of this name. One that is gone already ends by itself.
    pub(crate) fn over(&self, name: &Multiaddr) -> CancellationToken {
        let open = self.open();
        let place = open.named.get(name).and_then(|number| open.places.get(number));
        place.map_or_else(CancellationToken::new, |place| place.over.clone())
    }

    /// The limit that keeps one more connection of a network out, if one does.
    fn full(&self, open: &Open, network: IpAddr) -> Option<&'static str> {
        let Limits { all, per_address, .. } = self.limits;
        if open.networks.get(&network).is_some_and(|network| network.places.len() >= per_address) {
            return Some("connections_per_address");
        }
        let site = site(network).and_then(|site| open.sites.get(&site));
        let is_full = site.is_some_and(|site| site.all >= of_site(all, per_address));
        is_full.then_some("connections_per_site")
    }

    /// Ends silent connections until they are within their limits.
    fn end_silent_ones(&self, open: &mut Open, network: Option<IpAddr>) {
        if let Some(network) = network
            && open.networks.get(&network).is_some_and(|one| one.silent > self.limits.silent_per_address)
        {
            self.metrics.limit("pending_connections_per_address");
            open.end_oldest(network, Stage::Silent);
        }
        if open.silent > self.limits.silent {
            self.metrics.limit("pending_connections");
            let most = open.most(|site| site.silent, |network| network.silent);
            if let Some(network) = most {
                open.end_oldest(network, Stage::Silent);
            }
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Counts stay right whatever happened to another thread: nothing in between can fail.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, open: &Open) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.connections.set(number(open.places.len()));
        self.metrics.pending_connections.set(number(open.silent));
    }
}

impl Connection {
    /// Cancelled when the connection has to give way.
    pub(crate) const fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// A whole request has come.
    pub(crate) fn heard(&self) {
        if !self.was_heard.swap(true, Ordering::Relaxed) {
            self.connections.open().set_stage(self.number, Stage::Asking);
        }
    }

    /// Whether a whole request has come.
    pub(crate) fn was_heard(&self) -> bool {
        self.was_heard.load(Ordering::Relaxed)
    }

    /// It becomes the WebSocket of a client there, and is silent until the peer has shown who it is; `name` is what the
    /// swarm calls it.
    ///
    /// # Errors
    /// If that client's network has too many connections.
    pub(crate) fn becomes_socket(&self, client: IpAddr, name: Multiaddr) -> Result<(), TooMany> {
        let connections = &self.connections;
        let network = network(client);
        let mut open = connections.open();
        let is_counted = open.places.get(&self.number).is_some_and(|place| place.network == Some(network));
        if !is_counted && let Some(limit) = connections.full(&open, network) {
            connections.metrics.limit(limit);
            return Err(TooMany);
        }
        open.move_to(self.number, network, name);
        connections.end_silent_ones(&mut open, Some(network));
        connections.show(&open);
        Ok(())
    }
}

/// A network has too many connections.
#[derive(Debug)]
pub(crate) struct TooMany;

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open();
        open.remove(self.number);
        self.connections.show(&open);
    }
}

impl Open {
    fn add(&mut self, network: Option<IpAddr>) -> (u64, CancellationToken) {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let over = CancellationToken::new();
        self.enter(number, Place { network, stage: Stage::Silent, name: None, over: over.clone() });
        (number, over)
    }

    fn enter(&mut self, number: u64, place: Place) {
        // What a proxy holds open is the proxy's to bound, as long as nobody has it to himself.
        if let Some(network) = place.network {
            let is_silent = usize::from(place.stage == Stage::Silent);
            if let Some(site) = site(network) {
                let site = self.sites.entry(site).or_default();
                *site = Counts { all: site.all + 1, silent: site.silent + is_silent };
            }
            let network = self.networks.entry(network).or_default();
            network.places.insert(number, place.stage);
            network.silent += is_silent;
            self.silent += is_silent;
        }
        if let Some(name) = &place.name {
            self.named.insert(name.clone(), number);
        }
        self.places.insert(number, place);
    }

    fn remove(&mut self, number: u64) -> Option<Place> {
        let place = self.places.remove(&number)?;
        if let Some(address) = place.network
            && let Some(network) = self.networks.get_mut(&address)
        {
            let is_silent = usize::from(place.stage == Stage::Silent);
            network.places.remove(&number);
            network.silent = network.silent.saturating_sub(is_silent);
            self.silent = self.silent.saturating_sub(is_silent);
            if network.places.is_empty() {
                self.networks.remove(&address);
            }
            self.leave_site(address, is_silent);
        }
        if let Some(name) = &place.name
            && self.named.get(name) == Some(&number)
        {
            self.named.remove(name);
        }
        Some(place)
    }

    fn leave_site(&mut self, network: IpAddr, is_silent: usize) {
        let Some(address) = site(network) else { return };
        let Some(site) = self.sites.get_mut(&address) else { return };
        *site = Counts { all: site.all.saturating_sub(1), silent: site.silent.saturating_sub(is_silent) };
        if site.all == 0 {
            self.sites.remove(&address);
        }
    }

    /// The network with the most of the site with the most. A network of IP version 4 is a site of its own.
    fn most(
        &self,
        of_site: impl Fn(&Counts) -> usize,
        of_network: impl Fn(&Network) -> usize,
    ) -> Option<IpAddr> {
        let key = |(address, network): &(&IpAddr, &Network)| {
            let own = of_network(network);
            let site = site(**address).and_then(|site| self.sites.get(&site));
            (site.map_or(own, &of_site), own)
        };
        self.networks.iter().max_by_key(key).map(|(address, _network)| *address)
    }

    fn set_stage(&mut self, number: u64, stage: Stage) {
        if let Some(place) = self.remove(number) {
            self.enter(number, Place { stage, ..place });
        }
    }

    fn move_to(&mut self, number: u64, network: IpAddr, name: Multiaddr) {
        if let Some(place) = self.remove(number) {
            let (network, name) = (Some(network), Some(name));
            self.enter(number, Place { network, name, stage: Stage::Silent, over: place.over });
        }
    }

    /// Ends the oldest connection of a network that is no further than this.
    fn end_oldest(&mut self, network: IpAddr, stage: Stage) {
        let Some(network) = self.networks.get(&network) else { return };
        let oldest = network.places.iter().find(|(_number, at)| **at <= stage);
        if let Some(number) = oldest.map(|(number, _stage)| *number) {
            self.end(number);
        }
    }

    /// How many connections the network's site has, or the network where it is its own site.
    fn weight(&self, network: IpAddr) -> usize {
        match site(network) {
            Some(site) => self.sites.get(&site).map_or(0, |site| site.all),
            None => self.networks.get(&network).map_or(0, |network| network.places.len()),
        }
    }

    /// Ends a connection of the network with the most, if that has more than this one would have; says whether it did.
    fn take_from_another(&mut self, network: Option<IpAddr>) -> bool {
        let own = network.map_or(0, |network| self.weight(network)) + 1;
        let most = self.most(|site| site.all, |network| network.places.len());
        let Some(most) = most.filter(|most| self.weight(*most) > own) else { return false };
        let Some(most) = self.networks.get(&most) else { return false };
        // Who has come least far goes first, and of those who came as far the oldest.
        let first = most.places.iter().min_by_key(|(number, stage)| (**stage, **number));
        let Some(number) = first.map(|(number, _stage)| *number) else { return false };
        self.end(number);
        true
    }

    fn end(&mut self, number: u64) {
        if let Some(place) = self.remove(number) {
            place.over.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { all: 8, per_address: 6, silent: 6, silent_per_address: 4 };

    fn connections() -> Arc<Connections> {
        Connections::new(LIMITS, Arc::new(Metrics::new()))
    }

    fn connect(connections: &Arc<Connections>, address: &str) -> Option<Connection> {
        connections.admit(SocketAddr::new(address.parse().unwrap(), 1), false, false)
    }

    fn many(connections: &Arc<Connections>, address: &str, count: usize) -> Vec<Connection> {
        (0..count).map(|_| connect(connections, address).unwrap()).collect()
    }

    fn over(connections: &[Connection]) -> usize {
        connections.iter().filter(|connection| connection.over().is_cancelled()).count()
    }

    #[test]
    fn the_oldest_silent_one_of_a_network_gives_way() {
        let all = connections();
        let silent = many(&all, "192.0.2.1", LIMITS.silent_per_address);
        silent[0].heard();
        let more = many(&all, "192.0.2.1", 2);
        assert!(!silent[0].over().is_cancelled(), "it has asked something");
        assert_eq!((over(&silent), over(&more)), (1, 0));
        assert!(silent[1].over().is_cancelled());
    }

    #[test]
    fn the_network_with_the_most_silent_ones_loses_first() {
        let all = connections();
        let many = many(&all, "2001:db8::1", 4);
        let few = connect(&all, "192.0.2.2").unwrap();
        let last = connect(&all, "2001:db8:0:1::1").unwrap();
        assert_eq!(over(&many), 0);
        let newest = connect(&all, "192.0.2.3").unwrap();
        assert_eq!(over(&many), 1);
        assert_eq!(over(&[few, last, newest]), 0);
    }

    #[test]
    fn a_house_with_many_addresses_is_one_network() {
        let all = connections();
        let house: Vec<_> = (1..=LIMITS.silent_per_address + 2)
            .map(|number| connect(&all, &format!("2001:db8::{number}")).unwrap())
            .collect();
        assert_eq!(over(&house), 2);
    }

    #[test]
    fn a_full_relay_takes_from_whoever_has_most_and_has_come_least_far() {
        let all = connections();
        let crowd = many(&all, "192.0.2.1", 4);
        crowd.iter().for_each(Connection::heard);
        let idle = many(&all, "192.0.2.1", 2);
        let other = many(&all, "192.0.2.2", 2);
        assert!(connect(&all, "192.0.2.1").is_none(), "it has its share");
        let newcomer = connect(&all, "192.0.2.3").unwrap();
        assert_eq!((over(&crowd), over(&idle), over(&other)), (0, 1, 0));
        assert!(!newcomer.over().is_cancelled());
        drop((crowd, idle, other, newcomer));
        assert!(all.open().networks.is_empty() && all.open().silent == 0);
    }

    #[test]
    fn the_networks_of_a_site_have_a_joint_limit() {
        let limits = Limits { all: 100, per_address: 2, silent: 100, silent_per_address: 100 };
        let all = Connections::new(limits, Arc::new(Metrics::new()));
        let site: Vec<_> =
            (0..20).filter_map(|number| connect(&all, &format!("2001:db8:0:{number}::1"))).collect();
        assert_eq!(site.len(), 8, "as many as four networks");
        let text = all.metrics.text().unwrap();
        assert!(text.contains("limited_total{limit=\"connections_per_site\"} 12"), "{text}");
        let other = connect(&all, "2001:db8:1::1").unwrap();
        drop((site, other));
        assert!(all.open().sites.is_empty());
    }

    #[test]
    fn a_site_with_many_networks_gives_way_before_a_network_with_a_few() {
        let limits = Limits { all: 7, per_address: 4, silent: 5, silent_per_address: 4 };
        let all = Connections::new(limits, Arc::new(Metrics::new()));
        let site: Vec<_> =
            (0..4).map(|number| connect(&all, &format!("2001:db8:0:{number}::1")).unwrap()).collect();
        let house = many(&all, "192.0.2.1", 2);
        assert_eq!((over(&site), over(&house)), (1, 0), "of the silent");
        house.iter().chain(&site).for_each(Connection::heard);
        let more = many(&all, "192.0.2.2", 2);
        more.iter().for_each(Connection::heard);
        let last = connect(&all, "192.0.2.3").unwrap();
        assert_eq!((over(&site), over(&house), over(&more)), (2, 0, 0), "of all");
        drop(last);
    }

    #[test]
    fn a_proxys_connections_count_for_their_clients() {
        let all = connections();
        let proxy = || all.admit("10.0.0.1:1".parse().unwrap(), false, true).unwrap();
        let name = |number: u16| -> Multiaddr { format!("/ip4/192.0.2.1/tcp/{number}/ws").parse().unwrap() };
        let sockets: Vec<_> = (0..LIMITS.per_address).map(|_| proxy()).collect();
        for (number, socket) in (0..).zip(&sockets) {
            socket.becomes_socket("192.0.2.1".parse().unwrap(), name(number)).unwrap();
            assert_eq!(all.open().silent, 1);
            all.identified(&name(number));
        }
        assert_eq!(all.open().silent, 0);
        let more = proxy();
        assert!(more.becomes_socket("192.0.2.1".parse().unwrap(), name(99)).is_err());
        more.becomes_socket("192.0.2.2".parse().unwrap(), name(99)).unwrap();
        assert_eq!(all.open().silent, 1);
        assert_eq!(over(&sockets), 0);
    }
}
