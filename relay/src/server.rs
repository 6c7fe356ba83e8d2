//! Accepts connections for HTTP, within limits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;

/// Longest time for a request's head to arrive, an idle connection's next one included.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// Pause after the system refuses to accept, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts open connections and keeps them within limits.
pub(crate) struct Connections {
    most: usize,
    most_per_address: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
    metrics: Arc<Metrics>,
}

/// One open connection, counted until it is dropped.
pub(crate) struct Connection {
    pub(crate) remote: SocketAddr,
    connections: Arc<Connections>,
}

impl Connections {
    pub(crate) fn new(most: usize, most_per_address: usize, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, open: Mutex::default(), metrics })
    }

    fn admit(self: &Arc<Self>, remote: SocketAddr) -> Option<Connection> {
        // Counts stay right whatever happened to another thread: each change is one step.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let total: usize = open.values().sum();
        let from_there = open.get(&remote.ip()).copied().unwrap_or_default();
        if total >= self.most || from_there >= self.most_per_address {
            self.metrics.connections_refused.inc();
            return None;
        }
        open.insert(remote.ip(), from_there + 1);
        self.metrics.connections.inc();
        Some(Connection { remote, connections: Arc::clone(self) })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(from_there) = open.get_mut(&self.remote.ip()) {
            *from_there = from_there.saturating_sub(1);
            if *from_there == 0 {
                open.remove(&self.remote.ip());
            }
        }
        self.connections.metrics.connections.dec();
    }
}

/// Serves until the token is cancelled, then finishes the requests under way.
pub(crate) async fn serve(
    listener: TcpListener,
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
                if let Some(connection) = connections.admit(remote) {
                    served.spawn(converse(stream, connection, router.clone(), stop.clone()));
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

/// Answers the requests of one connection; an upgraded one goes on elsewhere.
async fn converse(stream: TcpStream, connection: Connection, router: Router, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot send small packets at once");
    }
    let service = TowerToHyperService::new(router.layer(Extension(Arc::new(connection))));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
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
