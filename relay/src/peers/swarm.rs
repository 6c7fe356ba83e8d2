//! The relay's libp2p side: accepts connections from the HTTP server and hands hub streams to the hub.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::StreamExt;
use lichen_net::swarm::libp2p::core::upgrade::Version;
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_net::swarm::libp2p::swarm::{
    Config, ConnectionId, ListenError, NetworkBehaviour, Swarm, SwarmEvent,
};
use lichen_net::swarm::libp2p::{self, Multiaddr, connection_limits, identify, ping};
use lichen_net::swarm::streams::{self, StreamEvent};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accepting::accepted::Accepted;
use crate::accepting::connections::Connections;
use crate::operating::metrics::Metrics;
use crate::peers::hub::{Hub, Session};
use crate::peers::muxer::secure;
use crate::peers::rendezvous::Rendezvous;
use crate::peers::unread::Unread;
use crate::traversal::circuits::{self, Counts, ip};

/// Connections of one peer: a tab that reconnects may come before its old connection is found dead.
const MAX_CONNECTIONS_PER_PEER: u32 = 4;

/// How often a peer is asked whether it is there, and how long it may take.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_PATIENCE: Duration = Duration::from_secs(20);

/// How long a peer may stay at a relay that only follows while the leader is there: long enough to read what it came for.
const STAY: Duration = Duration::from_secs(10);

/// How often and in which share peers are sent back to the leader, and how many at least.
const SEND_BACK_INTERVAL: Duration = Duration::from_secs(1);
const SEND_BACK_SHARE: usize = 8;
const SEND_BACK_LEAST: usize = 32;

/// Longest time for all connections to close at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "lichen_net::swarm::libp2p::swarm::derive_prelude")]
struct Behaviour {
    limits: connection_limits::Behaviour,
    streams: streams::Behaviour,
    rendezvous: streams::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    circuits: libp2p::relay::Behaviour,
}

/// Runs the swarm and one task per stream.
pub(crate) struct Peers {
    swarm: Swarm<Behaviour>,
    sessions: HashMap<ConnectionId, Arc<Session>>,
    hub: Arc<Hub>,
    connections: Arc<Connections>,
    rendezvous: Arc<Rendezvous>,
    metrics: Arc<Metrics>,
    counts: Counts,
    requests: TaskTracker,
    leader: Option<watch::Receiver<bool>>,
}

/// What [`Peers`] are made of.
pub(crate) struct PeersParts<'a> {
    pub(crate) keys: &'a Keypair,
    pub(crate) accepted: Accepted,
    /// Where the swarm listens.
    pub(crate) address: Multiaddr,
    /// Where peers reach it, if that is elsewhere.
    pub(crate) public: Option<Multiaddr>,
    pub(crate) circuit_limits: circuits::Limits,
    pub(crate) hub: Arc<Hub>,
    /// Counts the connections whose peers have not identified themselves.
    pub(crate) connections: Arc<Connections>,
    pub(crate) rendezvous: Rendezvous,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) requests: TaskTracker,
    /// Whether the relay that this one follows is there, if it follows one.
    pub(crate) leader: Option<watch::Receiver<bool>>,
}

impl Peers {
    pub(crate) fn new(parts: PeersParts<'_>) -> Result<Self> {
        let PeersParts {
            keys,
            accepted,
            address,
            public,
            circuit_limits,
            hub,
            connections,
            rendezvous,
            metrics,
            requests,
            leader,
        } = parts;
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER));
        let identify = identify::Config::new("/lichen/1.0.0".to_string(), keys.public())
            .with_agent_version(concat!("lichen-relay/", env!("CARGO_PKG_VERSION")).to_string());
        let ping = ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_PATIENCE);
        let (circuits, counts) = circuits::behaviour(keys.public().to_peer_id(), circuit_limits, &metrics);
        let behaviour = Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            streams: streams::Behaviour::server(),
            rendezvous: streams::Behaviour::rendezvous_server(),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            circuits,
        };
        let unread = Unread::new(Arc::clone(&metrics));
        let transport = secure(accepted, keys, metrics.traffic(), Arc::clone(&connections), unread)?;
        let config = Config::with_tokio_executor().with_substream_upgrade_protocol_override(Version::V1Lazy);
        let mut swarm = Swarm::new(transport, behaviour, keys.public().to_peer_id(), config);
        swarm.listen_on(address.clone()).context("the swarm cannot listen")?;
        // Circuits are given only under an address known to be ours, which peers tell each other.
        swarm.add_external_address(public.unwrap_or(address));
        let rendezvous = Arc::new(rendezvous);
        let sessions = HashMap::new();
        Ok(Self { swarm, sessions, hub, connections, rendezvous, metrics, counts, requests, leader })
    }

    /// Runs until the token is cancelled, then closes every connection, which sends what is still to be sent.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut send_back = tokio::time::interval(SEND_BACK_INTERVAL);
        send_back.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = self.swarm.select_next_some() => self.handle(event),
                _ = send_back.tick(), if self.leader.is_some() => self.send_back(),
                () = stop.cancelled() => break,
            }
        }
        for connection in self.sessions.keys() {
            self.swarm.close_connection(*connection);
        }
        let close = async {
            while !self.sessions.is_empty() {
                let event = self.swarm.select_next_some().await;
                self.handle(event);
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, close).await.is_err() {
            tracing::debug!("some connections did not close in time");
        }
    }

    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(StreamEvent::Inbound {
                connection,
                stream,
                ..
            })) => self.serve(connection, stream),
            SwarmEvent::Behaviour(BehaviourEvent::Rendezvous(StreamEvent::Inbound {
                connection,
                stream,
                ..
            })) => self.register(connection, stream),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::Behaviour(BehaviourEvent::Circuits(event)) => self.counts.count(&event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                let remote = endpoint.get_remote_address();
                self.connections.identified(remote);
                self.sessions.insert(connection_id, Arc::new(Session::new(peer_id, ip(remote))));
                self.show_peers();
            }
            SwarmEvent::ConnectionClosed { connection_id, cause, .. } => {
                tracing::debug!(?cause, "a peer's connection closed");
                if let Some(session) = self.sessions.remove(&connection_id) {
                    session.end();
                }
                self.show_peers();
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                if let Some(limit) = limit_of(&error) {
                    self.metrics.limit(limit);
                }
                tracing::debug!(%error, "a peer could not connect");
            }
            _ => {}
        }
    }

    /// Closes what tabs have open here once the leader is there again: they try the next address in turn. Entries are taken
    /// there alone, and tabs find each other only where all of them are.
    fn send_back(&mut self) {
        if !self.leader.as_ref().is_some_and(|lives| *lives.borrow()) {
            return;
        }
        let share = (self.sessions.len() / SEND_BACK_SHARE).max(SEND_BACK_LEAST);
        let stayed = self.sessions.iter().filter(|(_id, session)| session.age() >= STAY);
        for connection in stayed.map(|(id, _session)| *id).take(share).collect::<Vec<_>>() {
            self.swarm.close_connection(connection);
            self.metrics.sent_back.inc();
        }
    }

    fn serve(&mut self, connection: ConnectionId, stream: libp2p::swarm::Stream) {
        let Some(session) = self.sessions.get(&connection).map(Arc::clone) else { return };
        let hub = Arc::clone(&self.hub);
        // One that is not served is reset.
        let Some(place) = hub.admit(&session) else { return };
        self.requests.spawn(async move { hub.serve(&session, stream, place).await });
    }

    fn register(&mut self, connection: ConnectionId, stream: libp2p::swarm::Stream) {
        let Some(session) = self.sessions.get(&connection).map(Arc::clone) else { return };
        let rendezvous = Arc::clone(&self.rendezvous);
        self.requests.spawn(async move { rendezvous.serve(&session, stream).await });
    }

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(_) | Err(ping::Failure::Unsupported) => {}
            Err(error) => {
                tracing::debug!(%error, "a peer is gone");
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn show_peers(&self) {
        self.metrics.peers.set(i64::try_from(self.swarm.connected_peers().count()).unwrap_or(i64::MAX));
    }
}

/// The limit that kept a connection out, if one did.
fn limit_of(error: &ListenError) -> Option<&'static str> {
    let ListenError::Denied { cause } = error else { return None };
    cause.downcast_ref::<connection_limits::Exceeded>().map(|_limit| "connections_per_peer")
}
