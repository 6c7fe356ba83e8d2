//! How connections are made and secured: Noise for who, Yamux for many streams.
//!
//! The order matters where a transport is added: first `/webrtc`, then the circuit relay, then WebSocket. Each looks
//! at an address and passes on what is not its own, and the relay transport would take `/p2p-circuit/webrtc` for its
//! own; `SwarmBuilder::with_relay_client` puts it first, so it is not used here.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{PeerId, Transport, noise, yamux};

use super::SwarmError;
pub use super::traffic::{Counted, Traffic};

/// Longest time from dialling or accepting until the connection can be used.
const SETUP_PATIENCE: Duration = Duration::from_secs(15);

/// Most streams of one connection at a time, both ways together.
const MAX_STREAMS: usize = 256;

/// A transport of secured connections with many streams each.
pub type Secured = Boxed<(PeerId, StreamMuxerBox)>;

/// Counts, secures and multiplexes the connections of a transport of plain byte streams.
///
/// # Errors
/// [`SwarmError::Transport`] if the keys cannot sign the Noise key.
pub fn secure<T>(transport: T, keys: &Keypair, traffic: Arc<Traffic>) -> Result<Secured, SwarmError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Error: Send + Sync + 'static,
{
    upgrade(transport.map(move |connection, _| Counted::new(connection, traffic)), keys)
}

/// Secures and multiplexes.
fn upgrade<T>(transport: T, keys: &Keypair) -> Result<Secured, SwarmError>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    T::Error: Send + Sync + 'static,
{
    let noise = noise::Config::new(keys).map_err(|error| SwarmError::Transport(error.to_string()))?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS);
    Ok(transport
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .timeout(SETUP_PATIENCE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .map_err(io::Error::other)
        .boxed())
}

/// All transports of a tab that meets others: the hub's traffic is counted in all, what peers move directly by peer.
#[cfg(target_arch = "wasm32")]
pub(super) fn all(
    keys: &Keypair,
    hub: Arc<Traffic>,
    peers: super::traffic::PeerTraffic,
    direct: lichen_webrtc::browser::Transport,
    circuits: libp2p::relay::client::Transport,
) -> Result<Secured, SwarmError> {
    let sockets = super::websocket::WebSockets.map(move |connection, _| Counted::new(connection, hub));
    let direct = direct
        .map(move |(peer, connection), _| (peer, StreamMuxerBox::new(peers.counted(peer, connection))))
        .map_err(io::Error::other);
    Ok(direct
        .or_transport(upgrade(circuits.or_transport(sockets), keys)?)
        .map(|either, _| either.into_inner())
        .map_err(|either| either.into_inner())
        .boxed())
}

/// The transport of a tab that connects to the hub alone.
#[cfg(target_arch = "wasm32")]
pub(super) fn to_hub(keys: &Keypair, traffic: Arc<Traffic>) -> Result<Secured, SwarmError> {
    secure(super::websocket::WebSockets, keys, traffic)
}

/// The transport of a native client.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn to_hub(keys: &Keypair, traffic: Arc<Traffic>) -> Result<Secured, SwarmError> {
    use libp2p::{dns, tcp, websocket};

    let failed = |error: io::Error| SwarmError::Transport(error.to_string());
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    secure(websocket::Config::new(dns::tokio::Transport::system(tcp).map_err(failed)?), keys, traffic)
}
