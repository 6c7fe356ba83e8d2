//! The mesh of a page: peers are found through the hub, dialled over `/webrtc`, asked and answered on streams of their
//! own, and told by gossip.
//!
//! Nothing of it happens before [`Command::Meet`](crate::Command::Meet): until then nobody is dialled, no circuit is
//! accepted and the hub tells nobody that we are here.

mod direct;
mod inbound;
mod neighbourhood;
mod orders;
mod register;

use std::sync::Arc;

use direct::Direct;
use futures::future::{AbortHandle, LocalBoxFuture};
use futures::stream::FuturesUnordered;
use inbound::{Inbound, Outcome};
use js_sys::Array;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{gossipsub, relay};
use lichen_record::CampaignId;
use lichen_webrtc::browser as webrtc;
use orders::Heard;
use register::Registered;
use wasm_bindgen::JsValue;

use super::SwarmError;
use super::reach::Hub;
use super::streams;
use super::traffic::PeerTraffic;
use super::transport::{self, Secured, Traffic};
use crate::{IceServer, MAX_ANNOUNCEMENT, Path};

/// The peer protocol's name when a stream is opened.
const PEER_PROTOCOL: &str = "/lichen/peer/1.0.0";

/// What signatures and names may add to an announcement.
const ENVELOPE: usize = 1024;

// The neighbourhood comes first: what it denies, the others never see.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    neighbourhood: neighbourhood::Behaviour,
    webrtc: webrtc::Behaviour,
    circuits: relay::client::Behaviour,
    gossip: Direct<gossipsub::Behaviour>,
    streams: streams::Behaviour,
    rendezvous: streams::Behaviour,
}

/// The mesh's side of the swarm: what is ordered and under way.
pub(super) struct Mesh {
    /// The hub, while it is connected.
    hub: Option<Hub>,
    /// What was last ordered by [`Command::Meet`](crate::Command::Meet), until we part.
    meeting: Option<Meeting>,
    registration: Option<AbortHandle>,
    inbound: Inbound,
    heard: Heard,
    traffic: PeerTraffic,
    tasks: FuturesUnordered<LocalBoxFuture<'static, Done>>,
}

struct Meeting {
    campaign: CampaignId,
    relay_only: bool,
}

/// What came of a task of the mesh.
pub(super) enum Done {
    Registered(Registered),
    /// It is time to register again.
    RegisterAgain,
    Answered(crate::InboundId, Outcome),
    /// It was called off.
    Nothing,
}

/// The transports of a page, and the mesh that uses them.
fn new(
    keys: &Keypair,
    ice: &[IceServer],
    hub: Arc<Traffic>,
) -> Result<(Secured, Behaviour, Mesh), SwarmError> {
    let local = keys.public().to_peer_id();
    let traffic = PeerTraffic::default();
    let ice_servers = ice.iter().map(ice_server).collect();
    let config = webrtc::Config { ice_servers, budget: webrtc::Budget::of_page() };
    let (direct, webrtc) = webrtc::new(config);
    let (circuits, circuit_client) = relay::client::new(local);
    let transport = transport::all(keys, hub, traffic.clone(), direct, circuits)?;
    let behaviour = Behaviour {
        neighbourhood: neighbourhood::Behaviour::new(local),
        webrtc,
        circuits: circuit_client,
        gossip: Direct::new(gossip(keys)?),
        streams: streams::Behaviour::new(PEER_PROTOCOL, Path::Direct, true),
        rendezvous: streams::Behaviour::rendezvous_client(),
    };
    let mesh = Mesh {
        hub: None,
        meeting: None,
        registration: None,
        inbound: Inbound::default(),
        heard: Heard::default(),
        traffic,
        tasks: FuturesUnordered::new(),
    };
    Ok((transport, behaviour, mesh))
}

fn ice_server(server: &IceServer) -> webrtc::RtcIceServer {
    let entry = webrtc::RtcIceServer::new();
    entry.set_urls(&server.urls.iter().map(|url| JsValue::from_str(url)).collect::<Array>());
    if let (Some(user), Some(credential)) = (&server.username, &server.credential) {
        entry.set_username(user);
        entry.set_credential(credential);
    }
    entry
}

fn gossip(keys: &Keypair) -> Result<gossipsub::Behaviour, SwarmError> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(gossipsub::ValidationMode::Strict)
        // Nothing is passed on before it is within its caps.
        .validate_messages()
        .max_transmit_size(MAX_ANNOUNCEMENT + ENVELOPE)
        .build()
        .map_err(|error| SwarmError::Transport(error.to_string()))?;
    gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Signed(keys.clone()), config)
        .map_err(|error| SwarmError::Transport(error.to_owned()))
}
