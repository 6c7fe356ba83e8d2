//! Circuits for signalling, and every limit on them and on connections, each seen in the metrics.

use std::sync::Arc;
use std::time::Instant;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use lichen_net::swarm::libp2p::core::Transport;
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_net::swarm::libp2p::multiaddr::Protocol;
use lichen_net::swarm::libp2p::swarm::{Config, ConnectionId, NetworkBehaviour, Stream, Swarm, SwarmEvent};
use lichen_net::swarm::libp2p::{Multiaddr, PeerId, relay, tcp, websocket};
use lichen_net::swarm::streams::{self, StreamEvent};
use lichen_net::swarm::transport::secure;
use lichen_net::{Path, RequestId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::Relay;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "lichen_net::swarm::libp2p::swarm::derive_prelude")]
struct Behaviour {
    circuits: relay::client::Behaviour,
    streams: streams::Behaviour,
}

/// A peer that can be reached, and reach others, through the relay.
struct Peer {
    id: PeerId,
    relay: Multiaddr,
    wishes: mpsc::UnboundedSender<Wish>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

enum Wish {
    Listen(Multiaddr),
    Dial(Multiaddr),
    Open(PeerId, ConnectionId),
    Close(ConnectionId),
}

#[derive(Debug)]
enum Seen {
    Reserved,
    NotReserved,
    Connected { peer: PeerId, connection: ConnectionId },
    NotConnected,
    Opened(Stream),
    Accepted(Stream),
}

impl Peer {
    /// Connects to the relay.
    async fn start(relay: &Relay) -> Self {
        let mut peer = Self::with_keys(relay, &Keypair::generate_ed25519()).await;
        peer.connected().await.expect("the relay lets it in");
        peer
    }

    async fn with_keys(relay: &Relay, keys: &Keypair) -> Self {
        let relay: Multiaddr = relay.info().await.address.parse().unwrap();
        let id = keys.public().to_peer_id();
        let (circuits, client) = relay::client::new(id);
        let sockets = websocket::Config::new(tcp::tokio::Transport::new(tcp::Config::default()));
        let transport = secure(circuits.or_transport(sockets), keys, Arc::default()).unwrap();
        let behaviour = Behaviour {
            circuits: client,
            streams: streams::Behaviour::new("/lichen/test/1.0.0", Path::Relayed, true),
        };
        let swarm = Swarm::new(transport, behaviour, id, Config::with_tokio_executor());
        let (wishes, wished) = mpsc::unbounded_channel();
        let (sees, seen) = mpsc::unbounded_channel();
        tokio::spawn(run(swarm, wished, sees));
        wishes.send(Wish::Dial(relay.clone())).unwrap();
        Self { id, relay, wishes, seen }
    }

    async fn next(&mut self) -> Seen {
        timeout(PATIENCE, self.seen.recv()).await.expect("nothing happened in time").unwrap()
    }

    /// The next connection, or nothing if it could not be made.
    async fn connected(&mut self) -> Option<(PeerId, ConnectionId)> {
        loop {
            match self.next().await {
                Seen::Connected { peer, connection } => return Some((peer, connection)),
                Seen::NotConnected => return None,
                _ => {}
            }
        }
    }

    /// Asks the relay to let others reach it.
    async fn reserve(&mut self) -> bool {
        self.wishes.send(Wish::Listen(self.relay.clone().with(Protocol::P2pCircuit))).unwrap();
        loop {
            match self.next().await {
                Seen::Reserved => return true,
                Seen::NotReserved => return false,
                _ => {}
            }
        }
    }

    /// Reaches another peer through the relay.
    async fn dial(&mut self, other: &Peer) -> Option<ConnectionId> {
        let address = self.relay.clone().with(Protocol::P2pCircuit).with(Protocol::P2p(other.id));
        self.wishes.send(Wish::Dial(address)).unwrap();
        self.connected().await.map(|(_, connection)| connection)
    }

    /// A stream to the other over that circuit, both ends of it.
    async fn stream(&mut self, other: &mut Peer, circuit: ConnectionId) -> (Stream, Stream) {
        self.wishes.send(Wish::Open(other.id, circuit)).unwrap();
        let mut here = loop {
            if let Seen::Opened(stream) = self.next().await {
                break stream;
            }
        };
        here.write_all(b"hello").await.unwrap();
        here.flush().await.unwrap();
        let mut there = loop {
            if let Seen::Accepted(stream) = other.next().await {
                break stream;
            }
        };
        let mut word = [0; 5];
        there.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"hello");
        (here, there)
    }
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    mut wishes: mpsc::UnboundedReceiver<Wish>,
    sees: mpsc::UnboundedSender<Seen>,
) {
    loop {
        let seen = tokio::select! {
            wish = wishes.recv() => match wish {
                Some(Wish::Listen(address)) => {
                    swarm.listen_on(address).unwrap();
                    continue;
                }
                Some(Wish::Dial(address)) => {
                    swarm.dial(address).unwrap();
                    continue;
                }
                Some(Wish::Open(peer, connection)) => {
                    swarm.behaviour_mut().streams.open(peer, connection, RequestId(1));
                    continue;
                }
                Some(Wish::Close(connection)) => {
                    swarm.close_connection(connection);
                    continue;
                }
                None => return,
            },
            event = swarm.select_next_some() => match event {
                SwarmEvent::Behaviour(BehaviourEvent::Circuits(
                    relay::client::Event::ReservationReqAccepted { .. },
                )) => Seen::Reserved,
                SwarmEvent::ListenerClosed { reason: Err(_), .. } => Seen::NotReserved,
                SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                    Seen::Connected { peer: peer_id, connection: connection_id }
                }
                SwarmEvent::OutgoingConnectionError { .. } => Seen::NotConnected,
                SwarmEvent::Behaviour(BehaviourEvent::Streams(StreamEvent::Outbound { stream, .. })) => {
                    Seen::Opened(stream.unwrap())
                }
                SwarmEvent::Behaviour(BehaviourEvent::Streams(StreamEvent::Inbound { stream, .. })) => {
                    Seen::Accepted(stream)
                }
                _ => continue,
            },
        };
        if sees.send(seen).is_err() {
            return;
        }
    }
}

async fn is_limited(relay: &Relay, limit: &str) {
    relay.metric_reaches(&format!("lichen_limited_total{{limit=\"{limit}\"}}"), 1).await;
}

async fn relay_with(options: &[&str]) -> Relay {
    Relay::start_with(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_carries_a_signalling_session_and_no_more() {
    let relay = relay_with(&["--circuit-bytes", "40000"]).await;
    let (mut one, mut two) = (Peer::start(&relay).await, Peer::start(&relay).await);
    assert!(two.reserve().await);
    let circuit = one.dial(&two).await.unwrap();
    let (mut here, mut there) = one.stream(&mut two, circuit).await;
    there.write_all(&[7; 10_000]).await.unwrap();
    there.flush().await.unwrap();
    let mut offer = vec![0; 10_000];
    here.read_exact(&mut offer).await.unwrap();
    assert_eq!(offer, [7; 10_000]);
    assert_eq!(relay.metric("lichen_circuits_open").await, 1);
    assert_eq!(relay.metric("lichen_limited_total{limit=\"circuit_bytes\"}").await, 0);

    // Written or not, it does not arrive.
    let _broken = here.write_all(&[8; 100_000]).await;
    let _broken = here.flush().await;
    let mut update = vec![0; 100_000];
    let read = timeout(PATIENCE, there.read_exact(&mut update)).await.expect("the circuit ends");
    assert!(read.is_err(), "more came than a circuit may carry");
    is_limited(&relay, "circuit_bytes").await;
    relay.metric_reaches("lichen_circuits_total{outcome=\"closed\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_ends_after_its_time() {
    let relay = relay_with(&["--circuit-seconds", "1"]).await;
    let (mut one, mut two) = (Peer::start(&relay).await, Peer::start(&relay).await);
    assert!(two.reserve().await);
    let circuit = one.dial(&two).await.unwrap();
    let (mut here, _there) = one.stream(&mut two, circuit).await;
    is_limited(&relay, "circuit_seconds").await;
    let ended = timeout(PATIENCE, here.read(&mut [0])).await.expect("the circuit ends");
    assert!(!matches!(ended, Ok(1..)));
    assert_eq!(relay.metric("lichen_circuits_open").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_has_so_many_circuits() {
    let relay = relay_with(&["--max-circuits-per-peer", "2"]).await;
    let mut one = Peer::start(&relay).await;
    let mut others = Vec::new();
    for _ in 0..3 {
        let mut other = Peer::start(&relay).await;
        assert!(other.reserve().await);
        others.push(other);
    }
    assert!(one.dial(&others[0]).await.is_some());
    assert!(one.dial(&others[1]).await.is_some());
    assert!(one.dial(&others[2]).await.is_none());
    is_limited(&relay, "circuits_per_peer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_circuits_in_all() {
    let relay = relay_with(&["--max-circuits", "1"]).await;
    let (mut one, mut two, mut three) =
        (Peer::start(&relay).await, Peer::start(&relay).await, Peer::start(&relay).await);
    assert!(three.reserve().await);
    assert!(one.dial(&three).await.is_some());
    assert!(two.dial(&three).await.is_none());
    is_limited(&relay, "circuits").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_peers_at_an_address_have_so_many_circuits() {
    let relay = relay_with(&["--max-circuits-per-address", "1"]).await;
    let (mut one, mut two, mut three) =
        (Peer::start(&relay).await, Peer::start(&relay).await, Peer::start(&relay).await);
    assert!(three.reserve().await);
    let circuit = one.dial(&three).await.unwrap();
    assert!(two.dial(&three).await.is_none());
    is_limited(&relay, "circuits_per_address").await;
    assert_eq!(relay.metric("lichen_limited_total{limit=\"circuits_per_peer\"}").await, 0, "counted twice");
    one.wishes.send(Wish::Close(circuit)).unwrap();
    relay.metric_reaches("lichen_circuits_total{outcome=\"closed\"}", 1).await;
    assert!(two.dial(&three).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_peers_can_be_reached() {
    let relay = relay_with(&["--max-reservations", "1"]).await;
    let (mut one, mut two) = (Peer::start(&relay).await, Peer::start(&relay).await);
    assert!(one.reserve().await);
    assert!(!two.reserve().await);
    is_limited(&relay, "reservations").await;
    assert!(two.dial(&one).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_asks_so_often() {
    // One a minute comes back after a minute, which no machine is too slow for.
    let relay = relay_with(&["--circuit-requests-per-minute", "1"]).await;
    let (mut one, mut two) = (Peer::start(&relay).await, Peer::start(&relay).await);
    assert!(one.reserve().await);
    assert!(!two.reserve().await);
    is_limited(&relay, "reservation_requests_per_address").await;
    assert!(two.dial(&one).await.is_some());
    assert!(two.dial(&one).await.is_none());
    is_limited(&relay, "circuit_requests_per_address").await;
    assert_eq!(relay.metric("lichen_limited_total{limit=\"circuits\"}").await, 0, "counted twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_asks_so_often() {
    let relay = relay_with(&[]).await;
    let (mut one, two) = (Peer::start(&relay).await, Peer::start(&relay).await);
    let (mut refused, begun) = (0, Instant::now());
    for _ in 0..70 {
        // Nobody waits there, but it was asked for.
        assert!(one.dial(&two).await.is_none());
        refused = relay.metric("lichen_limited_total{limit=\"circuit_requests_per_peer\"}").await;
    }
    // One of sixty comes back each second.
    let come_back = begun.elapsed().as_secs() + 1;
    assert!(refused <= 10 && refused + come_back >= 10, "{refused} refused, {come_back} came back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_has_so_many_connections() {
    let relay = relay_with(&[]).await;
    let keys = Keypair::generate_ed25519();
    let mut same = Vec::new();
    for _ in 0..4 {
        let mut peer = Peer::with_keys(&relay, &keys).await;
        assert!(peer.connected().await.is_some());
        same.push(peer);
    }
    relay.metric_reaches("lichen_connections", 4).await;
    let _one_too_many = Peer::with_keys(&relay, &keys).await;
    is_limited(&relay, "connections_per_peer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_connections_are_being_set_up() {
    let options = ["--max-pending-connections=512", "--max-pending-connections-per-address=600"];
    let relay = relay_with(&options).await;
    let host = relay.url.trim_start_matches("http://").trim_end_matches('/');
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let mut silent = Vec::new();
    for _ in 0..513 {
        let mut socket = tokio::net::TcpStream::connect(host).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        silent.push(socket);
    }
    is_limited(&relay, "pending_connections").await;
}
