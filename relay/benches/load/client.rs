//! A tab without a browser: a swarm of its own, connected to the relay.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{AsyncWriteExt, StreamExt};
use lichen_net::hub::{Reply, Request};
use lichen_net::swarm::frame;
use lichen_net::swarm::libp2p::core::Transport;
use lichen_net::swarm::libp2p::core::upgrade::Version;
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_net::swarm::libp2p::multiaddr::Protocol;
use lichen_net::swarm::libp2p::swarm::{Config, ConnectionId, NetworkBehaviour, Stream, Swarm, SwarmEvent};
use lichen_net::swarm::libp2p::{Multiaddr, PeerId, identify, ping, relay, tcp, websocket};
use lichen_net::swarm::streams::{self, StreamEvent};
use lichen_net::swarm::transport::secure;
use lichen_net::{Path, RequestId};
use lichen_record::{SessionCertificate, SigningKey};
use tokio::sync::{mpsc, oneshot};

/// Longest time for anything that one waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of a session description, and of an ICE candidate, as browsers write them.
pub(crate) const DESCRIPTION: usize = 650;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "lichen_net::swarm::libp2p::swarm::derive_prelude")]
struct Behaviour {
    hub: streams::Behaviour,
    signalling: streams::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    circuits: relay::client::Behaviour,
}

/// What tabs say to each other over a circuit.
const SIGNALLING: &str = "/lichen/bench/signalling/1.0.0";

/// One tab.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) peer: PeerId,
    relay: Multiaddr,
    hub: ConnectionId,
    hub_peer: PeerId,
    wishes: mpsc::UnboundedSender<Wish>,
}

enum Wish {
    Open(PeerId, ConnectionId, oneshot::Sender<Result<Stream>>),
    Reserve(Multiaddr, oneshot::Sender<Result<()>>),
    Dial(Multiaddr, PeerId, oneshot::Sender<Result<ConnectionId>>),
    Close(ConnectionId),
}

impl Client {
    /// Connects to the relay.
    pub(crate) async fn connect(relay: &Multiaddr) -> Result<Self> {
        let keys = Keypair::generate_ed25519();
        let peer = keys.public().to_peer_id();
        let Some(Protocol::P2p(hub_peer)) = relay.iter().last() else { bail!("{relay} names no peer") };
        let (circuits, client) = relay::client::new(peer);
        let sockets =
            websocket::Config::new(tcp::tokio::Transport::new(tcp::Config::default().nodelay(true)));
        let transport = secure(circuits.or_transport(sockets), &keys, Arc::default())?;
        let behaviour = Behaviour {
            hub: streams::Behaviour::client(),
            signalling: streams::Behaviour::new(SIGNALLING, Path::Relayed, true),
            identify: identify::Behaviour::new(identify::Config::new("/lichen/1.0.0".into(), keys.public())),
            ping: ping::Behaviour::new(ping::Config::new()),
            circuits: client,
        };
        let config = Config::with_tokio_executor().with_substream_upgrade_protocol_override(Version::V1Lazy);
        let swarm = Swarm::new(transport, behaviour, peer, config);
        let (wishes, wished) = mpsc::unbounded_channel();
        tokio::spawn(run(swarm, hub_peer, wished));
        let (answer, answered) = oneshot::channel();
        wishes.send(Wish::Dial(relay.clone(), hub_peer, answer)).context("the swarm ended")?;
        let hub = wait(answered).await.context("the relay cannot be reached")?;
        Ok(Self { peer, relay: relay.clone(), hub, hub_peer, wishes })
    }

    /// Says which account it acts for.
    pub(crate) async fn hello(&self, key: &SigningKey) -> Result<()> {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let certificate =
            SessionCertificate { peer: self.peer.to_bytes(), issued: u64::try_from(since.as_millis())? };
        let certificate = key.sign(&certificate)?;
        match self.ask(&Request::Hello { certificate }.to_bytes()?).await? {
            Reply::Welcome { .. } => Ok(()),
            other => bail!("no welcome but {other:?}"),
        }
    }

    /// Asks for what is answered by one frame.
    pub(crate) async fn ask(&self, request: &[u8]) -> Result<Reply> {
        let mut stream = self.request(request).await?;
        let reply = frame::read(&mut stream, lichen_net::MAX_FRAME, PATIENCE).await?;
        Ok(Reply::from_bytes(&reply.context("the relay ended the stream")?)?)
    }

    /// Asks, and leaves the answers to the caller.
    pub(crate) async fn request(&self, request: &[u8]) -> Result<Stream> {
        let mut stream = self.hub_stream().await?;
        frame::write(&mut stream, request, PATIENCE).await?;
        stream.close().await?;
        Ok(stream)
    }

    /// Opens a stream to the relay on which nothing is said yet.
    pub(crate) async fn hub_stream(&self) -> Result<Stream> {
        self.open(self.hub_peer, self.hub).await
    }

    /// Asks the relay to let others reach it.
    pub(crate) async fn reserve(&self) -> Result<()> {
        let address = self.relay.clone().with(Protocol::P2pCircuit);
        let (answer, answered) = oneshot::channel();
        self.wishes.send(Wish::Reserve(address, answer)).context("the swarm ended")?;
        wait(answered).await
    }

    /// Reaches another by a circuit.
    pub(crate) async fn dial(&self, other: PeerId) -> Result<ConnectionId> {
        let address = self.relay.clone().with(Protocol::P2pCircuit).with(Protocol::P2p(other));
        let (answer, answered) = oneshot::channel();
        self.wishes.send(Wish::Dial(address, other, answer)).context("the swarm ended")?;
        wait(answered).await
    }

    pub(crate) fn close(&self, connection: ConnectionId) -> Result<()> {
        self.wishes.send(Wish::Close(connection)).context("the swarm ended")
    }

    /// Opens a stream over one of its connections.
    pub(crate) async fn open(&self, peer: PeerId, connection: ConnectionId) -> Result<Stream> {
        let (answer, answered) = oneshot::channel();
        self.wishes.send(Wish::Open(peer, connection, answer)).context("the swarm ended")?;
        wait(answered).await
    }
}

async fn wait<T>(answered: oneshot::Receiver<Result<T>>) -> Result<T> {
    tokio::time::timeout(PATIENCE, answered)
        .await
        .context("it did not happen in time")?
        .context("the swarm ended")?
}

/// Who waits for what.
#[derive(Default)]
struct Waiting {
    next: u64,
    streams: HashMap<RequestId, oneshot::Sender<Result<Stream>>>,
    dials: HashMap<PeerId, oneshot::Sender<Result<ConnectionId>>>,
    reservation: Option<oneshot::Sender<Result<()>>>,
}

async fn run(mut swarm: Swarm<Behaviour>, hub_peer: PeerId, mut wishes: mpsc::UnboundedReceiver<Wish>) {
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            wish = wishes.recv() => match wish {
                Some(wish) => waiting.begin(&mut swarm, hub_peer, wish),
                None => return,
            },
            event = swarm.select_next_some() => waiting.handle(event),
        }
    }
}

impl Waiting {
    fn begin(&mut self, swarm: &mut Swarm<Behaviour>, hub_peer: PeerId, wish: Wish) {
        match wish {
            Wish::Open(peer, connection, answer) => {
                self.next += 1;
                self.streams.insert(RequestId(self.next), answer);
                let is_hub = peer == hub_peer;
                let Behaviour { hub, signalling, .. } = swarm.behaviour_mut();
                let streams = if is_hub { hub } else { signalling };
                streams.open(peer, connection, RequestId(self.next));
            }
            Wish::Reserve(address, answer) => match swarm.listen_on(address) {
                Ok(_) => self.reservation = Some(answer),
                Err(error) => tell(answer, Err(error.into())),
            },
            Wish::Dial(address, peer, answer) => match swarm.dial(address) {
                Ok(()) => {
                    self.dials.insert(peer, answer);
                }
                Err(error) => tell(answer, Err(error.into())),
            },
            Wish::Close(connection) => {
                swarm.close_connection(connection);
            }
        }
    }

    fn handle(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. }
                if endpoint.is_dialer() =>
            {
                if let Some(answer) = self.dials.remove(&peer_id) {
                    tell(answer, Ok(connection_id));
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), error, .. } => {
                if let Some(answer) = self.dials.remove(&peer) {
                    tell(answer, Err(error.into()));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Circuits(
                relay::client::Event::ReservationReqAccepted { .. },
            )) => {
                if let Some(answer) = self.reservation.take() {
                    tell(answer, Ok(()));
                }
            }
            SwarmEvent::Behaviour(
                BehaviourEvent::Hub(StreamEvent::Outbound { id, stream })
                | BehaviourEvent::Signalling(StreamEvent::Outbound { id, stream }),
            ) => {
                if let Some(answer) = self.streams.remove(&id) {
                    tell(answer, stream.map_err(Into::into));
                }
            }
            SwarmEvent::Behaviour(BehaviourEvent::Signalling(StreamEvent::Inbound { stream, .. })) => {
                tokio::spawn(answer_offer(stream));
            }
            _ => {}
        }
    }
}

fn tell<T>(answer: oneshot::Sender<Result<T>>, what: Result<T>) {
    // Whoever asked may have given up.
    let _gone = answer.send(what);
}

/// The called tab's part of a signalling session: an answer to the offer, then candidate for candidate.
async fn answer_offer(mut stream: Stream) -> Result<()> {
    while let Some(message) = frame::read(&mut stream, 16 * 1024, PATIENCE).await? {
        frame::write(&mut stream, &message, PATIENCE).await?;
    }
    Ok(stream.close().await?)
}
