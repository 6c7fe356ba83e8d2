//! A Rust peer in a browser window, held against a js-libp2p one; both offer a test the same calls.

#![cfg(target_arch = "wasm32")]

mod calls;
mod protocols;
mod swarm;
pub mod tab;

pub use calls::{
    address, connect, connections, digests, disconnect, echoes, hangups, hung_up, ping, protocols, resets,
    sends, start, start_without_streams,
};
use wasm_bindgen::prelude::wasm_bindgen;

/// Knows how much is allocated, so that a test can see a leak of a few bytes.
#[global_allocator]
static ALLOCATOR: cap::Cap<std::alloc::System> = cap::Cap::new(std::alloc::System, usize::MAX);

/// Bytes allocated now.
#[wasm_bindgen]
pub fn allocated() -> usize {
    ALLOCATOR.allocated()
}
