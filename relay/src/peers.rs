//! Connected tabs over libp2p: the swarm, the hub protocol, and who is told of whom.

pub(crate) mod hub;
pub(crate) mod muxer;
pub(crate) mod rendezvous;
pub(crate) mod swarm;
pub(crate) mod unread;
