//! Accepting connections: who is at the other end, how many there may be, and by TLS or in the clear.

pub(crate) mod accepted;
pub(crate) mod connections;
pub(crate) mod ingress;
pub(crate) mod origins;
pub(crate) mod patient;
pub(crate) mod proxies;
pub(crate) mod server;
pub(crate) mod socket;
pub(crate) mod tls;
