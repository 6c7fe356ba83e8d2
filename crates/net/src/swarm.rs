//! The driver: carries [`Command`]s out over libp2p and reports [`Event`]s.
//!
//! ```text
//! Command ─► Driver ─► libp2p swarm ─┬─► WebSocket ─► hub
//! Event  ◄─┘  │                       └─► webrtc, signalled over circuits through the hub ─► peers (page only)
//!             └ back-off, one task per request, byte counts
//! ```
//!
//! `driver` keeps the hub's connection and lends `core` (peers, requests, who hears of events) to what reaches further, if
//! anything does (`reach`): `mesh`, which only a page has. In a page the driver runs on the main thread, where alone peer
//! connections exist; in a native program on tokio.

mod backoff;
mod core;
mod driver;
mod exchange;
pub mod frame;
#[cfg(target_arch = "wasm32")]
mod mesh;
#[cfg(any(test, target_arch = "wasm32"))]
mod neighbours;
mod peers;
mod reach;
mod requests;
mod route;
pub mod streams;
mod target;
mod traffic;
pub mod transport;
#[cfg(target_arch = "wasm32")]
mod websocket;

use futures::channel::mpsc;
pub use libp2p;
use libp2p::identity::Keypair;

use crate::{Command, Event, IceServer};

/// Events that wait for their reader before the driver waits for it too.
const WAITING_EVENTS: usize = 64;

/// Sends commands to a running driver, which ends when its last handle is dropped.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::UnboundedSender<Command>,
}

/// Why a swarm could not be started, or told anything.
#[derive(Debug, thiserror::Error)]
pub enum SwarmError {
    /// The transports could not be set up.
    #[error("the transports could not be set up: {0}")]
    Transport(String),
    /// The driver has ended.
    #[error("the swarm has ended")]
    Ended,
}

impl Handle {
    /// Tells the driver something; it answers by events.
    ///
    /// # Errors
    /// [`SwarmError::Ended`] if the driver is gone.
    pub fn send(&self, command: Command) -> Result<(), SwarmError> {
        self.commands.unbounded_send(command).map_err(|_gone| SwarmError::Ended)
    }
}

/// Starts a driver under a fresh session key, on the page's main thread, which also meets peers, with the help of these servers.
///
/// The driver ends when every [`Handle`] or the receiver of events is dropped.
///
/// # Errors
/// [`SwarmError::Transport`] if the transports could not be set up.
#[cfg(target_arch = "wasm32")]
pub fn spawn(ice: &[IceServer]) -> Result<(Handle, mpsc::Receiver<Event>), SwarmError> {
    let (handle, driver, events) = new::<mesh::Mesh>(ice)?;
    wasm_bindgen_futures::spawn_local(driver.run());
    Ok((handle, events))
}

/// Starts a driver under a fresh session key which connects to the hub alone: on the page's main thread, or on the current tokio
/// runtime.
///
/// The driver ends when every [`Handle`] or the receiver of events is dropped.
///
/// # Errors
/// [`SwarmError::Transport`] if the transports could not be set up.
pub fn spawn_to_hub() -> Result<(Handle, mpsc::Receiver<Event>), SwarmError> {
    let (handle, driver, events) = new::<reach::HubOnly>(&[])?;
    #[cfg(target_arch = "wasm32")]
    wasm_bindgen_futures::spawn_local(driver.run());
    #[cfg(not(target_arch = "wasm32"))]
    tokio::spawn(driver.run());
    Ok((handle, events))
}

fn new<R: reach::Reach>(
    ice: &[IceServer],
) -> Result<(Handle, driver::Driver<R>, mpsc::Receiver<Event>), SwarmError> {
    let (commands, command_receiver) = mpsc::unbounded();
    let (event_sender, events) = mpsc::channel(WAITING_EVENTS);
    let driver = driver::Driver::new(&Keypair::generate_ed25519(), ice, command_receiver, event_sender)?;
    Ok((Handle { commands }, driver, events))
}
