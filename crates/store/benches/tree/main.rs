//! What the tree over a log costs: to append to it, to make and to check proofs, and what a witness fetches. Run by
//! `cargo xtask bench tree`.
#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    reason = "a benchmark may fail"
)]

#[cfg(not(target_arch = "wasm32"))]
mod native;

fn main() {
    #[cfg(not(target_arch = "wasm32"))]
    native::main();
}
