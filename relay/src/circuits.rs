//! Circuit relay v2 for signalling: tabs that cannot listen reach each other through us until they stand alone.

use std::num::NonZeroU32;
use std::time::Duration;

use libp2p::relay::{Behaviour, Config, Event};
use lichen_net::swarm::libp2p::PeerId;

use crate::metrics::Metrics;

/// Bytes and time that one circuit may take: a signalling session needs a few kilobytes and seconds.
const MAX_CIRCUIT_BYTES: u64 = 256 * 1024;
const MAX_CIRCUIT_DURATION: Duration = Duration::from_secs(120);

/// Circuits at once, in all and of one peer: a tab that joins dials its whole neighbourhood.
const MAX_CIRCUITS: usize = 1_000;
const MAX_CIRCUITS_PER_PEER: usize = 16;

/// Peers that can be reached through us at once.
const MAX_RESERVATIONS: usize = 5_000;
const MAX_RESERVATIONS_PER_PEER: usize = 4;
const RESERVATION: Duration = Duration::from_secs(3_600);

/// Requests in a time, of one peer and of one address; a whole class room may share an address.
const PER_PEER: NonZeroU32 = NonZeroU32::new(60).unwrap();
const PER_ADDRESS: NonZeroU32 = NonZeroU32::new(1_200).unwrap();
const RATE_INTERVAL: Duration = Duration::from_secs(120);

/// The behaviour with its limits.
pub(crate) fn behaviour(local: PeerId) -> Behaviour {
    let limits = Config {
        max_reservations: MAX_RESERVATIONS,
        max_reservations_per_peer: MAX_RESERVATIONS_PER_PEER,
        reservation_duration: RESERVATION,
        reservation_rate_limiters: Vec::new(),
        max_circuits: MAX_CIRCUITS,
        max_circuits_per_peer: MAX_CIRCUITS_PER_PEER,
        max_circuit_duration: MAX_CIRCUIT_DURATION,
        max_circuit_bytes: MAX_CIRCUIT_BYTES,
        circuit_src_rate_limiters: Vec::new(),
    };
    let limits = limits
        .reservation_rate_per_peer(PER_PEER, RATE_INTERVAL)
        .reservation_rate_per_ip(PER_ADDRESS, RATE_INTERVAL)
        .circuit_src_per_peer(PER_PEER, RATE_INTERVAL)
        .circuit_src_per_ip(PER_ADDRESS, RATE_INTERVAL);
    Behaviour::new(local, limits)
}

/// Counts what came of a request.
pub(crate) fn count(event: &Event, metrics: &Metrics) {
    let outcome = match event {
        Event::ReservationReqAccepted { renewed: false, .. } => "reserved",
        Event::ReservationReqAccepted { renewed: true, .. } => "renewed",
        Event::ReservationReqDenied { .. } => "reservation_denied",
        Event::ReservationClosed { .. } | Event::ReservationTimedOut { .. } => "reservation_ended",
        Event::CircuitReqAccepted { .. } => "opened",
        Event::CircuitReqDenied { .. } => "denied",
        Event::CircuitClosed { .. } => "closed",
        _ => return,
    };
    metrics.circuit(outcome);
}
