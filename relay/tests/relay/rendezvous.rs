//! How tabs find each other: registering, lists as others come and go, and every limit.

use std::sync::Arc;

use futures::{AsyncWriteExt, StreamExt};
use lichen_net::RequestId;
use lichen_net::hub::{Reply, Request};
use lichen_net::rendezvous::{MAX_NOTICE, Notice, Refusal, Register};
use lichen_net::swarm::frame;
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_net::swarm::libp2p::swarm::{Config, ConnectionId, NetworkBehaviour, Stream, Swarm, SwarmEvent};
use lichen_net::swarm::libp2p::{Multiaddr, PeerId, tcp, websocket};
use lichen_net::swarm::streams::{self, StreamEvent};
use lichen_net::swarm::transport::secure;
use lichen_record::{CampaignId, SessionCertificate, SigningKey};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::Relay;
use crate::tab::now;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "lichen_net::swarm::libp2p::swarm::derive_prelude")]
struct Behaviour {
    hub: streams::Behaviour,
    rendezvous: streams::Behaviour,
}

#[derive(Clone, Copy)]
enum Protocol {
    Hub,
    Rendezvous,
}

/// A peer with an account, connected to a relay; it is gone when dropped.
struct Visitor {
    peer: PeerId,
    campaign: CampaignId,
    wishes: mpsc::UnboundedSender<(Protocol, oneshot::Sender<Stream>)>,
    swarm: JoinHandle<()>,
}

impl Drop for Visitor {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

impl Visitor {
    /// Connects and says hello.
    async fn start(relay: &Relay, seed: u8) -> Self {
        let info = relay.info().await;
        let own =
            [info.address, info.also.concat()].into_iter().find(|one| one.contains(&info.peer)).unwrap();
        let keys = Keypair::generate_ed25519();
        let peer = keys.public().to_peer_id();
        let sockets = websocket::Config::new(tcp::tokio::Transport::new(tcp::Config::default()));
        let behaviour = Behaviour {
            hub: streams::Behaviour::client(),
            rendezvous: streams::Behaviour::rendezvous_client(),
        };
        let transport = secure(sockets, &keys, Arc::default()).unwrap();
        let mut swarm = Swarm::new(transport, behaviour, peer, Config::with_tokio_executor());
        swarm.dial(own.parse::<Multiaddr>().unwrap()).unwrap();
        let (hub_peer, connection) = loop {
            if let SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } =
                swarm.select_next_some().await
            {
                break (peer_id, connection_id);
            }
        };
        let (wishes, wished) = mpsc::unbounded_channel();
        let swarm = tokio::spawn(run(swarm, hub_peer, connection, wished));
        let visitor = Self { peer, campaign: info.campaign, wishes, swarm };
        let key = SigningKey::generate([seed; 32]);
        let certificate = key.sign(&SessionCertificate { peer: peer.to_bytes(), issued: now() }).unwrap();
        let mut stream = visitor.open(Protocol::Hub).await;
        write(&mut stream, &Request::Hello { certificate }.to_bytes().unwrap()).await;
        let reply = frame::read(&mut stream, lichen_net::MAX_FRAME, PATIENCE).await.unwrap().unwrap();
        assert!(matches!(Reply::from_bytes(&reply).unwrap(), Reply::Welcome { .. }));
        visitor
    }

    async fn open(&self, protocol: Protocol) -> Stream {
        let (sender, stream) = oneshot::channel();
        self.wishes.send((protocol, sender)).unwrap();
        timeout(PATIENCE, stream).await.expect("the stream opens").unwrap()
    }

    /// Asks to be found by others of the campaign.
    async fn register(&self) -> Registration {
        self.register_with(&Register { campaign: self.campaign }.to_bytes().unwrap()).await
    }

    async fn register_with(&self, frame: &[u8]) -> Registration {
        let mut stream = self.open(Protocol::Rendezvous).await;
        write(&mut stream, frame).await;
        Registration(stream)
    }
}

/// A stream on which lists come.
struct Registration(Stream);

impl Registration {
    async fn next(&mut self) -> Notice {
        let bytes = frame::read(&mut self.0, MAX_NOTICE, PATIENCE).await.unwrap().expect("the relay goes on");
        Notice::from_bytes(&bytes).unwrap()
    }

    async fn refusal(&mut self) -> Refusal {
        match self.next().await {
            Notice::Refused { reason } => reason,
            listed @ Notice::Peers { .. } => panic!("{listed:?}"),
        }
    }

    /// Waits for the list of exactly these.
    async fn lists(&mut self, others: &[&Visitor]) {
        let mut expected: Vec<Vec<u8>> = others.iter().map(|other| other.peer.to_bytes()).collect();
        expected.sort();
        loop {
            let Notice::Peers { peers } = self.next().await else { panic!("refused") };
            let mut listed: Vec<Vec<u8>> = peers.into_iter().map(|peer| peer.into_vec()).collect();
            listed.sort();
            if listed == expected {
                return;
            }
        }
    }
}

async fn write(stream: &mut Stream, bytes: &[u8]) {
    frame::write(stream, bytes, PATIENCE).await.unwrap();
}

async fn run(
    mut swarm: Swarm<Behaviour>,
    peer: PeerId,
    connection: ConnectionId,
    mut wished: mpsc::UnboundedReceiver<(Protocol, oneshot::Sender<Stream>)>,
) {
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            wish = wished.recv() => {
                let Some((protocol, sender)) = wish else { return };
                let id = RequestId(waiting.len() as u64);
                waiting.push(Some(sender));
                let Behaviour { hub, rendezvous } = swarm.behaviour_mut();
                let streams = match protocol {
                    Protocol::Hub => hub,
                    Protocol::Rendezvous => rendezvous,
                };
                streams.open(peer, connection, id);
            }
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(
                    BehaviourEvent::Hub(StreamEvent::Outbound { id, stream })
                    | BehaviourEvent::Rendezvous(StreamEvent::Outbound { id, stream }),
                ) = event
                {
                    let sender = waiting[usize::try_from(id.0).unwrap()].take().unwrap();
                    // A test that is over does not listen any more.
                    let _unheard = sender.send(stream.unwrap());
                }
            }
        }
    }
}

fn outcome(label: &str) -> String {
    format!("lichen_rendezvous_total{{outcome=\"{label}\"}}")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_registers_is_told_of_the_others_as_they_come_and_go() {
    let relay = Relay::start().await;
    let (first, second) = (Visitor::start(&relay, 1).await, Visitor::start(&relay, 2).await);
    let mut one = first.register().await;
    one.lists(&[]).await;
    let mut other = second.register().await;
    other.lists(&[&first]).await;
    one.lists(&[&second]).await;
    {
        let third = Visitor::start(&relay, 3).await;
        let mut registered = third.register().await;
        registered.lists(&[&first, &second]).await;
        one.lists(&[&second, &third]).await;
        assert_eq!(relay.metric("lichen_rendezvous_registered").await, 3);
        // Its stream ends, its connection stays.
        registered.0.close().await.unwrap();
        one.lists(&[&second]).await;
        // Whoever has gone may come again.
        let mut again = third.register().await;
        again.lists(&[&first, &second]).await;
        one.lists(&[&second, &third]).await;
    }
    // Its connection is gone, and its registration with it.
    one.lists(&[&second]).await;
    assert_eq!(relay.metric("lichen_rendezvous_registered").await, 2);
    assert_eq!(relay.metric(&outcome("registered")).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_registration_is_refused() {
    let relay = Relay::start().await;
    let visitor = Visitor::start(&relay, 1).await;
    let other = Register { campaign: CampaignId::of_manifest(b"another") }.to_bytes().unwrap();
    assert_eq!(visitor.register_with(&other).await.refusal().await, Refusal::UnknownCampaign);
    for junk in [&b"\xa0"[..], &[0; 300]] {
        assert_eq!(visitor.register_with(junk).await.refusal().await, Refusal::Malformed);
    }
    assert_eq!(relay.metric(&outcome("unknown_campaign")).await, 1);
    assert_eq!(relay.metric(&outcome("malformed")).await, 2);
    visitor.register().await.lists(&[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_and_an_account_have_so_many_registrations() {
    let relay = Relay::start().await;
    let mut visitors = Vec::new();
    for _ in 0..8 {
        let visitor = Visitor::start(&relay, 1).await;
        let mut registration = visitor.register().await;
        assert!(matches!(registration.next().await, Notice::Peers { .. }));
        visitors.push((visitor, registration));
    }
    assert_eq!(visitors[0].0.register().await.refusal().await, Refusal::TooMany, "twice by one connection");
    let ninth = Visitor::start(&relay, 1).await;
    assert_eq!(ninth.register().await.refusal().await, Refusal::TooMany, "nine of one account");
    let other = Visitor::start(&relay, 2).await;
    assert!(matches!(other.register().await.next().await, Notice::Peers { .. }));
    assert_eq!(relay.metric(&outcome("too_many")).await, 2);
    // One goes, and there is a place.
    drop(visitors.pop());
    let wait = async { while !matches!(ninth.register().await.next().await, Notice::Peers { .. }) {} };
    timeout(PATIENCE, wait).await.expect("the place is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_registers_so_often_in_a_minute() {
    let relay = Relay::start().await;
    let visitor = Visitor::start(&relay, 1).await;
    let mut refusal = None;
    for _ in 0..70 {
        let mut registration = visitor.register().await;
        match registration.next().await {
            Notice::Peers { .. } | Notice::Refused { reason: Refusal::TooMany } => {}
            Notice::Refused { reason } => {
                refusal = Some(reason);
                break;
            }
        }
        registration.0.close().await.unwrap();
    }
    assert_eq!(refusal, Some(Refusal::TooOften));
    assert!(relay.metric(&outcome("too_often")).await >= 1);
    Visitor::start(&relay, 2).await.register().await.next().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_find_each_other_at_a_relay_that_follows_while_the_leader_is_away() {
    let mut leader = Relay::start().await;
    let follower = Relay::start_with(&["--follow", &leader.url]).await;
    leader.kill().await;
    let (first, second) = (Visitor::start(&follower, 1).await, Visitor::start(&follower, 2).await);
    let (mut one, mut other) = (first.register().await, second.register().await);
    one.lists(&[&second]).await;
    other.lists(&[&first]).await;
    leader.restart().await;
    // Sent back to where all of them are.
    while frame::read(&mut one.0, MAX_NOTICE, PATIENCE).await.is_ok_and(|notice| notice.is_some()) {}
    assert!(follower.metric("lichen_sent_back_total").await >= 1);
}
