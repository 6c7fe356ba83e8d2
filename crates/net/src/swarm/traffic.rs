//! Counts the bytes that connections move, in all and by peer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

#[cfg(target_arch = "wasm32")]
pub(super) use by_peer::PeerTraffic;
use futures::{AsyncRead, AsyncWrite};

/// Bytes moved over all connections counted with it.
#[derive(Debug, Default)]
pub struct Traffic {
    received: AtomicU64,
    sent: AtomicU64,
}

impl Traffic {
    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

/// A connection, or one stream of it, whose bytes are counted.
pub struct Counted<C> {
    connection: C,
    traffic: Arc<Traffic>,
}

impl<C> Counted<C> {
    /// Counts what this connection moves.
    pub const fn new(connection: C, traffic: Arc<Traffic>) -> Self {
        Self { connection, traffic }
    }
}

fn count(counter: &AtomicU64, moved: &Poll<io::Result<usize>>) {
    if let Poll::Ready(Ok(bytes)) = moved {
        counter.fetch_add(*bytes as u64, Ordering::Relaxed);
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Counted<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.connection).poll_read(context, buffer);
        count(&self.traffic.received, &moved);
        moved
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Counted<C> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.connection).poll_write(context, buffer);
        count(&self.traffic.sent, &moved);
        moved
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_close(context)
    }
}

/// Bytes moved over direct connections, by peer: a page's matter, since nobody else has such connections.
#[cfg(target_arch = "wasm32")]
mod by_peer {
    use std::collections::BTreeMap;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex, PoisonError};
    use std::task::{Context, Poll, ready};

    use libp2p::PeerId;
    use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};

    use super::{Counted, Traffic};

    /// Counts by peer; clones count together.
    #[derive(Clone, Default)]
    pub(in crate::swarm) struct PeerTraffic(Arc<Mutex<Counts>>);

    #[derive(Default)]
    struct Counts {
        peers: BTreeMap<PeerId, Arc<Traffic>>,
        /// Bytes received from and sent to peers that are gone.
        gone: (u64, u64),
    }

    impl PeerTraffic {
        /// The connection, its streams' bytes counted as this peer's.
        pub(in crate::swarm) fn counted<M>(&self, peer: PeerId, connection: M) -> CountedMuxer<M> {
            let traffic = self.with(|counts| Arc::clone(counts.peers.entry(peer).or_default()));
            CountedMuxer { connection, traffic }
        }

        pub(in crate::swarm) fn moved(&self, peer: &PeerId) -> (u64, u64) {
            self.with(|counts| counts.peers.get(peer).map_or((0, 0), |traffic| moved(traffic)))
        }

        pub(in crate::swarm) fn moved_in_all(&self) -> (u64, u64) {
            self.with(|counts| {
                counts.peers.values().fold(counts.gone, |sum, traffic| add(sum, moved(traffic)))
            })
        }

        /// A peer is gone: its bytes count in all, and no more as its own.
        pub(in crate::swarm) fn forget(&self, peer: &PeerId) {
            self.with(|counts| {
                if let Some(traffic) = counts.peers.remove(peer) {
                    counts.gone = add(counts.gone, moved(&traffic));
                }
            });
        }

        fn with<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
            look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    fn moved(traffic: &Traffic) -> (u64, u64) {
        (traffic.received(), traffic.sent())
    }

    const fn add(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
        (one.0.saturating_add(other.0), one.1.saturating_add(other.1))
    }

    /// A connection whose streams' bytes are counted.
    pub(in crate::swarm) struct CountedMuxer<M> {
        connection: M,
        traffic: Arc<Traffic>,
    }

    impl<M: StreamMuxer<Substream: Unpin> + Unpin> StreamMuxer for CountedMuxer<M> {
        type Substream = Counted<M::Substream>;
        type Error = M::Error;

        fn poll_inbound(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, M::Error>> {
            let stream = ready!(Pin::new(&mut self.connection).poll_inbound(context))?;
            Poll::Ready(Ok(Counted::new(stream, Arc::clone(&self.traffic))))
        }

        fn poll_outbound(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Result<Self::Substream, M::Error>> {
            let stream = ready!(Pin::new(&mut self.connection).poll_outbound(context))?;
            Poll::Ready(Ok(Counted::new(stream, Arc::clone(&self.traffic))))
        }

        fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), M::Error>> {
            Pin::new(&mut self.connection).poll_close(context)
        }

        fn poll(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Result<StreamMuxerEvent, M::Error>> {
            Pin::new(&mut self.connection).poll(context)
        }
    }
}
