//! Dials peers and lets them in, as far as the rules of [`Neighbours`] go.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures_timer::Delay;
use libp2p::PeerId;
use libp2p::core::transport::{ListenerId, PortUse, TransportError};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure, ListenerClosed};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionError, ConnectionId, DialError, FromSwarm, ListenOpts,
    NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use lichen_webrtc::browser::Error;
use lichen_webrtc::protocol::address::WebRtcAddress;
use lichen_webrtc::protocol::session::SessionError;
use web_time::Instant;

use crate::swarm::neighbours::Neighbours;
use crate::swarm::route::{path, path_of};
use crate::{MAX_DEGREE, Path};

/// Circuits at once: those by which neighbours come, and some that lead to nothing.
const MAX_CIRCUITS: usize = 2 * MAX_DEGREE;

/// Direct connections of one peer at once: two cross where both sides dialled.
const MAX_OF_ONE: usize = 2;

/// How long to wait before the relay is asked for a reservation again.
const LISTEN_AGAIN: Duration = Duration::from_secs(5);

/// What the neighbourhood reports.
#[derive(Debug)]
pub(in crate::swarm) enum Event {
    /// Others can reach us through the relay now.
    Reachable,
    /// No direct connection to this peer could be made.
    NoDirectPath(PeerId),
}

/// Who refused a connection: we did.
#[derive(Debug, thiserror::Error)]
#[error("this peer is not wanted now")]
struct Unwanted;

/// Dials, accepts and closes; does nothing and accepts nobody before it is opened.
pub(in crate::swarm) struct Behaviour {
    neighbours: Neighbours,
    is_open: bool,
    /// The hub, while it is connected and we take part.
    relay: Option<Multiaddr>,
    listener: Option<ListenerId>,
    listen_again: Option<Delay>,
    dials: BTreeMap<ConnectionId, PeerId>,
    connections: BTreeMap<ConnectionId, (PeerId, Path)>,
    began: Instant,
    /// When to look again, and the timer for it.
    wake: Option<(u64, Delay)>,
    orders: VecDeque<ToSwarm<Event, Infallible>>,
    waker: Option<Waker>,
}

impl Behaviour {
    pub(super) fn new(local: PeerId) -> Self {
        Self {
            neighbours: Neighbours::new(local),
            is_open: false,
            relay: None,
            listener: None,
            listen_again: None,
            dials: BTreeMap::new(),
            connections: BTreeMap::new(),
            began: Instant::now(),
            wake: None,
            orders: VecDeque::new(),
            waker: None,
        }
    }

    /// Takes part: can be reached through this relay from now on, and accepts peers.
    pub(super) fn open(&mut self, relay: Multiaddr) {
        self.is_open = true;
        if self.relay.as_ref() == Some(&relay) {
            return;
        }
        self.relay = Some(relay);
        self.listen();
    }

    /// The relay is lost: who is connected stays, nobody new is dialled.
    pub(super) fn lose_relay(&mut self) {
        self.relay = None;
        self.stop_listening();
    }

    /// Takes part no more: every peer is disconnected.
    pub(super) fn close(&mut self) {
        self.is_open = false;
        self.lose_relay();
        self.neighbours.forget();
        let peers = self.connections.values().filter(|(_, path)| *path != Path::Hub).map(|(peer, _)| *peer);
        let all: Vec<PeerId> = peers.chain(self.dials.values().copied()).collect();
        for peer in all {
            self.disconnect(peer);
        }
    }

    /// Replaces the list of peers that can be reached through the relay.
    pub(super) fn list(&mut self, peers: Vec<PeerId>) {
        let now = self.now();
        self.neighbours.list(peers, now);
        self.wake();
    }

    /// Disconnects a peer and keeps it away for a while.
    pub(super) fn ban(&mut self, peer: PeerId) {
        let now = self.now();
        self.neighbours.ban(peer, now);
        self.disconnect(peer);
    }

    /// A peer that dialled us found no way.
    pub(super) fn inbound_failed(&mut self, peer: PeerId, error: &Error) {
        if is_no_path(error) {
            self.report(Event::NoDirectPath(peer));
        }
    }

    fn listen(&mut self) {
        let Some(relay) = self.relay.as_ref().filter(|_| self.is_open && self.listener.is_none()) else {
            return;
        };
        let opts = ListenOpts::new(relay.clone().with(Protocol::P2pCircuit));
        self.listener = Some(opts.listener_id());
        self.listen_again = None;
        self.order(ToSwarm::ListenOn { opts });
    }

    fn stop_listening(&mut self) {
        self.listen_again = None;
        if let Some(id) = self.listener.take() {
            self.order(ToSwarm::RemoveListener { id });
        }
    }

    fn disconnect(&mut self, peer_id: PeerId) {
        self.order(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
    }

    fn dial(&mut self, peer: PeerId) {
        let Some(relay) = &self.relay else { return };
        let opts = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(vec![WebRtcAddress::announced(relay, peer)])
            .build();
        self.dials.insert(opts.connection_id(), peer);
        self.order(ToSwarm::Dial { opts });
    }

    fn established(&mut self, established: ConnectionEstablished<'_>) {
        let (id, peer, path) = (established.connection_id, established.peer_id, path(established.endpoint));
        self.dials.remove(&id);
        self.connections.insert(id, (peer, path));
        if path == Path::Direct {
            self.neighbours.connected(peer);
        }
    }

    fn closed(&mut self, closed: ConnectionClosed<'_>) {
        let Some((peer, path)) = self.connections.remove(&closed.connection_id) else { return };
        if is_flood(closed.cause) {
            tracing::debug!(%peer, "a peer floods us with streams");
            self.ban(peer);
        }
        if path == Path::Direct && self.count(|(other, path)| *other == peer && *path == Path::Direct) == 0 {
            let now = self.now();
            self.neighbours.disconnected(&peer, now, random());
            self.wake();
        }
    }

    fn dial_failed(&mut self, failure: DialFailure<'_>) {
        let Some(peer) = self.dials.remove(&failure.connection_id) else { return };
        let now = self.now();
        tracing::debug!(%peer, error = %failure.error, "a peer cannot be reached");
        match webrtc_error(failure.error) {
            Some(Error::Crossed) => self.neighbours.dial_crossed(&peer, now),
            error => {
                // Somebody who dials us at this moment is as good as reached.
                if matches!(failure.error, DialError::DialPeerConditionFalse(_)) {
                    self.neighbours.dial_crossed(&peer, now);
                } else {
                    self.neighbours.dial_failed(&peer, now, random());
                }
                if error.is_some_and(is_no_path) {
                    self.report(Event::NoDirectPath(peer));
                }
            }
        }
        self.wake();
    }

    fn listener_closed(&mut self, closed: &ListenerClosed<'_>) {
        if self.listener != Some(closed.listener_id) {
            return;
        }
        self.listener = None;
        if self.relay.is_some() {
            tracing::debug!(reason = ?closed.reason, "the relay's reservation ended");
            self.listen_again = Some(Delay::new(LISTEN_AGAIN));
            self.wake();
        }
    }

    /// Whether a connection may stand.
    fn admit(&self, peer: &PeerId, path: Path) -> Result<(), ConnectionDenied> {
        let may_stand = match path {
            Path::Hub => true,
            Path::Relayed => {
                let circuits = self.count(|(_, path)| *path == Path::Relayed);
                self.is_open && circuits < MAX_CIRCUITS && self.neighbours.accepts(peer, self.now())
            }
            Path::Direct => {
                let own = self.count(|(other, path)| other == peer && *path == Path::Direct);
                self.is_open && own < MAX_OF_ONE && self.neighbours.accepts(peer, self.now())
            }
        };
        if may_stand { Ok(()) } else { Err(ConnectionDenied::new(Unwanted)) }
    }

    fn count(&self, is_it: impl Fn(&(PeerId, Path)) -> bool) -> usize {
        self.connections.values().filter(|connection| is_it(connection)).count()
    }

    fn report(&mut self, event: Event) {
        self.order(ToSwarm::GenerateEvent(event));
    }

    fn order(&mut self, order: ToSwarm<Event, Infallible>) {
        self.orders.push_back(order);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Dials whoever is due, and sets the timer for the next one.
    fn dial_due(&mut self, context: &mut Context<'_>) {
        while self.is_open && self.relay.is_some() {
            let now = self.now();
            for peer in self.neighbours.due(now) {
                self.dial(peer);
            }
            let Some(at) = self.neighbours.wake_at() else { break };
            // A timer that is dropped wakes its task in a browser: one made anew at each turn would never let go.
            let (_, timer) = match self.wake.take() {
                Some((until, timer)) if until == at => self.wake.insert((until, timer)),
                _ => self.wake.insert((at, Delay::new(Duration::from_millis(at.saturating_sub(now).max(1))))),
            };
            if timer.poll_unpin(context).is_pending() {
                return;
            }
            self.wake = None;
        }
        self.wake = None;
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer, path_of(local)).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit(&peer, path_of(address)).map(|()| dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.established(established),
            FromSwarm::ConnectionClosed(closed) => self.closed(closed),
            FromSwarm::DialFailure(failure) => self.dial_failed(failure),
            FromSwarm::NewListenAddr(new) if self.listener == Some(new.listener_id) => {
                self.report(Event::Reachable);
            }
            FromSwarm::ListenerClosed(closed) => self.listener_closed(&closed),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        never: THandlerOutEvent<Self>,
    ) {
        match never {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if self.listen_again.as_mut().is_some_and(|delay| delay.poll_unpin(context).is_ready()) {
            self.listen_again = None;
            self.listen();
        }
        self.dial_due(context);
        if let Some(order) = self.orders.pop_front() {
            return Poll::Ready(order);
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

/// What the direct transport says about a failed dial, if it was its failure.
fn webrtc_error(error: &DialError) -> Option<&Error> {
    let DialError::Transport(attempts) = error else { return None };
    attempts.iter().find_map(|(_, error)| match error {
        TransportError::Other(error) => find(error),
        TransportError::MultiaddrNotSupported(_) => None,
    })
}

fn is_flood(cause: Option<&ConnectionError>) -> bool {
    matches!(cause, Some(ConnectionError::IO(error)) if matches!(find(error), Some(Error::Flooded)))
}

/// Looks into the errors that the transports wrapped into each other.
fn find(error: &io::Error) -> Option<&Error> {
    let inner = error.get_ref()?;
    inner.downcast_ref().or_else(|| inner.downcast_ref::<io::Error>().and_then(find))
}

/// Whether an error means that the two sides spoke to each other and yet found no way.
const fn is_no_path(error: &Error) -> bool {
    matches!(error, Error::Session(SessionError::NoPath | SessionError::TimedOut) | Error::Budget)
}

// Without randomness the wait is the longest of its band, which is no reason to fail.
fn random() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX)
}
