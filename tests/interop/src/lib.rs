//! A Rust peer in a browser window, held against a js-libp2p one; both offer a test the same calls.

#![cfg(target_arch = "wasm32")]

mod calls;
mod protocols;
mod swarm;
pub mod tab;

pub use calls::{
    address, connect, connections, digests, disconnect, echoes, hangups, hung_up, ping, protocols, resets,
    sends, start,
};
