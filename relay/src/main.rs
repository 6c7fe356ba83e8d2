//! The relay: bootstrap, ordered log, blob store, and the page.
//!
//! ```text
//! one TCP port ─► accepting (limits) ─► serving ─┬─► page, lichen.json, log, blobs, health, metrics
//!                                                └─► WebSocket ─► peers (swarm ─► hub) ─► hosting ─► log ─► disk
//! ```
//!
//! `hosting` has a table of the relay's campaigns: requests name one, and find its log there. Beside them, `traversal` helps tabs to reach each other. All of these share what is in `fairness` and `operating`.

mod accepting;
mod address;
mod fairness;
mod hosting;
mod log;
mod operating;
mod options;
mod peers;
mod serving;
mod traversal;

use std::fs;
use std::io::IsTerminal;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::maybe_done;
use lichen_store::Disk;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing_subscriber::EnvFilter;

use crate::accepting::connections::Connections;
use crate::accepting::ingress::Ingress;
use crate::accepting::origins::Origins;
use crate::accepting::proxies::Proxies;
use crate::accepting::server::Service;
use crate::accepting::tls::Certificate;
use crate::accepting::{accepted, origins, server};
use crate::address::web_socket;
use crate::fairness::shares::Shares;
use crate::hosting::{Common, Host, Sources};
use crate::log::back_to;
use crate::operating::metrics::Metrics;
use crate::operating::parts::Parts;
use crate::operating::unpinned::Unpinned;
use crate::operating::{clock, condition, health, keys};
use crate::options::{Command, Settings};
use crate::peers::hub::{Hub, HubParts};
use crate::peers::rendezvous::Rendezvous;
use crate::peers::swarm::{Peers, PeersParts};
use crate::serving::http::{
    self, DOWNLOADS, DOWNLOADS_PER_NETWORK, Publishing, Site, TILES, TILES_PER_NETWORK,
};
use crate::serving::page::Page;
use crate::traversal::ice::{Ice, IceTurn};
use crate::traversal::stun::Stun;
use crate::traversal::turn::{Credentials, Turn};

/// Longest time for requests under way to finish once the relay is asked to end.
const FINISH_PATIENCE: Duration = Duration::from_secs(3);

/// Crates that write a line for what everybody can send us. Whoever wants these lines names the crate.
const QUIET: &str = "stun_types=off,stun_proto=off,turn_types=off,turn_server_proto=off,libp2p_relay=error";

/// Files that are open besides connections.
const OTHER_FILES: u64 = 64;

/// How often unpinned blobs are looked through.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lichen-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<()> {
    let settings = Settings::read()?;
    if let Some(Command::BackTo { data, round, campaign }) = &settings.command {
        return back_to::ask(data, *round, *campaign);
    }
    if let Some(file) = &settings.rehearse_clock {
        clock::rehearse(file.clone());
    }
    let filter = format!("{QUIET},{}", settings.log_level);
    let filter = EnvFilter::try_new(filter).context("--log-level is no filter")?;
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Runtime::new()?;
    if settings.health {
        return runtime.block_on(health::ask(
            settings.listen,
            settings.tls.as_ref().map(|tls| tls.certificate.as_path()),
        ));
    }
    raise_file_limit(settings.connections.all);
    let ended = runtime.block_on(run(settings));
    // A leader may still hold an answer back, which nobody waits for any more.
    runtime.shutdown_background();
    ended
}

/// Lets this process have as many connections open as it may, and says so where that is less than it would serve.
fn raise_file_limit(connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = u64::try_from(connections).unwrap_or(u64::MAX);
    if files < connections.saturating_add(OTHER_FILES) {
        tracing::warn!(files, connections, "more connections are allowed than files: raise LimitNOFILE");
    }
}

async fn run(settings: Settings) -> Result<()> {
    fs::create_dir_all(&settings.data)
        .with_context(|| format!("cannot make the data folder {}", settings.data.display()))?;
    let file = settings.data.join("relay.redb");
    let disk = Disk::open(&file).with_context(|| format!("cannot open {}", file.display()))?;
    let metrics = Arc::new(Metrics::new());
    let unpinned =
        Unpinned::new(settings.unpinned, disk.clone(), settings.data.clone(), Arc::clone(&metrics));
    let unpinned = Arc::new(unpinned);
    let (stop_requests, stop_connections, stop_logs) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let common = Common {
        data: settings.data.clone(),
        disk: disk.clone(),
        unpinned: Arc::clone(&unpinned),
        metrics: Arc::clone(&metrics),
        limits: settings.of_campaigns,
        witnesses: settings.witnesses,
        operator: settings.operator,
    };
    let followed = settings.follow.as_deref().and_then(origins::of_url);
    let publishing = settings.publishers.zip(settings.campaigns_folder.clone());
    let publishing = publishing.map(|(publishers, folder)| Publishing::new(publishers, folder));
    let sources =
        Sources { campaigns: settings.campaigns, folder: settings.campaigns_folder, follow: settings.follow };
    let host = Host::open(common, sources, stop_logs.clone()).await?;
    let campaigns = Arc::clone(host.campaigns());
    let leader = campaigns.first().leader.clone();
    let peer_key = keys::peer(&settings.data)?;

    let certificate =
        settings.tls.map(|files| Certificate::open(files.certificate, files.key)).transpose()?;
    let acceptor = certificate.clone().map(Certificate::acceptor).transpose()?;

    let stun = match settings.stun {
        Some(listen) => Some(Stun::bind(listen, settings.stun_per_minute, Arc::clone(&metrics)).await?),
        None => None,
    };
    let (turn, ice_turn) = match settings.turn {
        Some(settings) => {
            let credentials = Arc::new(Credentials::new()?);
            let (limits, metrics) = (settings.limits, Arc::clone(&metrics));
            let turn =
                Turn::bind(settings.listen, settings.public, limits, Arc::clone(&credentials), metrics)
                    .await?;
            let ice = IceTurn::new(turn.address().port(), credentials, settings.passwords_per_minute);
            (Some(turn), Some(ice))
        }
        None => (None, None),
    };
    let ice = Ice {
        stun: stun.as_ref().map(Stun::address).transpose()?.map(|address| address.port()),
        others: settings.ice_servers,
        turn: ice_turn,
    };

    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let listen = listener.local_addr()?;
    let listen_address = web_socket(listen.ip().into(), listen.port(), certificate.is_some());

    let hub = Arc::new(Hub::new(HubParts {
        campaigns: Arc::clone(&campaigns),
        disk: disk.clone(),
        unpinned: Arc::clone(&unpinned),
        metrics: Arc::clone(&metrics),
        connections_per_network: settings.connections.per_address,
        stop: stop_requests.clone(),
    }));
    let requests = TaskTracker::new();
    let connections = Connections::new(settings.connections, Arc::clone(&metrics));
    let proxies = Arc::new(Proxies::new(settings.trusted_proxies));
    let (sockets, accepted) = accepted::accepted();
    let peers = Peers::new(PeersParts {
        keys: &peer_key,
        accepted,
        address: listen_address.clone(),
        public: settings.public_address.clone(),
        circuit_limits: settings.circuits,
        hub: Arc::clone(&hub),
        connections: Arc::clone(&connections),
        rendezvous: Rendezvous::new(Arc::clone(&campaigns), Arc::clone(&metrics), stop_requests.clone()),
        metrics: Arc::clone(&metrics),
        requests: requests.clone(),
        leader: leader.as_ref().map(|leader| leader.lives.clone()),
    })?;
    // Tabs go from one of a campaign's relays to the other.
    let others = settings.public_address.iter().chain(&settings.also);
    let others = others.chain(leader.as_ref().map(|leader| &leader.address));
    let origins = Origins::new(settings.allow_origins.into_iter().chain(followed), others);
    let site = Arc::new(Site {
        hub,
        downloads: Shares::new("downloads_per_address", DOWNLOADS, DOWNLOADS_PER_NETWORK, &metrics),
        tiles: Shares::new("tiles_per_address", TILES, TILES_PER_NETWORK, &metrics),
        campaigns: Arc::clone(&campaigns),
        publishing,
        page: Page::new(settings.page),
        metrics: Arc::clone(&metrics),
        sockets,
        ingress: Ingress::new(Arc::clone(&metrics)),
        peer: peer_key.public().to_peer_id(),
        ice,
        public_address: settings.public_address,
        also: settings.also,
        leader,
        listen_address,
        proxies: Arc::clone(&proxies),
        origins,
        hsts_seconds: settings.hsts_seconds,
    });

    let mut logs = pin!(maybe_done(tokio::spawn(host.run())));
    let mut peers = pin!(maybe_done(tokio::spawn(peers.run(stop_connections.clone()))));
    let scheme = if certificate.is_some() { "https" } else { "http" };
    let router = http::router(Arc::clone(&site));
    let service =
        Service { tls: acceptor, router, metrics: Arc::clone(&metrics), stop: stop_requests.clone() };
    let server = server::serve(listener, connections, proxies, service);
    let mut server = pin!(maybe_done(tokio::spawn(server)));
    let mut others = Parts::default();
    if let Some(stun) = stun {
        others.spawn("STUN", stun.run(stop_requests.clone()));
    }
    if let Some(turn) = turn {
        others.spawn("TURN", turn.run(stop_requests.clone()));
    }
    others.spawn("reading the certificate again", reload(certificate, Arc::clone(&metrics)));
    let age = Duration::from_secs(60) * settings.unpinned_blob_minutes;
    others.spawn("looking through the blobs", sweep(disk.clone(), age, Arc::clone(&unpinned), metrics));
    let conditions = {
        let campaigns = Arc::clone(&campaigns);
        move || campaigns.looked_after()
    };
    others.spawn("looking after the relay", condition::watch(conditions, settings.data, unpinned));
    println!("{scheme}://{listen}/");
    let first = campaigns.first();
    tracing::info!(
        %listen, campaign = %first.id(), peer = %site.peer, coordinator = %first.ledger.coordinator(), "the relay serves"
    );

    let died = tokio::select! {
        () = logs.as_mut() => Some("the logs' task"),
        () = peers.as_mut() => Some("the swarm"),
        () = server.as_mut() => Some("the server"),
        name = others.ended() => Some(name),
        () = asked_to_end() => None,
    };
    tracing::info!("the relay ends");
    campaigns.end();
    stop_requests.cancel();
    requests.close();
    let finish = async {
        requests.wait().await;
        server.as_mut().await;
    };
    if tokio::time::timeout(FINISH_PATIENCE, finish).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
    drop(others);
    stop_logs.cancel();
    logs.as_mut().await;
    stop_connections.cancel();
    peers.as_mut().await;
    for ended in [logs.take_output(), peers.take_output().map(|ended| ended.map(Ok))] {
        ended.transpose()?.transpose()?;
    }
    // Others may still have the disk, and nobody waits for them.
    disk.close().await?;
    match died {
        Some(name) => bail!("{name} ended though nobody asked it to"),
        None => Ok(()),
    }
}

/// Waits for SIGTERM or Ctrl-C.
async fn asked_to_end() {
    let terminate = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(error) => {
                tracing::error!(%error, "cannot wait for SIGTERM");
                std::future::pending().await
            }
        }
    };
    tokio::select! {
        _ = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Reads the certificate again at each SIGHUP.
async fn reload(certificate: Option<Arc<Certificate>>, metrics: Arc<Metrics>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "cannot wait for SIGHUP");
            return std::future::pending().await;
        }
    };
    while hangup.recv().await.is_some() {
        let Some(certificate) = &certificate else {
            tracing::info!("SIGHUP, but there is no certificate to read again");
            continue;
        };
        match certificate.reload() {
            Ok(()) => {
                metrics.certificate_read("taken");
                tracing::info!("the certificate was read again");
            }
            Err(error) => {
                metrics.certificate_read("refused");
                tracing::error!("the certificate stays as it was: {error:#}");
            }
        }
    }
}

/// Drops blobs that no entry names once they are old.
async fn sweep(disk: Disk, age: Duration, unpinned: Arc<Unpinned>, metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        match disk.sweep(age).await {
            Ok(dropped) => {
                metrics.blobs_dropped.inc_by(dropped as u64);
            }
            Err(error) => tracing::error!(%error, "cannot look through the blobs"),
        }
        unpinned.look_through();
    }
}
