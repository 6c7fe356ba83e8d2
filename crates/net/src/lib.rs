//! The swarm: transports, behaviours and the project's protocols behind typed commands and events.
//!
//! Without features this crate is only vocabulary: [`Command`] and [`Event`], which cross from page to worker,
//! and the [`hub`] messages, which cross from tab to relay. Whoever only moves or decodes bytes needs no libp2p.
//! The feature `swarm` adds the driver that carries commands out, in a browser page and in native programs.
//!
//! What is deliberately absent: the driver decodes no hub message. It moves frames; the worker decodes,
//! verifies and decides.

mod command;
pub mod hub;
#[cfg(feature = "swarm")]
pub mod swarm;

pub use command::{
    Command, Disconnection, Event, MAX_ADDRESS, MAX_FRAME, MAX_IN_FLIGHT, Path, Peer, RequestError, RequestId,
};
