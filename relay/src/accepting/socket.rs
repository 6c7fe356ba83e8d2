//! A WebSocket of the HTTP server as a stream of bytes, which ends once nothing comes from the other end any more.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket};
use futures::{AsyncRead, AsyncWrite, Sink, Stream};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::accepting::connections::Connection;
use crate::accepting::ingress::Ingress;

/// Longest message written, in bytes: one that waits is memory.
const MAX_WRITTEN: usize = 32 * 1024;

/// How long nothing may come before the other end is asked whether it is there. A browser answers by itself, whatever its
/// page is busy with, so that a page in the background, or one that is busy, is as alive as any.
const ASK_AFTER: Duration = Duration::from_secs(3);

/// How often it is asked at least before it counts as gone.
const ASK_LEAST: u32 = 2;

/// How long nothing may come, neither, before it counts as gone: its network may be, and no packet says so.
const GONE_AFTER: Duration = Duration::from_secs(9);

/// What a slow way takes a second for, in bytes: what was sent since something came may be in front of the question.
const SLOW: usize = 16 * 1024;

/// Longest time that what was sent adds to the patience.
const SLOW_PATIENCE: Duration = Duration::from_secs(50);

/// Bytes read from a connection in one turn, so that a sender without pauses does not starve the others.
const TURN: usize = 64 * 1024;

/// Bytes of binary messages, their boundaries forgotten.
pub(crate) struct Socket {
    socket: WebSocket,
    unread: Bytes,
    /// Bytes read in this turn.
    turn: usize,
    /// The network that it comes from, and what of its bytes is not charged yet.
    network: IpAddr,
    uncharged: usize,
    ingress: Arc<Ingress>,
    /// Until when nothing is read, where the network sends too fast.
    pause: Option<Pin<Box<Sleep>>>,
    /// Done when the connection has to give way to others.
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// When something came last.
    heard: Instant,
    /// How often it was asked since then: if we slept ourselves, the silence is ours.
    asked: u32,
    /// Bytes sent since then.
    unanswered: usize,
    /// When to look whether something has come.
    look: Pin<Box<Sleep>>,
    /// Counted as open as long as this lives.
    _connection: Arc<Connection>,
}

impl Socket {
    pub(crate) fn new(
        socket: WebSocket,
        connection: Arc<Connection>,
        network: IpAddr,
        ingress: Arc<Ingress>,
    ) -> Self {
        let over = Box::pin(connection.over().clone().cancelled_owned());
        let look = Box::pin(sleep(ASK_AFTER));
        Self {
            socket,
            unread: Bytes::new(),
            turn: 0,
            network,
            uncharged: 0,
            ingress,
            pause: None,
            over,
            heard: Instant::now(),
            asked: 0,
            unanswered: 0,
            look,
            _connection: connection,
        }
    }

    /// Asks the other end whether it is there where nothing has come for a while, and fails once nothing has for long.
    fn poll_life(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        while self.look.as_mut().poll(context).is_ready() {
            let silent = self.heard.elapsed();
            if silent >= self.patience() && self.asked >= ASK_LEAST {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut next = self.heard + ASK_AFTER;
            if silent >= ASK_AFTER {
                self.asked = self.asked.saturating_add(1);
                self.ask(context)?;
                next = Instant::now() + ASK_AFTER;
            }
            self.look.as_mut().reset(next.into());
        }
        Ok(())
    }

    /// Charges what was read to its network, in large parts, and pauses where that sends too fast.
    fn charge(&mut self, count: usize) {
        self.uncharged = self.uncharged.saturating_add(count);
        if self.uncharged >= TURN {
            let wait = self.ingress.read(self.network, self.uncharged, Instant::now());
            self.uncharged = 0;
            self.pause = wait.map(|wait| Box::pin(sleep(wait)));
        }
    }

    /// How long nothing may come.
    fn patience(&self) -> Duration {
        let seconds = u64::try_from(self.unanswered / SLOW).unwrap_or(u64::MAX);
        GONE_AFTER + Duration::from_secs(seconds).min(SLOW_PATIENCE)
    }

    /// Sends a ping, unless other data is waiting to be sent: if the peer does not take that, it counts as silent.
    fn ask(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let mut socket = Pin::new(&mut self.socket);
        if socket.as_mut().poll_ready(context).map_err(io::Error::other)?.is_ready() {
            socket.as_mut().start_send(Message::Ping(Bytes::new())).map_err(io::Error::other)?;
            let _sent_later = socket.poll_flush(context).map_err(io::Error::other)?;
        }
        Ok(())
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
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
            // That nothing was heard meanwhile is our doing.
            self.heard = Instant::now();
        }
        if self.turn >= TURN {
            self.turn = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        while self.unread.is_empty() {
            let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(context) else {
                self.turn = 0;
                self.poll_life(context)?;
                return Poll::Pending;
            };
            self.heard = Instant::now();
            (self.asked, self.unanswered) = (0, 0);
            match message {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(0)),
                Some(Ok(Message::Text(_))) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            }
        }
        let count = buffer.len().min(self.unread.len());
        let read = self.unread.split_to(count);
        // One copy of a block: byte by byte it took a third of what a flood cost.
        if let Some(to) = buffer.get_mut(..count) {
            to.copy_from_slice(&read);
        }
        self.turn = self.turn.saturating_add(count);
        self.charge(count);
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
        self.unanswered = self.unanswered.saturating_add(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(io::Error::other)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context).map_err(io::Error::other)
    }
}
