//! Runs the libp2p swarm of a tab: keeps the relay's connection up and passes on what it says.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::FutureExt;
use futures::select_biased;
use futures::stream::StreamExt;
use futures_timer::Delay;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{PeerId, TransportError, identify, ping};

use super::core::{Core, Unheard};
use super::reach::{self, Lent, Reach};
use super::streams::{self, StreamEvent};
use super::target::Target;
use super::transport::Traffic;
use super::{SwarmError, backoff};
use crate::{Command, Disconnection, Event, IceServer, MAX_FRAME, Path, RequestError, RequestId};

/// How often bytes moved are reported, where they changed.
const TRAFFIC_INTERVAL: Duration = Duration::from_secs(1);

/// How often a connection is tried, and how long an answer may take: packets that vanish leave a socket open, and who is
/// cut off that way is to know it within ten seconds.
const PING_INTERVAL: Duration = Duration::from_secs(3);

const PING_PATIENCE: Duration = Duration::from_secs(5);

/// How long a suspended swarm waits where nobody wakes it.
const SUSPENDED: Duration = Duration::from_secs(24 * 60 * 60);

const IDENTIFY_PROTOCOL: &str = "/lichen/1.0.0";

// What keeps peers comes first: a connection that it denies, the others never see.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour<R: NetworkBehaviour> {
    reach: R,
    streams: streams::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
}

/// Carries commands out and reports events until nobody listens or commands any more.
pub(super) struct Driver<R: Reach> {
    swarm: libp2p::Swarm<Behaviour<R::Behaviour>>,
    commands: mpsc::UnboundedReceiver<Command>,
    hub: Hub,
    core: Core,
    reach: R,
    /// Bytes moved to and from the hub.
    traffic: Arc<Traffic>,
    reported: (u64, u64),
    /// Whether a number about a peer has changed since peers were last reported.
    is_stale: bool,
    tick: Delay,
}

/// Where the way to the hub stands.
enum Hub {
    None,
    Dialling { target: Target, attempt: u32 },
    Connected { target: Target, connection: ConnectionId },
    Waiting { target: Target, attempt: u32, until: Delay },
}

impl<R: Reach> Driver<R> {
    pub(super) fn new(
        keys: &Keypair,
        ice: &[IceServer],
        commands: mpsc::UnboundedReceiver<Command>,
        events: mpsc::Sender<Event>,
    ) -> Result<Self, SwarmError> {
        let traffic = Arc::new(Traffic::default());
        let (transport, reaching, reach) = R::open(keys, ice, Arc::clone(&traffic))?;
        let identify = identify::Config::new(IDENTIFY_PROTOCOL.to_string(), keys.public())
            .with_agent_version(concat!("lichen/", env!("CARGO_PKG_VERSION")).to_string());
        let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_PATIENCE);
        let behaviour = Behaviour {
            reach: reaching,
            streams: streams::Behaviour::client(),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
        };
        let config = config().with_substream_upgrade_protocol_override(Version::V1Lazy);
        let mut swarm = libp2p::Swarm::new(transport, behaviour, keys.public().to_peer_id(), config);
        R::listen(&mut swarm)?;
        Ok(Self {
            swarm,
            commands,
            hub: Hub::None,
            core: Core::new(events),
            reach,
            traffic,
            reported: (0, 0),
            is_stale: false,
            tick: Delay::new(TRAFFIC_INTERVAL),
        })
    }

    pub(super) async fn run(mut self) {
        let started = Event::Started { peer: self.swarm.local_peer_id().to_bytes() };
        if self.core.emit(started).await.is_err() {
            return;
        }
        while let Ok(true) = self.step().await {}
        tracing::debug!("the swarm ends");
    }

    /// Handles whatever comes next; false when nobody commands any more.
    async fn step(&mut self) -> Result<bool, Unheard> {
        let hub = &mut self.hub;
        let retry = async {
            match hub {
                Hub::Waiting { until, .. } => until.await,
                _ => std::future::pending().await,
            }
        };
        let next_done = self.reach.next_done();
        select_biased! {
            command = self.commands.next() => match command {
                Some(command) => self.on_command(command).await?,
                None => return Ok(false),
            },
            event = self.swarm.select_next_some() => self.on_swarm_event(event).await?,
            end = std::pin::pin!(self.core.requests.next_end().fuse()) => self.core.emit(end).await?,
            done = std::pin::pin!(next_done.fuse()) => self.on_done(done).await?,
            () = std::pin::pin!(retry.fuse()) => self.on_retry().await?,
            () = (&mut self.tick).fuse() => self.on_tick().await?,
        }
        Ok(true)
    }

    async fn on_command(&mut self, command: Command) -> Result<(), Unheard> {
        match command {
            Command::Connect { address, also } => self.connect(address, also).await,
            Command::Disconnect => self.disconnect().await,
            Command::Suspend => self.suspend().await,
            Command::Wake => self.on_retry().await,
            Command::Request { id, bytes } => self.request(id, bytes).await,
            Command::Cancel { id } => {
                self.core.requests.cancel(id);
                Ok(())
            }
            order => self.on_order(order).await,
        }
    }

    async fn connect(&mut self, text: String, also: Vec<String>) -> Result<(), Unheard> {
        if !matches!(self.hub, Hub::None) {
            self.leave_hub().await?;
        }
        let Some(target) = Target::parse(text, also) else {
            let reason = Disconnection::UnusableAddress;
            return self.core.emit(Event::Disconnected { reason, retry_in: None }).await;
        };
        self.dial(target, 1).await
    }

    async fn dial(&mut self, target: Target, attempt: u32) -> Result<(), Unheard> {
        self.core.emit(Event::Connecting { address: target.text.clone(), attempt }).await?;
        let options = DialOpts::peer_id(target.peer)
            .addresses(vec![target.address.clone()])
            .condition(PeerCondition::Always)
            .build();
        self.hub = Hub::Dialling { target, attempt };
        match self.swarm.dial(options) {
            Ok(()) => Ok(()),
            Err(error) => self.on_dial_error(&error).await,
        }
    }

    async fn disconnect(&mut self) -> Result<(), Unheard> {
        let behaviour = &mut self.swarm.behaviour_mut().reach;
        self.reach.part(&mut Lent { behaviour, core: &mut self.core }).await?;
        self.leave_hub().await
    }

    /// Closes every connection and remembers the hub until it is to be dialled again.
    async fn suspend(&mut self) -> Result<(), Unheard> {
        let target = match &self.hub {
            Hub::None => return Ok(()),
            Hub::Dialling { target, .. } | Hub::Connected { target, .. } | Hub::Waiting { target, .. } => {
                target.clone()
            }
        };
        self.leave_hub().await?;
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // One that is gone meanwhile is as good as disconnected.
            let _gone = self.swarm.disconnect_peer_id(peer);
        }
        self.hub = Hub::Waiting { target, attempt: 1, until: Delay::new(SUSPENDED) };
        Ok(())
    }

    /// Leaves the hub; peers stay.
    async fn leave_hub(&mut self) -> Result<(), Unheard> {
        self.hub_lost();
        let (peer, connection) = match std::mem::replace(&mut self.hub, Hub::None) {
            Hub::None => return Ok(()),
            Hub::Waiting { .. } => (None, None),
            Hub::Dialling { target, .. } => (Some(target.peer), None),
            Hub::Connected { target, connection } => (Some(target.peer), Some(connection)),
        };
        if let Some(connection) = connection {
            self.core.fail(connection).await?;
        }
        if let Some(peer) = peer
            && self.swarm.disconnect_peer_id(peer).is_err()
        {
            tracing::debug!("the hub was not connected yet");
        }
        self.core.emit(Event::Disconnected { reason: Disconnection::Requested, retry_in: None }).await
    }

    async fn request(&mut self, id: RequestId, bytes: Vec<u8>) -> Result<(), Unheard> {
        let Hub::Connected { target, connection } = &self.hub else {
            return self.core.refuse(id, RequestError::NotConnected).await;
        };
        if bytes.len() > MAX_FRAME {
            return self.core.refuse(id, RequestError::FrameTooLarge).await;
        }
        if let Err(error) = self.core.requests.admit(id, *connection, bytes, MAX_FRAME) {
            return self.core.refuse(id, error).await;
        }
        self.swarm.behaviour_mut().streams.open(target.peer, *connection, id);
        Ok(())
    }

    async fn on_swarm_event(
        &mut self,
        event: SwarmEvent<BehaviourEvent<R::Behaviour>>,
    ) -> Result<(), Unheard> {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(event)) => self.on_stream(event).await,
            SwarmEvent::Behaviour(BehaviourEvent::Reach(event)) => {
                let behaviour = &mut self.swarm.behaviour_mut().reach;
                self.reach.on_event(event, Lent { behaviour, core: &mut self.core }).await
            }
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => {
                self.on_ping(event);
                Ok(())
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.core.peers.established(connection_id, peer_id, &endpoint);
                self.on_connected(peer_id, connection_id).await
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, cause, .. } => {
                tracing::debug!(?cause, "a connection closed");
                self.on_closed(peer_id, connection_id, num_established).await
            }
            SwarmEvent::OutgoingConnectionError { peer_id, error, .. } => match &self.hub {
                Hub::Dialling { target, .. } if peer_id == Some(target.peer) => {
                    self.on_dial_error(&error).await
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    async fn on_connected(&mut self, peer: PeerId, connection: ConnectionId) -> Result<(), Unheard> {
        if let Hub::Dialling { target, .. } = &self.hub
            && target.peer == peer
        {
            let connected = Event::Connected { peer: peer.to_bytes(), address: target.text.clone() };
            self.hub = Hub::Connected { target: target.clone(), connection };
            self.core.emit(connected).await?;
            self.hub_found();
        }
        self.emit_peers().await
    }

    async fn on_closed(&mut self, peer: PeerId, closed: ConnectionId, left: u32) -> Result<(), Unheard> {
        self.core.peers.closed(closed);
        if left == 0 {
            self.reach.peer_gone(&peer);
        }
        self.emit_peers().await?;
        self.core.finish_ready().await?;
        self.core.fail(closed).await?;
        match &self.hub {
            Hub::Connected { target, connection } if *connection == closed => {
                let target = target.clone();
                self.hub_lost();
                self.retry(target, 1, Disconnection::Lost).await
            }
            _ => Ok(()),
        }
    }

    async fn on_dial_error(&mut self, error: &DialError) -> Result<(), Unheard> {
        tracing::debug!(%error, "the hub cannot be reached");
        let Hub::Dialling { target, attempt } = std::mem::replace(&mut self.hub, Hub::None) else {
            return Ok(());
        };
        let reason = dial_failure(error);
        if reason == Disconnection::UnusableAddress && target.is_only() {
            return self.core.emit(Event::Disconnected { reason, retry_in: None }).await;
        }
        self.retry(target, attempt.saturating_add(1), reason).await
    }

    /// Waits, then makes this attempt, at the next address.
    async fn retry(
        &mut self,
        mut target: Target,
        attempt: u32,
        reason: Disconnection,
    ) -> Result<(), Unheard> {
        target.turn();
        // Without randomness the wait is the longest of its band, which is no reason to fail.
        let delay = backoff::delay(attempt, getrandom::u32().unwrap_or(u32::MAX));
        self.hub = Hub::Waiting { target, attempt, until: Delay::new(delay) };
        let retry_in = Some(u32::try_from(delay.as_millis()).unwrap_or(u32::MAX));
        self.core.emit(Event::Disconnected { reason, retry_in }).await
    }

    async fn on_retry(&mut self) -> Result<(), Unheard> {
        match std::mem::replace(&mut self.hub, Hub::None) {
            Hub::Waiting { target, attempt, .. } => self.dial(target, attempt).await,
            other => {
                self.hub = other;
                Ok(())
            }
        }
    }

    async fn on_stream(&mut self, event: StreamEvent) -> Result<(), Unheard> {
        let StreamEvent::Outbound { id, stream } = event else { return Ok(()) };
        self.core.opened(id, stream).await
    }

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(time) => {
                let round_trip = u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
                self.core.peers.measured(event.connection, round_trip);
                self.is_stale = true;
            }
            Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                tracing::debug!(%error, "a connection is dead");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    async fn on_tick(&mut self) -> Result<(), Unheard> {
        self.tick.reset(TRAFFIC_INTERVAL);
        self.reach.second();
        let direct = self.reach.moved_in_all();
        let moved = (self.traffic.received() + direct.0, self.traffic.sent() + direct.1);
        if self.reported != moved {
            self.reported = moved;
            self.is_stale = true;
            self.core.emit(Event::Traffic { received: moved.0, sent: moved.1 }).await?;
        }
        if self.is_stale { self.emit_peers().await } else { Ok(()) }
    }

    async fn emit_peers(&mut self) -> Result<(), Unheard> {
        self.is_stale = false;
        let peers = self.core.peers.rows(|peer, path| match path {
            Path::Hub => (self.traffic.received(), self.traffic.sent()),
            Path::Direct | Path::Relayed => self.reach.moved(peer),
        });
        self.core.emit(Event::PeersChanged { peers }).await
    }
}

/// What other peers than the hub have to do with it.
impl<R: Reach> Driver<R> {
    async fn on_order(&mut self, command: Command) -> Result<(), Unheard> {
        let behaviour = &mut self.swarm.behaviour_mut().reach;
        self.reach.on_command(command, Lent { behaviour, core: &mut self.core }).await
    }

    async fn on_done(&mut self, done: R::Done) -> Result<(), Unheard> {
        let behaviour = &mut self.swarm.behaviour_mut().reach;
        self.reach.on_done(done, Lent { behaviour, core: &mut self.core }).await
    }

    fn hub_found(&mut self) {
        let Hub::Connected { target, connection } = &self.hub else { return };
        let hub = reach::Hub { peer: target.peer, connection: *connection, address: target.address.clone() };
        self.reach.hub_found(hub, &mut self.swarm.behaviour_mut().reach);
    }

    fn hub_lost(&mut self) {
        self.reach.hub_lost(&mut self.swarm.behaviour_mut().reach);
    }
}

fn dial_failure(error: &DialError) -> Disconnection {
    match error {
        DialError::WrongPeerId { .. } => Disconnection::WrongPeer,
        DialError::NoAddresses => Disconnection::UnusableAddress,
        DialError::Transport(attempts)
            if attempts
                .iter()
                .all(|(_, error)| matches!(error, TransportError::MultiaddrNotSupported(_))) =>
        {
            Disconnection::UnusableAddress
        }
        _ => Disconnection::Unreachable,
    }
}

#[cfg(target_arch = "wasm32")]
fn config() -> libp2p::swarm::Config {
    libp2p::swarm::Config::with_executor(wasm_bindgen_futures::spawn_local)
}

#[cfg(not(target_arch = "wasm32"))]
fn config() -> libp2p::swarm::Config {
    libp2p::swarm::Config::with_tokio_executor()
}
