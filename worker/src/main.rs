//! The Web Worker: verifies, trains and aggregates.
//!
//! A thin shell around [`lichen_node`]: messages to and from the page, and what a worker's global scope offers as the
//! node's platform ([`scope::Scope`]): the account's key in WebCrypto, blobs and values in IndexedDB, one leading tab
//! by Web Locks, turns by `MessageChannel`, threads for the CPU engine if the page has asked for them.

#[cfg(target_arch = "wasm32")]
mod failure;
#[cfg(target_arch = "wasm32")]
mod key;
#[cfg(target_arch = "wasm32")]
mod lease;
#[cfg(target_arch = "wasm32")]
mod port;
#[cfg(target_arch = "wasm32")]
mod scope;
#[cfg(target_arch = "wasm32")]
mod signatures;
#[cfg(target_arch = "wasm32")]
mod threads;
#[cfg(target_arch = "wasm32")]
mod turns;

#[cfg(all(test, target_arch = "wasm32"))]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_dedicated_worker);

#[cfg(target_arch = "wasm32")]
fn main() {
    port::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    // A workspace is also built natively as a whole; there is nothing for this program to do there.
    eprintln!("lichen-worker runs in a browser: build it for wasm32-unknown-unknown");
    std::process::exit(2);
}
