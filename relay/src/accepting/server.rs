//! Accepts connections for HTTP, within limits, in the clear or by TLS.

use std::sync::Arc;
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

use crate::accepting::connections::{Connection, Connections};
use crate::accepting::patient::Patient;
use crate::accepting::proxies::Proxies;
use crate::operating::metrics::Metrics;

/// Longest time for a request's head to arrive, an idle connection's next one included.
const HEAD_PATIENCE: Duration = Duration::from_secs(30);

/// Longest time for the first one.
const FIRST_HEAD_PATIENCE: Duration = Duration::from_secs(10);

/// Longest time for TLS to be agreed on.
const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// Memory for a request's head, and for what waits to be written besides the part of an answer at hand, in bytes.
const BUFFER: usize = 32 * 1024;

/// Pause after the system refuses to accept, as it does when files run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection is served with.
#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) router: Router,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
}

/// Serves until the token is cancelled, then finishes the requests under way.
pub(crate) async fn serve(
    listener: TcpListener,
    connections: Arc<Connections>,
    proxies: Arc<Proxies>,
    service: Service,
) {
    let served = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = service.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                let is_proxy = proxies.is_one(remote.ip());
                if let Some(connection) = connections.admit(remote, service.tls.is_some(), is_proxy) {
                    served.spawn(accept(stream, connection, service.clone()));
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

/// Serves a connection until it ends or has to give way to others.
async fn accept(stream: TcpStream, connection: Connection, service: Service) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot send small packets at once");
    }
    let over = connection.over().clone();
    tokio::select! {
        () = agree(stream, connection, service) => {}
        () = over.cancelled() => {}
    }
}

/// Agrees on TLS where it is spoken, then answers requests.
async fn agree(stream: TcpStream, connection: Connection, service: Service) {
    let Some(tls) = &service.tls else { return converse(stream, connection, service).await };
    let handshake = tokio::time::timeout(HANDSHAKE_PATIENCE, tls.accept(stream));
    let agreed = tokio::select! {
        agreed = handshake => agreed,
        () = service.stop.cancelled() => return,
    };
    match agreed {
        Ok(Ok(stream)) => converse(stream, connection, service).await,
        Ok(Err(error)) => {
            service.metrics.tls_failures.inc();
            tracing::debug!(%error, remote = %connection.remote, "TLS could not be agreed on");
        }
        Err(_elapsed) => {
            service.metrics.tls_failures.inc();
            service.metrics.limit("handshake_seconds");
        }
    }
}

/// Answers the requests of one connection; an upgraded one goes on elsewhere.
async fn converse<S>(stream: S, connection: Connection, service: Service)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Service { router, metrics, stop, .. } = service;
    let stream = Patient::new(stream, Arc::clone(&metrics));
    let connection = Arc::new(connection);
    let service = TowerToHyperService::new(router.layer(Extension(Arc::clone(&connection))));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut served = std::pin::pin!(served);
    let silent = async {
        tokio::time::sleep(FIRST_HEAD_PATIENCE).await;
        if connection.was_heard() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = silent => return metrics.limit("head_seconds"),
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
