//! A connection that ends when the other side stops reading. Nothing else would end a peer that asks and never reads.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::fairness::pace::{GRACE, LEAST};
use crate::operating::metrics::Metrics;

/// Fails once a write waits too long, or once writes that wait move too little.
pub(crate) struct Patient<S> {
    stream: S,
    /// Since when a write waits, and until when it may.
    waits: Option<(Instant, Pin<Box<Sleep>>)>,
    /// How long writes have waited since the pace was looked at, and what they moved.
    waited: Duration,
    moved: u64,
    metrics: Arc<Metrics>,
}

impl<S> Patient<S> {
    pub(crate) const fn new(stream: S, metrics: Arc<Metrics>) -> Self {
        Self { stream, waits: None, waited: Duration::ZERO, moved: 0, metrics }
    }

    /// Takes note of how a write went.
    fn note(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                self.moved = self.moved.saturating_add(count as u64);
                if self.is_too_slow() { self.give_up() } else { Poll::Ready(Ok(count)) }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let begin = || (Instant::now(), Box::pin(tokio::time::sleep(GRACE)));
                let (_since, until) = self.waits.get_or_insert_with(begin);
                match until.as_mut().poll(context) {
                    Poll::Ready(()) => self.give_up(),
                    Poll::Pending => Poll::Pending,
                }
            }
        }
    }

    /// Only time in which a write waits counts: a connection may be idle for as long as it likes.
    fn is_too_slow(&mut self) -> bool {
        let Some((since, _until)) = self.waits.take() else { return false };
        self.waited = self.waited.saturating_add(since.elapsed());
        if self.waited < GRACE {
            return false;
        }
        let is_too_slow = self.moved < self.waited.as_secs().saturating_mul(LEAST);
        (self.waited, self.moved) = (Duration::ZERO, 0);
        is_too_slow
    }

    fn give_up<T>(&self) -> Poll<io::Result<T>> {
        self.metrics.limit("slow_readers");
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, buffer);
        self.note(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.note(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context).map_ok(|()| 0);
        self.note(context, flushed).map_ok(|_none| ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context).map_ok(|()| 0);
        self.note(context, ended).map_ok(|_none| ())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn pair() -> (Patient<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Metrics>) {
        let (near, far) = tokio::io::duplex(1024);
        let metrics = Arc::new(Metrics::new());
        (Patient::new(near, Arc::clone(&metrics)), far, metrics)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_reads_nothing_is_given_up() {
        let (mut near, _far, metrics) = pair();
        let failed = near.write_all(&[0; 4096]).await.unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::TimedOut);
        assert!(metrics.text().unwrap().contains("limited_total{limit=\"slow_readers\"} 1"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_reads_a_little_now_and_then_is_given_up() {
        let (mut near, mut far, _metrics) = pair();
        let slow = tokio::spawn(async move {
            while far.read(&mut [0; 512]).await.is_ok_and(|count| count > 0) {
                tokio::time::sleep(GRACE / 2).await;
            }
        });
        let written = tokio::time::timeout(GRACE * 10, near.write_all(&vec![0; 1 << 20])).await;
        assert_eq!(written.expect("it went on for ever").unwrap_err().kind(), io::ErrorKind::TimedOut);
        slow.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_one_stays() {
        let (mut near, mut far, _metrics) = pair();
        for _ in 0..3 {
            tokio::time::sleep(GRACE * 10).await;
            near.write_all(&[1; 1000]).await.unwrap();
            far.read_exact(&mut [0; 1000]).await.unwrap();
        }
    }
}
