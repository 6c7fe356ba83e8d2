//! The swarm: transports, behaviours and the project's protocols behind typed commands and events.
//!
//! Without features this crate is only vocabulary: [`Command`] and [`Event`], which cross from page to worker,
//! and the [`hub`] and [`rendezvous`] messages, which cross from tab to relay. Whoever only moves or decodes bytes
//! needs no libp2p.
//! The feature `swarm` adds the driver that carries commands out, in a browser page and in native programs; the mesh
//! of direct connections exists in the page only.
//!
//! What is deliberately absent: the driver decodes no hub message. It moves frames; the worker decodes,
//! verifies and decides.

mod command;
pub mod hub;
pub mod peer;
pub mod publishing;
pub mod pull;
pub mod rendezvous;
#[cfg(feature = "swarm")]
pub mod swarm;

pub use command::{
    Command, Disconnection, Event, IceServer, InboundId, MAX_ADDRESS, MAX_ADDRESSES, MAX_ANNOUNCEMENT,
    MAX_ASK, MAX_DEGREE, MAX_FRAME, MAX_IN_FLIGHT, MAX_INBOUND, MAX_INBOUND_PER_PEER, MAX_PEER_FRAME,
    MAX_UNSENT, Path, Peer, RequestError, RequestId, WANTED_DEGREE,
};
