//! The transport: dials `/webrtc` addresses through the behaviour, yields what remotes open to us.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::channel::{mpsc, oneshot};
use futures::future::{BoxFuture, FutureExt as _, Ready, ready};
use futures::stream::StreamExt as _;
use libp2p_core::Multiaddr;
use libp2p_core::multiaddr::Protocol;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p_identity::PeerId;
use send_wrapper::SendWrapper;

use super::Announcement;
use super::connection::Connection;
use super::error::Error;
use crate::protocol::address::{AddressError, WebRtcAddress};

/// A request to the behaviour to sign a connection into being.
pub(crate) struct DialRequest {
    pub(crate) address: WebRtcAddress,
    pub(crate) reply: oneshot::Sender<Result<Connection, Error>>,
}

/// The libp2p `/webrtc` transport of a browser.
///
/// Listening on `/webrtc` accepts remotes; addresses are announced as reservations at relays come and go.
pub struct Transport {
    to_behaviour: mpsc::UnboundedSender<DialRequest>,
    announcements: SendWrapper<mpsc::UnboundedReceiver<Announcement>>,
    listener: Option<ListenerId>,
    /// Where we can be reached, also before anybody listens.
    addresses: Vec<Multiaddr>,
    events: VecDeque<TransportEvent<Upgrade, Error>>,
}

type Upgrade = Ready<Result<(PeerId, Connection), Error>>;

impl Transport {
    pub(super) fn new(
        to_behaviour: mpsc::UnboundedSender<DialRequest>,
        announcements: mpsc::UnboundedReceiver<Announcement>,
    ) -> Self {
        Self {
            to_behaviour,
            announcements: SendWrapper::new(announcements),
            listener: None,
            addresses: Vec::new(),
            events: VecDeque::new(),
        }
    }

    fn take(&mut self, announcement: Announcement) {
        match announcement {
            Announcement::Incoming { connection, peer, circuit } => {
                let Some(listener_id) = self.listener else { return };
                // Identify tells the remote this address, and js-libp2p takes only one that begins with a host.
                let remote = WebRtcAddress::announced(&relay_of(&circuit), peer);
                self.events.push_back(TransportEvent::Incoming {
                    listener_id,
                    upgrade: ready(Ok((peer, connection))),
                    local_addr: circuit.with(Protocol::WebRTC),
                    send_back_addr: remote,
                });
            }
            Announcement::Reachable(address) => {
                if self.addresses.contains(&address) {
                    return;
                }
                self.addresses.push(address.clone());
                if let Some(listener_id) = self.listener {
                    self.events.push_back(TransportEvent::NewAddress { listener_id, listen_addr: address });
                }
            }
            Announcement::Unreachable(address) => {
                self.addresses.retain(|known| *known != address);
                if let Some(listener_id) = self.listener {
                    self.events
                        .push_back(TransportEvent::AddressExpired { listener_id, listen_addr: address });
                }
            }
        }
    }
}

/// The part of a circuit's address up to the relay.
fn relay_of(circuit: &Multiaddr) -> Multiaddr {
    circuit.iter().take_while(|part| *part != Protocol::P2pCircuit).collect()
}

impl libp2p_core::Transport for Transport {
    type Output = (PeerId, Connection);
    type Error = Error;
    type ListenerUpgrade = Upgrade;
    type Dial = BoxFuture<'static, Result<Self::Output, Error>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<Error>> {
        let is_ours = address.iter().eq([Protocol::WebRTC]);
        if !is_ours || self.listener.is_some() {
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.listener = Some(id);
        let known = self.addresses.iter().cloned();
        self.events
            .extend(known.map(|listen_addr| TransportEvent::NewAddress { listener_id: id, listen_addr }));
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        if self.listener != Some(id) {
            return false;
        }
        self.listener = None;
        self.events.push_back(TransportEvent::ListenerClosed { listener_id: id, reason: Ok(()) });
        true
    }

    fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Error>> {
        let parsed = match WebRtcAddress::parse(&address) {
            Ok(parsed) => parsed,
            Err(AddressError::NotWebRtc | AddressError::Malformed) => {
                return Err(TransportError::MultiaddrNotSupported(address));
            }
        };
        let peer = parsed.peer;
        let (reply, outcome) = oneshot::channel();
        self.to_behaviour
            .unbounded_send(DialRequest { address: parsed, reply })
            .map_err(|_gone| TransportError::Other(Error::Gone))?;
        let outcome = SendWrapper::new(outcome);
        Ok(async move {
            let connection = outcome.await.map_err(|_gone| Error::Gone)??;
            Ok((peer, connection))
        }
        .boxed())
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<Upgrade, Error>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.announcements.poll_next_unpin(context) {
                Poll::Ready(Some(announcement)) => self.take(announcement),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }
}
