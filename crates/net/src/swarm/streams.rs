//! A libp2p behaviour for one protocol's streams: opens them by request id, hands inbound ones over.
//!
//! `libp2p-stream` would do for a tab, but not for a relay: it holds one inbound stream at a time and drops those
//! that come before its reader has taken it, and it does not say by which connection a stream came.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll, Waker};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, ReadyUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
};

use super::route::path_of;
use crate::{Path, RequestId, hub, rendezvous};

/// Opens streams of one protocol on connections of one kind, and accepts them where it was made to.
pub struct Behaviour {
    protocol: StreamProtocol,
    path: Path,
    accepts: bool,
    queue: VecDeque<ToSwarm<StreamEvent, RequestId>>,
    waker: Option<Waker>,
}

/// What happened to a stream.
#[derive(Debug)]
pub enum StreamEvent {
    /// A peer has opened a stream.
    Inbound {
        /// Who.
        peer: PeerId,
        /// By which of its connections.
        connection: ConnectionId,
        /// The stream, its protocol agreed on.
        stream: Stream,
    },
    /// A stream asked for is open, or is not coming.
    Outbound {
        /// The request that it was opened for.
        id: RequestId,
        /// The stream, its protocol agreed on or proposed.
        stream: Result<Stream, OpenError>,
    },
}

/// Why a stream did not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The peer does not speak the protocol.
    #[error("the peer does not speak the protocol")]
    Unsupported,
    /// The peer did not answer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The connection failed.
    #[error("the connection failed")]
    Lost,
}

impl Behaviour {
    /// The hub protocol of a tab or another client: opens streams, accepts none.
    #[must_use]
    pub fn client() -> Self {
        Self::new(hub::PROTOCOL, Path::Hub, false)
    }

    /// The hub protocol of a relay: accepts streams.
    #[must_use]
    pub fn server() -> Self {
        Self::new(hub::PROTOCOL, Path::Hub, true)
    }

    /// The rendezvous protocol of a tab: opens streams, accepts none.
    #[must_use]
    pub fn rendezvous_client() -> Self {
        Self::new(rendezvous::PROTOCOL, Path::Hub, false)
    }

    /// The rendezvous protocol of a relay: accepts streams.
    #[must_use]
    pub fn rendezvous_server() -> Self {
        Self::new(rendezvous::PROTOCOL, Path::Hub, true)
    }

    /// Any protocol, on connections of this path; whether streams of it are accepted too.
    #[must_use]
    pub fn new(protocol: &'static str, path: Path, accepts: bool) -> Self {
        let protocol = StreamProtocol::new(protocol);
        Self { protocol, path, accepts, queue: VecDeque::new(), waker: None }
    }

    fn handler(&self, address: &Multiaddr) -> Handler {
        let is_ours = path_of(address) == self.path;
        Handler {
            protocol: self.protocol.clone(),
            accepts: is_ours && self.accepts,
            keeps_alive: is_ours,
            queue: VecDeque::new(),
            waker: None,
        }
    }

    /// Asks for a stream to a connected peer. [`StreamEvent::Outbound`] answers, unless the connection closes first.
    pub fn open(&mut self, peer: PeerId, connection: ConnectionId, id: RequestId) {
        let handler = NotifyHandler::One(connection);
        self.queue.push_back(ToSwarm::NotifyHandler { peer_id: peer, handler, event: id });
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = StreamEvent;

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(local))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        _peer: PeerId,
        remote: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(remote))
    }

    fn on_swarm_event(&mut self, _event: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let event = match event {
            HandlerEvent::Inbound(stream) => StreamEvent::Inbound { peer, connection, stream },
            HandlerEvent::Outbound { id, stream } => StreamEvent::Outbound { id, stream },
        };
        self.queue.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// One connection's share of [`Behaviour`].
pub struct Handler {
    protocol: StreamProtocol,
    accepts: bool,
    keeps_alive: bool,
    queue: VecDeque<ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, RequestId, HandlerEvent>>,
    waker: Option<Waker>,
}

/// What a [`Handler`] tells its [`Behaviour`].
#[derive(Debug)]
pub enum HandlerEvent {
    /// The peer has opened a stream.
    Inbound(Stream),
    /// A stream asked for is open, or is not coming.
    Outbound {
        /// The request that it was opened for.
        id: RequestId,
        /// The stream.
        stream: Result<Stream, OpenError>,
    },
}

impl Handler {
    fn push(&mut self, event: ConnectionHandlerEvent<ReadyUpgrade<StreamProtocol>, RequestId, HandlerEvent>) {
        self.queue.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Accepts streams of the protocol, if any.
pub struct Accept(Option<StreamProtocol>);

impl UpgradeInfo for Accept {
    type Info = StreamProtocol;
    type InfoIter = std::option::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Accept {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _protocol: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = RequestId;
    type ToBehaviour = HandlerEvent;
    type InboundProtocol = Accept;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = RequestId;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(Accept(self.accepts.then(|| self.protocol.clone())), ())
    }

    // A connection made for these streams stays, idle or not, until one side closes it.
    fn connection_keep_alive(&self) -> bool {
        self.keeps_alive
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, RequestId, HandlerEvent>> {
        if let Some(event) = self.queue.pop_front() {
            return Poll::Ready(event);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, id: RequestId) {
        let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), id);
        self.push(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol, (), RequestId>,
    ) {
        let event = match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                HandlerEvent::Inbound(protocol)
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                HandlerEvent::Outbound { id: info, stream: Ok(protocol) }
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { info, error }) => {
                HandlerEvent::Outbound { id: info, stream: Err(open_error(&error)) }
            }
            _ => return,
        };
        self.push(ConnectionHandlerEvent::NotifyBehaviour(event));
    }
}

fn open_error<E>(error: &StreamUpgradeError<E>) -> OpenError {
    match error {
        StreamUpgradeError::NegotiationFailed => OpenError::Unsupported,
        StreamUpgradeError::Timeout => OpenError::TimedOut,
        StreamUpgradeError::Apply(_) | StreamUpgradeError::Io(_) => OpenError::Lost,
    }
}
