//! How connections of peers are secured and shared by streams: as everywhere, and what arrives is charged to the peer's
//! network until it is read ([`crate::peers::unread`]).

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::io;
use std::iter;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{AsyncRead, AsyncWrite};
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_net::swarm::libp2p::core::muxing::{StreamMuxer, StreamMuxerBox, StreamMuxerEvent};
use lichen_net::swarm::libp2p::core::transport::Transport;
use lichen_net::swarm::libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use lichen_net::swarm::libp2p::identity::Keypair;
use lichen_net::swarm::libp2p::noise;
use lichen_net::swarm::transport::{Counted, Secured, Traffic};
use yamux::{ConnectionError, Mode};

use crate::accepting::accepted::Accepted;
use crate::accepting::connections::Connections;
use crate::fairness::rates::network;
use crate::peers::unread::{self, Unread};
use crate::traversal::circuits::ip;

/// Longest time from accepting until the connection can be used.
const SETUP_PATIENCE: Duration = Duration::from_secs(15);

/// Most streams of one connection at a time, both ways together.
const MAX_STREAMS: usize = 256;

/// What a connection's streams may send ahead besides the 256 KiB that each has: large blobs come fast from far away, too.
const MORE_AHEAD: usize = 4 * 1024 * 1024;

/// Streams of a connection that wait for the swarm.
const MAX_WAITING: usize = 256;

/// Secures accepted sockets, and counts what they move and what waits to be read.
pub(crate) fn secure(
    accepted: Accepted,
    keys: &Keypair,
    traffic: Arc<Traffic>,
    connections: Arc<Connections>,
    unread: Arc<Unread>,
) -> Result<Secured> {
    let noise = noise::Config::new(keys).context("the keys cannot sign the Noise key")?;
    let connection = move |address: &Multiaddr| {
        // Every socket has an address; those without share one.
        let from = network(ip(address).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        unread.connection(from, connections.over(address))
    };
    Ok(accepted
        .map(move |socket, _| Counted::new(socket, traffic))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |_peer, point| Multiplexed(connection(point.get_remote_address())))
        .timeout(SETUP_PATIENCE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .map_err(io::Error::other)
        .boxed())
}

/// Agrees on Yamux, the only way in which streams share a connection here.
#[derive(Clone)]
struct Multiplexed(Arc<unread::Connection>);

impl Multiplexed {
    fn over<C: AsyncRead + AsyncWrite + Unpin>(self, connection: C, mode: Mode) -> Muxer<C> {
        let mut config = yamux::Config::default();
        let least = MAX_STREAMS.saturating_mul(yamux::DEFAULT_CREDIT as usize);
        config.set_read_after_close(false).set_max_num_streams(MAX_STREAMS);
        config.set_max_connection_receive_window(Some(least.saturating_add(MORE_AHEAD)));
        let tapped = Tapped { connection, unread: Arc::clone(&self.0) };
        let connection = yamux::Connection::new(tapped, config, mode);
        Muxer { connection, waiting: VecDeque::new(), waker: None, unread: self.0 }
    }
}

impl UpgradeInfo for Multiplexed {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Multiplexed {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_inbound(self, connection: C, _protocol: Self::Info) -> Self::Future {
        ready(Ok(self.over(connection, Mode::Server)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Multiplexed {
    type Output = Muxer<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Muxer<C>>>;

    fn upgrade_outbound(self, connection: C, _protocol: Self::Info) -> Self::Future {
        ready(Ok(self.over(connection, Mode::Client)))
    }
}

/// The bytes of a connection, looked at as they arrive.
struct Tapped<C> {
    connection: C,
    unread: Arc<unread::Connection>,
}

impl<C: AsyncRead + Unpin> AsyncRead for Tapped<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.connection).poll_read(context, buffer))?;
        self.unread.arrived(buffer.get(..count).unwrap_or_default());
        Poll::Ready(Ok(count))
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Tapped<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_close(context)
    }
}

/// A connection shared by streams.
struct Muxer<C> {
    connection: yamux::Connection<Tapped<C>>,
    /// Streams that came while nobody asked for one: the connection goes on by asking for the next.
    waiting: VecDeque<Stream>,
    waker: Option<Waker>,
    unread: Arc<unread::Connection>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        match ready!(self.connection.poll_next_inbound(context)) {
            Some(Ok(stream)) => Poll::Ready(Ok(self.counted(stream))),
            Some(Err(error)) => Poll::Ready(Err(broken(error))),
            None => Poll::Ready(Err(broken(ConnectionError::Closed))),
        }
    }

    fn counted(&self, stream: yamux::Stream) -> Stream {
        Stream { stream, unread: Arc::clone(&self.unread) }
    }
}

fn broken(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        if let Some(stream) = self.waiting.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let next = self.poll_next(context);
        if next.is_pending() {
            self.waker = Some(context.waker().clone());
        }
        next
    }

    fn poll_outbound(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<Stream>> {
        let stream = ready!(self.connection.poll_new_outbound(context)).map_err(broken)?;
        self.unread.opened(stream.id().val());
        Poll::Ready(Ok(self.counted(stream)))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(context).map_err(broken)
    }

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = ready!(self.poll_next(context))?;
        // One more is dropped, which resets it.
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(stream);
            self.waker.take().into_iter().for_each(Waker::wake);
        }
        // Others get their turn before the next one.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One stream of a connection.
struct Stream {
    stream: yamux::Stream,
    unread: Arc<unread::Connection>,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.unread.read(self.stream.id().val(), count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.unread.dropped(self.stream.id().val());
    }
}
