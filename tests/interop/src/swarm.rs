//! The swarm under test: webrtc, then relay, then WebSocket.

use std::collections::HashMap;

use futures::channel::{mpsc, oneshot};
use futures::{FutureExt as _, StreamExt as _, select_biased};
use libp2p::core::transport::Transport as _;
use libp2p::core::upgrade::Version;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{ConnectionId, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify, noise, ping, relay, websocket_websys, yamux};
use lichen_webrtc::browser as webrtc;
use wasm_bindgen_futures::spawn_local;

#[derive(NetworkBehaviour)]
struct Behaviour {
    webrtc: webrtc::Behaviour,
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    stream: Toggle<libp2p_stream::Behaviour>,
}

/// What a test asks of the swarm.
pub(crate) enum Command {
    Listen(Multiaddr),
    Dial(Multiaddr, oneshot::Sender<Result<(), String>>),
    Disconnect(PeerId),
    Ask(Box<dyn FnOnce(&Seen)>),
}

/// What the swarm has seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) address: Option<Multiaddr>,
    pub(crate) connections: HashMap<ConnectionId, (PeerId, Multiaddr)>,
    pub(crate) protocols: HashMap<PeerId, Vec<String>>,
    pub(crate) pings: HashMap<PeerId, f64>,
}

/// A running swarm.
pub(crate) struct Node {
    pub(crate) peer: PeerId,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    pub(crate) streams: Option<libp2p_stream::Control>,
}

pub(crate) fn spawn(with_streams: bool) -> Result<Node, Box<dyn std::error::Error>> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
    let keypair = libp2p::identity::Keypair::ed25519_from_bytes(seed)?;
    let peer = keypair.public().to_peer_id();
    let (webrtc_transport, webrtc) = webrtc::new(webrtc::Config::default());
    let (relay_transport, relay) = relay::client::new(peer);
    let noise = noise::Config::new(&keypair)?;
    let upgraded = relay_transport
        .or_transport(websocket_websys::Transport::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default());
    let transport = webrtc_transport
        .map(|(peer, connection), _| (peer, libp2p::core::muxing::StreamMuxerBox::new(connection)))
        .or_transport(
            upgraded.map(|(peer, muxer), _| (peer, libp2p::core::muxing::StreamMuxerBox::new(muxer))),
        )
        .map(|either, _| either.into_inner())
        .boxed();
    let behaviour = Behaviour {
        webrtc,
        relay,
        identify: identify::Behaviour::new(identify::Config::new(
            "/lichen-interop/1".into(),
            keypair.public(),
        )),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(std::time::Duration::from_secs(2))),
        stream: with_streams.then(libp2p_stream::Behaviour::new).into(),
    };
    let streams = behaviour.stream.as_ref().map(libp2p_stream::Behaviour::new_control);
    let config = libp2p::swarm::Config::with_wasm_executor()
        .with_idle_connection_timeout(std::time::Duration::from_secs(60));
    let mut swarm = Swarm::new(transport, behaviour, peer, config);
    swarm.listen_on(Multiaddr::empty().with(Protocol::WebRTC))?;
    let (commands, orders) = mpsc::unbounded();
    spawn_local(run(swarm, orders));
    Ok(Node { peer, commands, streams })
}

async fn run(mut swarm: Swarm<Behaviour>, mut orders: mpsc::UnboundedReceiver<Command>) {
    let mut seen = Seen::default();
    let mut dials: HashMap<ConnectionId, oneshot::Sender<Result<(), String>>> = HashMap::new();
    loop {
        select_biased! {
            order = orders.next() => match order {
                None => return,
                Some(Command::Ask(question)) => question(&seen),
                Some(Command::Disconnect(peer)) => {
                    if swarm.disconnect_peer_id(peer).is_err() {
                        web_error("there is nobody to disconnect");
                    }
                }
                Some(Command::Listen(address)) => {
                    if let Err(error) = swarm.listen_on(address) {
                        web_error(&error.to_string());
                    }
                }
                Some(Command::Dial(address, reply)) => {
                    let options = DialOpts::unknown_peer_id().address(address).build();
                    let id = options.connection_id();
                    match swarm.dial(options) {
                        Ok(()) => {
                            dials.insert(id, reply);
                        }
                        Err(error) => {
                            let _gone = reply.send(Err(error.to_string()));
                        }
                    }
                }
            },
            event = swarm.next().fuse() => match event {
                None => return,
                Some(event) => note(event, &mut seen, &mut dials),
            },
        }
    }
}

fn note(
    event: SwarmEvent<BehaviourEvent>,
    seen: &mut Seen,
    dials: &mut HashMap<ConnectionId, oneshot::Sender<Result<(), String>>>,
) {
    match event {
        SwarmEvent::NewListenAddr { address, .. } if address.iter().any(|part| part == Protocol::WebRTC) => {
            seen.address = Some(address);
        }
        SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
            let address = endpoint.get_remote_address().clone();
            seen.connections.insert(connection_id, (peer_id, address));
            if let Some(reply) = dials.remove(&connection_id) {
                let _gone = reply.send(Ok(()));
            }
        }
        SwarmEvent::ConnectionClosed { connection_id, .. } => {
            seen.connections.remove(&connection_id);
        }
        SwarmEvent::OutgoingConnectionError { connection_id, error, .. } => {
            if let Some(reply) = dials.remove(&connection_id) {
                let _gone = reply.send(Err(error.to_string()));
            }
        }
        SwarmEvent::Behaviour(BehaviourEvent::Identify(identify::Event::Received {
            peer_id, info, ..
        })) => {
            seen.protocols.insert(peer_id, info.protocols.iter().map(ToString::to_string).collect());
        }
        SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, result: Ok(time), .. })) => {
            seen.pings.insert(peer, time.as_secs_f64() * 1000.0);
        }
        _ => {}
    }
}

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn web_error(text: &str);
}
