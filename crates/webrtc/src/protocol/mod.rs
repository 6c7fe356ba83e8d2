//! The pure half of the transport: framing, stream states, signalling and addresses, with no I/O.
//!
//! Everything here is driven by bytes and events and answers with bytes and actions, so it is tested natively
//! under loss, duplication and reordering. Sources: the libp2p specification, `webrtc/README.md` (framing,
//! half-close) and `webrtc/webrtc.md` (signalling).

pub mod address;
pub mod frame;
pub mod session;
pub mod signal;
pub mod stream;
