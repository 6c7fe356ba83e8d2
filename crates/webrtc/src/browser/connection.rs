//! A peer connection as a libp2p stream muxer.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use send_wrapper::SendWrapper;

use super::channel::Substream;
use super::error::Error;
use super::peer_connection::PeerConnection;

/// A direct connection to another browser.
pub struct Connection {
    peer_connection: SendWrapper<Rc<PeerConnection>>,
}

impl Connection {
    pub(crate) fn new(peer_connection: Rc<PeerConnection>) -> Self {
        Self { peer_connection: SendWrapper::new(peer_connection) }
    }

    /// What the browser says of the path to the remote.
    #[cfg(test)]
    pub(crate) fn browser_state(&self) -> web_sys::RtcPeerConnectionState {
        self.peer_connection.browser_state()
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Connection").field("closed", &self.peer_connection.is_closed()).finish()
    }
}

impl StreamMuxer for Connection {
    type Substream = Substream;
    type Error = Error;

    fn poll_inbound(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<Substream, Error>> {
        if self.peer_connection.is_flooded() {
            return Poll::Ready(Err(Error::Flooded));
        }
        if let Some(stream) = self.peer_connection.next_incoming() {
            return Poll::Ready(Ok(stream));
        }
        if self.peer_connection.is_closed() {
            return Poll::Ready(Err(Error::Closed));
        }
        self.peer_connection.set_waker(context.waker());
        Poll::Pending
    }

    fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Substream, Error>> {
        Poll::Ready(self.peer_connection.open())
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.peer_connection.close();
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, Error>> {
        Poll::Pending
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.peer_connection.close();
    }
}
