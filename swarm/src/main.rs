//! The swarm on the page's main thread, for campaigns whose updates go through the relay: a module of its own, loaded when
//! somebody takes part.
//!
//! A thin shell around [`lichen_net::swarm`]. The worker commands it, and hears of everything, over a message port of their
//! own; the page hears what is worth showing ([`lichen_bridge::Seen`]). `mesh` is the same for campaigns whose tabs meet each
//! other, and about half as large again.

#[cfg(target_arch = "wasm32")]
mod lifecycle;
#[cfg(target_arch = "wasm32")]
mod running;

// The page calls what `running` exports.
#[cfg(target_arch = "wasm32")]
fn main() {}

/// Who only talks to the relay needs no servers that help peers find a way.
#[cfg(target_arch = "wasm32")]
fn spawn(
    _servers: &[lichen_net::IceServer],
) -> Result<
    (lichen_net::swarm::Handle, futures::channel::mpsc::Receiver<lichen_net::Event>),
    lichen_net::swarm::SwarmError,
> {
    lichen_net::swarm::spawn_to_hub()
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    // A workspace is also built natively as a whole; there is nothing for this program to do there.
    eprintln!("lichen-swarm runs in a browser: build it for wasm32-unknown-unknown");
    std::process::exit(2);
}
