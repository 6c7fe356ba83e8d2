//! The browser half: `RTCPeerConnection` and `RTCDataChannel` as a libp2p transport and stream muxer.
//!
//! Callbacks of the browser only store what came and wake a task; no task runs inside one. Every handler is
//! detached and every connection closed on drop.

mod behaviour;
mod budget;
mod channel;
mod connection;
mod error;
mod handler;
mod peer_connection;
mod signalling;
#[cfg(test)]
mod tests;
mod transport;

pub use behaviour::{Behaviour, Event};
pub use budget::Budget;
pub use connection::Connection;
pub use error::Error;
pub use transport::Transport;

use futures::channel::mpsc;
use libp2p_core::Multiaddr;
pub use web_sys::RtcIceServer;

/// How peer connections are made.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// STUN and TURN servers; none by default, which is enough on one machine or in one network.
    pub ice_servers: Vec<RtcIceServer>,
    /// How many peer connections this page may have.
    pub budget: Budget,
}

/// Makes the transport and the behaviour that signals for it; both go into the same swarm, the transport before
/// the relay's.
#[must_use]
pub fn new(config: Config) -> (Transport, Behaviour) {
    let (to_behaviour, from_transport) = mpsc::unbounded();
    let (to_transport, from_behaviour) = mpsc::unbounded();
    (Transport::new(to_behaviour, from_behaviour), Behaviour::new(config, from_transport, to_transport))
}

/// What the behaviour tells the transport.
enum Announcement {
    /// A remote connected to us.
    Incoming { connection: Connection, peer: libp2p_identity::PeerId, circuit: Multiaddr },
    /// We can be reached at this address.
    Reachable(Multiaddr),
    /// We can no longer be reached at this address.
    Unreachable(Multiaddr),
}
