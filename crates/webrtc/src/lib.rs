//! The libp2p `/webrtc` transport, browser to browser.
//!
//! Two peers that cannot listen find each other through a relay, signal to each other over an authenticated circuit,
//! and go on over a direct `RTCPeerConnection`. [`protocol`] is the pure half; the browser half exists on wasm only.

extern crate alloc;

pub mod protocol;

#[cfg(target_arch = "wasm32")]
pub mod browser;
