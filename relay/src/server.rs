//! Accepts connections for HTTP, within limits, in the clear or by TLS.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::patient::Patient;

/// Longest time for a request's head to arrive, an idle connection's next one included.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// Longest time for TLS to be agreed on.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Memory for a request's head, and for what waits to be written besides the part of an answer at hand, in bytes.
const BUFFER: usize = 32 * 1024;

/// Pause after the system refuses to accept, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts open connections and keeps them within limits.
pub(crate) struct Connections {
    most: usize,
    most_per_address: usize,
    open: Mutex<Open>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection, counted until it is dropped.
pub(crate) struct Connection {
    pub(crate) remote: SocketAddr,
    /// Whether it speaks TLS with us; a proxy in front may speak it with the client all the same.
    pub(crate) is_tls: bool,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(most: usize, most_per_address: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, open: Mutex::default(), metrics })
    }

    fn admit(self: &Arc<Self>, remote: SocketAddr, is_tls: bool) -> Option<Connection> {
        // Counts stay right whatever happened to another thread: nothing in between can fail.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = open.by_address.get(&remote.ip()).copied().unwrap_or_default();
        if open.total >= self.most {
            self.metrics.limit("connections");
            return None;
        }
        if from_there >= self.most_per_address {
            self.metrics.limit("connections_per_address");
            return None;
        }
        open.total += 1;
        open.by_address.insert(remote.ip(), from_there + 1);
        self.metrics.connections.inc();
        Some(Connection { remote, is_tls, connections: Arc::clone(self) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(from_there) = open.by_address.get_mut(&self.remote.ip()) {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                open.by_address.remove(&self.remote.ip());
            }
        }
        self.connections.metrics.connections.dec();
    }
}

/// Serves until the token is cancelled, then finishes the requests under way.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    connections: Arc<Connections>,
    stop: CancellationToken,
) {
    let served = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                if let Some(connection) = connections.admit(remote, tls.is_some()) {
                    served.spawn(accept(stream, tls.clone(), connection, router.clone(), stop.clone()));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    served.close();
    served.wait().await;
}

/// Agrees on TLS where it is spoken, then answers requests.
async fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    connection: Connection,
    router: Router,
    stop: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot send small packets at once");
    }
    let Some(tls) = tls else { return converse(stream, connection, router, stop).await };
    let handshake = tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream));
    let agreed = tokio::select! {
        agreed = handshake => agreed,
        () = stop.cancelled() => return,
    };
    match agreed {
        Ok(Ok(stream)) => converse(stream, connection, router, stop).await,
        Ok(Err(error)) => {
            connection.connections.metrics.tls_failures.inc();
            tracing::debug!(%error, remote = %connection.remote, "TLS could not be agreed on");
        }
        Err(_elapsed) => {
            connection.connections.metrics.tls_failures.inc();
        }
    }
}

/// Answers the requests of one connection; an upgraded one goes on elsewhere.
async fn converse<S>(stream: S, connection: Connection, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = Patient::new(stream, Arc::clone(&connection.connections.metrics));
    let service = TowerToHyperService::new(router.layer(Extension(Arc::new(connection))));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
