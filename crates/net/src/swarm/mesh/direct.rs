//! A behaviour that is to know of direct connections only.
//!
//! A circuit is for signalling: whatever else ran over it would spend what the relay grants, and would be lost when it
//! is closed. The hub speaks none of the peers' protocols.

use std::collections::BTreeMap;
use std::task::{Context, Poll};

use either::Either;
use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm, dummy,
};

use crate::Path;
use crate::swarm::route::{path, path_of};

/// Shows the inner behaviour direct connections and nothing else.
pub(in crate::swarm) struct Direct<B> {
    inner: B,
    /// Direct connections by peer.
    connections: BTreeMap<PeerId, usize>,
}

impl<B> Direct<B> {
    pub(super) const fn new(inner: B) -> Self {
        Self { inner, connections: BTreeMap::new() }
    }

    pub(super) const fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Direct<B> {
    type ConnectionHandler = Either<THandler<B>, dummy::ConnectionHandler>;
    type ToSwarm = B::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if path_of(local) != Path::Direct {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner.handle_established_inbound_connection(connection, peer, local, remote).map(Either::Left)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if path_of(address) != Path::Direct {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        self.inner
            .handle_established_outbound_connection(connection, peer, address, role, port)
            .map(Either::Left)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                if path(established.endpoint) != Path::Direct {
                    return;
                }
                let count = self.connections.entry(established.peer_id).or_default();
                let other_established = *count;
                *count += 1;
                let established = ConnectionEstablished { other_established, ..established };
                self.inner.on_swarm_event(FromSwarm::ConnectionEstablished(established));
            }
            FromSwarm::ConnectionClosed(closed) => {
                if path(closed.endpoint) != Path::Direct {
                    return;
                }
                let count = self.connections.get(&closed.peer_id).copied().unwrap_or_default();
                let remaining_established = count.saturating_sub(1);
                if remaining_established == 0 {
                    self.connections.remove(&closed.peer_id);
                } else {
                    self.connections.insert(closed.peer_id, remaining_established);
                }
                let closed = ConnectionClosed { remaining_established, ..closed };
                self.inner.on_swarm_event(FromSwarm::ConnectionClosed(closed));
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self.inner.on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(context).map(|order| order.map_in(Either::Left))
    }
}
