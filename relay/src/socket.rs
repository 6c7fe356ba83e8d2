//! A WebSocket of the HTTP server as a stream of bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures::{AsyncRead, AsyncWrite, Sink, Stream};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::connections::Connection;

/// Longest message written, in bytes: one that waits is memory.
const MAX_WRITTEN: usize = 32 * 1024;

/// Bytes of binary messages, their boundaries forgotten.
pub(crate) struct Socket {
    socket: WebSocket,
    unread: Bytes,
    /// Done when the connection has to give way to others.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Counted as open as long as this lives.
    _connection: Arc<Connection>,
}

impl Socket {
    pub(crate) fn new(socket: WebSocket, connection: Arc<Connection>) -> Self {
        let over = Box::pin(connection.over().clone().cancelled_owned());
        Self { socket, unread: Bytes::new(), over, _connection: connection }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(0)),
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = buffer.len().min(self.unread.len());
        let read = self.unread.split_to(count);
        buffer.iter_mut().zip(read).for_each(|(to, from)| *to = from);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(io::Error::other)?;
        let count = buffer.len().min(MAX_WRITTEN);
        let message = Message::Binary(Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default()));
        Pin::new(&mut self.socket).start_send(message).map_err(io::Error::other)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(io::Error::other)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context).map_err(io::Error::other)
    }
}
