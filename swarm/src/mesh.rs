//! The swarm on the page's main thread, where alone peer connections exist, for campaigns whose tabs meet each other: a module of
//! its own, loaded when somebody takes part.

#[cfg(target_arch = "wasm32")]
mod lifecycle;
#[cfg(target_arch = "wasm32")]
mod running;

#[cfg(target_arch = "wasm32")]
use lichen_net::swarm::spawn;

// The page calls what `running` exports.
#[cfg(target_arch = "wasm32")]
fn main() {}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    // A workspace is also built natively as a whole; there is nothing for this program to do there.
    eprintln!("lichen-swarm-mesh runs in a browser: build it for wasm32-unknown-unknown");
    std::process::exit(2);
}
