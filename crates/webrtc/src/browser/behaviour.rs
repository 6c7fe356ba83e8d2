//! The behaviour: gets circuits to remotes, signals over them, and closes them once the direct connection stands.

use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};
use std::time::Duration;

use either::Either;
use futures::channel::{mpsc, oneshot};
use futures::future::{FutureExt as _, LocalBoxFuture};
use futures::stream::{FuturesUnordered, StreamExt as _};
use futures_timer::Delay;
use libp2p_core::multiaddr::Protocol;
use libp2p_core::transport::PortUse;
use libp2p_core::{ConnectedPoint, Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{ConnectionEstablished, DialFailure, ExpiredListenAddr, NewListenAddr};
use libp2p_swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p_swarm::{
    CloseConnection, ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour,
    NotifyHandler, Stream, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};

use super::connection::Connection;
use super::error::Error;
use super::handler::{DialId, Failure, Handler, Open, Signalling};
use super::signalling;
use super::transport::DialRequest;
use super::{Announcement, Config};
use crate::protocol::address::WebRtcAddress;
use crate::protocol::session::{Role, surviving_role};

/// Sessions that remotes may have under way with us at once, in all and of one: none of them takes the others' places.
const MOST_INBOUND: usize = 16;
const MOST_INBOUND_OF_ONE: usize = 2;

/// How long a circuit stays after the direct connection stands.
const CIRCUIT_LINGER: Duration = Duration::from_millis(500);

/// What the swarm's owner is told.
#[derive(Debug)]
pub enum Event {
    /// A remote's attempt to connect failed.
    InboundFailed {
        /// The remote.
        peer: PeerId,
        /// Why.
        error: Error,
    },
}

type Commands = VecDeque<ToSwarm<Event, Either<Open, std::convert::Infallible>>>;

/// Signals for the transport made together with it by [`super::new`].
pub struct Behaviour {
    config: Config,
    local: Option<PeerId>,
    requests: mpsc::UnboundedReceiver<DialRequest>,
    announcements: mpsc::UnboundedSender<Announcement>,
    circuits: HashMap<PeerId, Vec<(ConnectionId, Multiaddr)>>,
    dials: HashMap<DialId, Dial>,
    next_dial: DialId,
    sessions: FuturesUnordered<LocalBoxFuture<'static, Outcome>>,
    /// Who has sessions under way that they began, once for each.
    inbound: Vec<PeerId>,
    commands: Commands,
}

struct Dial {
    peer: PeerId,
    reply: oneshot::Sender<Result<Connection, Error>>,
    /// The dial of the circuit, while that is awaited.
    circuit_dial: Option<ConnectionId>,
}

enum Outcome {
    Outbound { dial: DialId, circuit: ConnectionId, result: Result<Connection, Error> },
    Inbound { peer: PeerId, circuit: ConnectionId, address: Multiaddr, result: Result<Connection, Error> },
    Lingered { peer: PeerId, circuit: ConnectionId },
}

impl Behaviour {
    pub(super) fn new(
        config: Config,
        requests: mpsc::UnboundedReceiver<DialRequest>,
        announcements: mpsc::UnboundedSender<Announcement>,
    ) -> Self {
        Self {
            config,
            local: None,
            requests,
            announcements,
            circuits: HashMap::new(),
            dials: HashMap::new(),
            next_dial: 0,
            sessions: FuturesUnordered::new(),
            inbound: Vec::new(),
            commands: VecDeque::new(),
        }
    }

    /// How many peer connections the page has and had.
    #[must_use]
    pub fn budget(&self) -> &super::Budget {
        &self.config.budget
    }

    fn start_dial(&mut self, request: DialRequest) {
        let id = self.next_dial;
        self.next_dial += 1;
        let WebRtcAddress { circuit, peer } = request.address;
        let mut dial = Dial { peer, reply: request.reply, circuit_dial: None };
        if let Some((connection, _)) = self.circuits.get(&peer).and_then(|circuits| circuits.first()) {
            let connection = *connection;
            self.open_stream(peer, connection, id);
        } else {
            let opts =
                DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![circuit]).build();
            dial.circuit_dial = Some(opts.connection_id());
            self.commands.push_back(ToSwarm::Dial { opts });
        }
        self.dials.insert(id, dial);
    }

    fn open_stream(&mut self, peer_id: PeerId, connection: ConnectionId, dial: DialId) {
        self.commands.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Either::Left(Open(dial)),
        });
    }

    fn circuit_established(&mut self, established: ConnectionEstablished<'_>) {
        let Some(circuit) = circuit_address(established.endpoint) else { return };
        let (peer, connection) = (established.peer_id, established.connection_id);
        self.circuits.entry(peer).or_default().push((connection, circuit));
        let waiting: Vec<DialId> = self
            .dials
            .iter_mut()
            .filter_map(|(id, dial)| dial.circuit_dial.take_if(|dialled| *dialled == connection).map(|_| *id))
            .collect();
        for dial in waiting {
            self.open_stream(peer, connection, dial);
        }
    }

    fn circuit_failed(&mut self, failure: DialFailure<'_>) {
        let failed = |dial: &Dial| dial.circuit_dial == Some(failure.connection_id);
        let Some(id) = self.dials.iter().find(|(_, dial)| failed(dial)).map(|(id, _)| *id) else { return };
        self.finish_dial(id, Err(Error::Circuit(failure.error.to_string())));
    }

    fn circuit_closed(&mut self, closed: ConnectionClosed<'_>) {
        if let Some(circuits) = self.circuits.get_mut(&closed.peer_id) {
            circuits.retain(|(id, _)| *id != closed.connection_id);
            if circuits.is_empty() {
                self.circuits.remove(&closed.peer_id);
            }
        }
    }

    fn finish_dial(&mut self, id: DialId, result: Result<Connection, Error>) {
        if let Some(dial) = self.dials.remove(&id) {
            let _dialer_gone = dial.reply.send(result);
        }
    }

    fn offer(&mut self, dial: DialId, circuit: ConnectionId, stream: Stream) {
        let config = self.config.clone();
        let session = async move {
            let result = signalling::connect(Role::Offerer, stream, &config).await;
            Outcome::Outbound { dial, circuit, result }
        };
        self.sessions.push(session.boxed_local());
    }

    fn answer(&mut self, peer: PeerId, circuit: ConnectionId, stream: Stream) {
        let of_one = self.inbound.iter().filter(|other| **other == peer).count();
        if self.inbound.len() >= MOST_INBOUND || of_one >= MOST_INBOUND_OF_ONE || !self.yields_to(peer) {
            // Dropping the stream resets it, which is the answer.
            return;
        }
        let known = self.circuits.get(&peer).into_iter().flatten().find(|(id, _)| *id == circuit);
        let Some(address) = known.map(|(_, address)| address.clone()) else { return };
        self.inbound.push(peer);
        let config = self.config.clone();
        let session = async move {
            let result = signalling::connect(Role::Answerer, stream, &config).await;
            Outcome::Inbound { peer, circuit, address, result }
        };
        self.sessions.push(session.boxed_local());
    }

    /// Settles crossing dials: false where our own goes on; where the remote's does, ours ends here.
    fn yields_to(&mut self, peer: PeerId) -> bool {
        let ours: Vec<DialId> =
            self.dials.iter().filter(|(_, dial)| dial.peer == peer).map(|(id, _)| *id).collect();
        if ours.is_empty() {
            return true;
        }
        let role = self.local.map(|local| surviving_role(&local.to_bytes(), &peer.to_bytes()));
        if role == Some(Role::Offerer) {
            return false;
        }
        for dial in ours {
            self.finish_dial(dial, Err(Error::Crossed));
        }
        true
    }

    fn session_over(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Outbound { dial, circuit, result } => {
                let Some(peer) = self.dials.get(&dial).map(|dial| dial.peer) else { return };
                self.linger(peer, circuit);
                self.finish_dial(dial, result);
            }
            Outcome::Inbound { peer, circuit, address, result } => {
                if let Some(index) = self.inbound.iter().position(|other| *other == peer) {
                    self.inbound.swap_remove(index);
                }
                match result {
                    Ok(connection) => {
                        self.linger(peer, circuit);
                        let incoming = Announcement::Incoming { connection, peer, circuit: address };
                        let _transport_gone = self.announcements.unbounded_send(incoming);
                    }
                    Err(error) => {
                        let event = Event::InboundFailed { peer, error };
                        self.commands.push_back(ToSwarm::GenerateEvent(event));
                    }
                }
            }
            Outcome::Lingered { peer, circuit } => {
                let connection = CloseConnection::One(circuit);
                self.commands.push_back(ToSwarm::CloseConnection { peer_id: peer, connection });
            }
        }
    }

    /// Closes a circuit that has done its work, once the end of the signalling stream had time to cross it.
    fn linger(&mut self, peer: PeerId, circuit: ConnectionId) {
        let closing = async move {
            Delay::new(CIRCUIT_LINGER).await;
            Outcome::Lingered { peer, circuit }
        };
        self.sessions.push(closing.boxed_local());
    }

    fn announce(&mut self, address: &Multiaddr, reachable: bool) {
        let Some((relay, local)) = reservation(address) else { return };
        self.local = Some(local);
        let ours = WebRtcAddress::announced(&relay, local);
        let announcement =
            if reachable { Announcement::Reachable(ours) } else { Announcement::Unreachable(ours) };
        let _transport_gone = self.announcements.unbounded_send(announcement);
    }

    fn new_handler(endpoint_is_relayed: bool) -> THandler<Self> {
        if endpoint_is_relayed {
            Either::Left(Handler::default())
        } else {
            Either::Right(dummy::ConnectionHandler)
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Either<Handler, dummy::ConnectionHandler>;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Self::new_handler(is_circuit(local)))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        address: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Self::new_handler(is_circuit(address)))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => self.circuit_established(established),
            FromSwarm::ConnectionClosed(closed) => self.circuit_closed(closed),
            FromSwarm::DialFailure(failure) => self.circuit_failed(failure),
            FromSwarm::NewListenAddr(NewListenAddr { addr, .. }) => self.announce(addr, true),
            FromSwarm::ExpiredListenAddr(ExpiredListenAddr { addr, .. }) => self.announce(addr, false),
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        circuit: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let Either::Left(event) = event;
        match event {
            Signalling::Inbound(stream) => self.answer(peer, circuit, stream),
            Signalling::Outbound(dial, stream) => self.offer(dial, circuit, stream),
            Signalling::Failed(dial, Failure::Unsupported) => self.finish_dial(dial, Err(Error::Unsupported)),
            Signalling::Failed(dial, Failure::Broken(why)) => {
                self.finish_dial(dial, Err(Error::Circuit(why)))
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Poll::Ready(command);
            }
            if let Poll::Ready(Some(request)) = self.requests.poll_next_unpin(context) {
                self.start_dial(request);
                continue;
            }
            if let Poll::Ready(Some(outcome)) = self.sessions.poll_next_unpin(context) {
                self.session_over(outcome);
                continue;
            }
            return Poll::Pending;
        }
    }
}

/// True for addresses of circuits themselves, not of direct connections that were signalled over one.
fn is_circuit(address: &Multiaddr) -> bool {
    address.iter().any(|part| part == Protocol::P2pCircuit)
        && !address.iter().any(|part| part == Protocol::WebRTC)
}

fn circuit_address(endpoint: &ConnectedPoint) -> Option<Multiaddr> {
    let address = match endpoint {
        ConnectedPoint::Dialer { address, .. } => address,
        ConnectedPoint::Listener { local_addr, .. } => local_addr,
    };
    is_circuit(address).then(|| address.clone())
}

/// Splits `<relay>/p2p-circuit/p2p/<local>`, which a reservation makes a listen address, into relay and local peer.
fn reservation(address: &Multiaddr) -> Option<(Multiaddr, PeerId)> {
    let mut relay = address.clone();
    let Some(Protocol::P2p(local)) = relay.pop() else { return None };
    (relay.pop() == Some(Protocol::P2pCircuit)).then_some((relay, local))
}
