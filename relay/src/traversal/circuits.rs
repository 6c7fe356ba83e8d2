//! Circuit relay v2 for signalling: tabs that cannot listen reach each other through us until they stand alone.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libp2p::relay::{Behaviour, Config, Event, RateLimiter, StatusCode};
use lichen_net::swarm::libp2p::multiaddr::Protocol;
use lichen_net::swarm::libp2p::{Multiaddr, PeerId};

use crate::fairness::rates::{Rates, network};
use crate::operating::metrics::Metrics;

/// Reservations of one peer at a time, one for each of its connections.
const MAX_RESERVATIONS_PER_PEER: usize = 4;
const RESERVATION: Duration = Duration::from_secs(3_600);

/// Requests in a minute of one peer, and of all addresses together: a tab that joins dials its whole neighbourhood.
const PER_PEER: u32 = 60;
const IN_ALL: u32 = 60_000;
const INTERVAL: Duration = Duration::from_secs(60);

/// Peers that asked for a circuit and are remembered until it opens or does not.
const REMEMBERED: usize = 4096;

/// How many circuits there may be, and what each may carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Peers that can be reached through us at once.
    pub(crate) reservations: usize,
    /// Circuits at once, in all, of one peer and of the peers at one address.
    pub(crate) circuits: usize,
    pub(crate) circuits_per_peer: usize,
    pub(crate) circuits_per_address: usize,
    /// Bytes and time that one circuit may take: a signalling session needs a few kilobytes and seconds.
    pub(crate) circuit_bytes: u64,
    pub(crate) circuit_seconds: u32,
    /// Requests for reservations, and for circuits, of one address in a minute; a whole class room may share one.
    pub(crate) requests_per_minute: u32,
}

/// Tells which limit a request ran into, which the behaviour's own event does not say.
pub(crate) struct Counts {
    metrics: Arc<Metrics>,
    limits: Limits,
    open: usize,
    sources: Arc<Mutex<Sources>>,
    /// Requests refused for their rate, counted already, of which the event is still to come.
    reservations_counted: Arc<AtomicU64>,
    circuits_counted: Arc<AtomicU64>,
}

/// Where those come from who have circuits open.
#[derive(Default)]
struct Sources {
    peers: HashMap<PeerId, Source>,
    networks: HashMap<IpAddr, usize>,
}

/// A peer's network, and how many circuits it has open.
#[derive(Clone, Copy)]
struct Source {
    network: IpAddr,
    open: usize,
}

/// The behaviour with its limits, and what counts its events.
pub(crate) fn behaviour(local: PeerId, limits: Limits, metrics: &Arc<Metrics>) -> (Behaviour, Counts) {
    let counts = Counts {
        metrics: Arc::clone(metrics),
        limits,
        open: 0,
        sources: Arc::default(),
        reservations_counted: Arc::default(),
        circuits_counted: Arc::default(),
    };
    let reservations =
        RateNames { peer: "reservation_requests_per_peer", address: "reservation_requests_per_address" };
    let circuits = RateNames { peer: "circuit_requests_per_peer", address: "circuit_requests_per_address" };
    let config = Config {
        max_reservations: limits.reservations,
        // The behaviour lets one more in than it is told, of reservations and circuits of a peer alike.
        max_reservations_per_peer: MAX_RESERVATIONS_PER_PEER - 1,
        reservation_duration: RESERVATION,
        reservation_rate_limiters: vec![counts.rate(reservations, &counts.reservations_counted)],
        max_circuits: limits.circuits,
        max_circuits_per_peer: limits.circuits_per_peer.saturating_sub(1),
        max_circuit_duration: Duration::from_secs(limits.circuit_seconds.into()),
        max_circuit_bytes: limits.circuit_bytes,
        circuit_src_rate_limiters: vec![
            counts.rate(circuits, &counts.circuits_counted),
            counts.room(limits.circuits_per_address),
        ],
    };
    (Behaviour::new(local, config), counts)
}

/// The names of a pair of limits in the metrics.
#[derive(Clone, Copy)]
struct RateNames {
    peer: &'static str,
    address: &'static str,
}

impl Counts {
    /// Keeps the requests of a peer, and of an address, to their number in a minute.
    fn rate(&self, names: RateNames, counted: &Arc<AtomicU64>) -> Box<dyn RateLimiter> {
        let (metrics, counted) = (Arc::clone(&self.metrics), Arc::clone(counted));
        let mut by_peer = Rates::new(INTERVAL, PER_PEER, IN_ALL);
        let mut by_address = Rates::new(INTERVAL, self.limits.requests_per_minute, IN_ALL);
        Box::new(move |peer: PeerId, address: &Multiaddr, _now: Instant| {
            let now = Instant::now();
            let limit = if by_peer.take_key(&peer, now).is_err() {
                names.peer
            } else if ip(address).is_some_and(|address| by_address.take(address, now).is_err()) {
                names.address
            } else {
                return true;
            };
            metrics.limit(limit);
            counted.fetch_add(1, Ordering::Relaxed);
            false
        })
    }

    /// Keeps the circuits of the peers at an address to their number.
    fn room(&self, per_address: usize) -> Box<dyn RateLimiter> {
        let (metrics, counted) = (Arc::clone(&self.metrics), Arc::clone(&self.circuits_counted));
        let sources = Arc::clone(&self.sources);
        Box::new(move |peer: PeerId, address: &Multiaddr, _now: Instant| {
            let Some(network) = ip(address).map(network) else { return true };
            if lock(&sources).asks(peer, network) < per_address {
                return true;
            }
            metrics.limit("circuits_per_address");
            counted.fetch_add(1, Ordering::Relaxed);
            false
        })
    }

    /// Counts the outcome of a request.
    pub(crate) fn count(&mut self, event: &Event) {
        let outcome = match event {
            Event::ReservationReqAccepted { renewed: false, .. } => "reserved",
            Event::ReservationReqAccepted { renewed: true, .. } => "renewed",
            Event::ReservationReqDenied { status, .. } => {
                if is_over_limit(status) && !was_counted(&self.reservations_counted) {
                    self.metrics.limit("reservations");
                }
                "reservation_denied"
            }
            Event::ReservationClosed { .. } | Event::ReservationTimedOut { .. } => "reservation_ended",
            Event::CircuitReqAccepted { src_peer_id, .. } => {
                self.open += 1;
                lock(&self.sources).opened(src_peer_id);
                "opened"
            }
            Event::CircuitReqDenied { status, .. } => {
                if is_over_limit(status) && !was_counted(&self.circuits_counted) {
                    let is_full = self.open >= self.limits.circuits;
                    self.metrics.limit(if is_full { "circuits" } else { "circuits_per_peer" });
                }
                "denied"
            }
            Event::CircuitClosed { src_peer_id, error, .. } => {
                self.open = self.open.saturating_sub(1);
                lock(&self.sources).closed(src_peer_id);
                if let Some(limit) = error.as_ref().and_then(limit_of) {
                    self.metrics.limit(limit);
                }
                "closed"
            }
            _ => return,
        };
        self.metrics.circuit(outcome);
        self.metrics.circuits_open.set(i64::try_from(self.open).unwrap_or(i64::MAX));
    }
}

fn lock(sources: &Mutex<Sources>) -> MutexGuard<'_, Sources> {
    // Counts stay right whatever happened to another thread: nothing in between can fail.
    sources.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sources {
    /// Notes where a peer that asks for a circuit comes from; how many are open from there.
    fn asks(&mut self, peer: PeerId, network: IpAddr) -> usize {
        if self.peers.len() >= REMEMBERED.max(2 * self.networks.values().sum::<usize>()) {
            self.peers.retain(|_peer, source| source.open > 0);
        }
        self.peers.entry(peer).or_insert(Source { network, open: 0 });
        self.networks.get(&network).copied().unwrap_or_default()
    }

    fn opened(&mut self, peer: &PeerId) {
        if let Some(source) = self.peers.get_mut(peer) {
            source.open += 1;
            *self.networks.entry(source.network).or_default() += 1;
        }
    }

    fn closed(&mut self, peer: &PeerId) {
        let Some(source) = self.peers.get_mut(peer) else { return };
        let network = source.network;
        source.open = source.open.saturating_sub(1);
        if source.open == 0 {
            self.peers.remove(peer);
        }
        if let Some(open) = self.networks.get_mut(&network) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.networks.remove(&network);
            }
        }
    }
}

const fn is_over_limit(status: &StatusCode) -> bool {
    matches!(status, StatusCode::ResourceLimitExceeded)
}

/// Takes back one of what was counted when it was refused.
fn was_counted(counted: &AtomicU64) -> bool {
    counted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

/// The limit that ended a circuit, if one did. The behaviour has no type for it.
fn limit_of(error: &std::io::Error) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::TimedOut => Some("circuit_seconds"),
        ErrorKind::Other if error.to_string().contains("circuit bytes") => Some("circuit_bytes"),
        _ => None,
    }
}

/// The address that a multiaddress begins with.
pub(crate) fn ip(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(ip.into()),
        Protocol::Ip6(ip) => Some(ip.into()),
        _ => None,
    })
}
