//! Hub streams to write anything to.

use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncWriteExt, StreamExt};
use lichen_net::RequestId;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_net::swarm::frame;
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_net::swarm::libp2p::swarm::{Config, Stream, Swarm, SwarmEvent};
use lichen_net::swarm::libp2p::{Multiaddr, PeerId, tcp, websocket};
use lichen_net::swarm::streams::{Behaviour, StreamEvent};
use lichen_net::swarm::transport::secure;
use lichen_record::Cid;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::Relay;

/// Streams of one connection, opened beforehand.
pub(crate) struct Streams {
    pub(crate) peer: PeerId,
    opened: mpsc::UnboundedReceiver<Stream>,
}

impl Streams {
    pub(crate) async fn open(relay: &Relay) -> Self {
        Self::dial(&relay.info().await.address, None)
    }

    /// So many streams of one connection.
    pub(crate) async fn open_many(relay: &Relay, count: u64) -> Self {
        Self::dial_for(&relay.info().await.address, None, count)
    }

    /// Dials this address, by TLS with certificates of this authority (DER) if there is one.
    pub(crate) fn dial(address: &str, trusted: Option<&[u8]>) -> Self {
        Self::dial_for(address, trusted, 16)
    }

    fn dial_for(address: &str, trusted: Option<&[u8]>, count: u64) -> Self {
        let address: Multiaddr = address.parse().unwrap();
        let keys = Keypair::generate_ed25519();
        let mut sockets = websocket::Config::new(tcp::tokio::Transport::new(tcp::Config::default()));
        if let Some(trusted) = trusted {
            let mut tls = websocket::tls::Config::builder();
            tls.add_trust(&websocket::tls::Certificate::new(trusted.to_vec())).unwrap();
            sockets.set_tls_config(tls.finish());
        }
        let peer = keys.public().to_peer_id();
        let transport = secure(sockets, &keys, Arc::default()).unwrap();
        let config = Config::with_tokio_executor();
        let mut swarm = Swarm::new(transport, Behaviour::client(), keys.public().to_peer_id(), config);
        swarm.dial(address).unwrap();
        let (sender, opened) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            loop {
                match swarm.select_next_some().await {
                    SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                        for id in 0..count {
                            swarm.behaviour_mut().open(peer_id, connection_id, RequestId(id));
                        }
                    }
                    SwarmEvent::Behaviour(StreamEvent::Outbound { stream, .. }) => {
                        let _test_over = sender.send(stream.unwrap());
                    }
                    // Whoever waits for a stream learns of it.
                    SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. } => {
                        return;
                    }
                    _ => {}
                }
            }
        });
        Self { peer, opened }
    }

    pub(crate) async fn next(&mut self) -> Stream {
        self.try_next().await.expect("the connection is gone")
    }

    /// A stream, or none once the connection is gone or did not come about.
    pub(crate) async fn try_next(&mut self) -> Option<Stream> {
        timeout(PATIENCE, self.opened.recv()).await.expect("no stream in time")
    }

    /// Asks for a blob that there is not over a stream of this connection, and says whether the relay answered.
    pub(crate) async fn is_answered(&mut self) -> bool {
        let Some(mut stream) = self.try_next().await else { return false };
        let request = Request::GetBlob { cid: Cid::of_raw(b"nowhere") }.to_bytes().unwrap();
        frame::write(&mut stream, &request, PATIENCE).await.unwrap();
        stream.close().await.unwrap();
        let reply = frame::read(&mut stream, 1000, Duration::from_secs(10)).await.unwrap().unwrap();
        Reply::from_bytes(&reply).unwrap() == Reply::Refused { reason: Reason::NotFound }
    }
}
