//! A libp2p transport of sockets that somebody else accepts: the HTTP server hands over its upgraded WebSockets.
//!
//! So HTTP and libp2p share one port, one connection limit and one TLS proxy in front, without a second listener on
//! the loopback or a look at bytes before they are read.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::StreamExt;
use futures::channel::mpsc;
use futures::future::{Pending, Ready, ready};
use lichen_net::swarm::libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use lichen_net::swarm::libp2p::{Multiaddr, Transport};

use crate::accepting::socket::Socket;

/// Accepted sockets that wait for the swarm before the server waits for it too.
const WAITING: usize = 64;

/// A socket and where it comes from.
pub(crate) struct Incoming {
    pub(crate) socket: Socket,
    pub(crate) remote: Multiaddr,
}

/// Yields sockets once it listens; dials nothing.
pub(crate) struct Accepted {
    incoming: mpsc::Receiver<Incoming>,
    listener: Option<Listener>,
}

struct Listener {
    id: ListenerId,
    address: Multiaddr,
    announced: bool,
}

/// The transport, and where to put the sockets.
pub(crate) fn accepted() -> (mpsc::Sender<Incoming>, Accepted) {
    let (sender, incoming) = mpsc::channel(WAITING);
    (sender, Accepted { incoming, listener: None })
}

impl Transport for Accepted {
    type Output = Socket;
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Socket>>;
    type Dial = Pending<io::Result<Socket>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        self.listener = Some(Listener { id, address, announced: false });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.listener.take_if(|listener| listener.id == id).is_some()
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _options: DialOpts,
    ) -> Result<Self::Dial, TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        let Some(listener) = &mut self.listener else { return Poll::Pending };
        let (listener_id, local_addr) = (listener.id, listener.address.clone());
        if !listener.announced {
            listener.announced = true;
            return Poll::Ready(TransportEvent::NewAddress { listener_id, listen_addr: local_addr });
        }
        match self.incoming.poll_next_unpin(context) {
            Poll::Ready(Some(Incoming { socket, remote })) => Poll::Ready(TransportEvent::Incoming {
                listener_id,
                upgrade: ready(Ok(socket)),
                local_addr,
                send_back_addr: remote,
            }),
            // Without senders nothing comes any more; the swarm ends by itself.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
