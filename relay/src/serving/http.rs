//! What the relay answers over HTTP: the page, its address, the log and the blobs for auditors, health and metrics.
//! The way to libp2p begins here too, as a WebSocket on any path.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures::SinkExt;
use futures::channel::mpsc;
use lichen_net::swarm::libp2p::multiaddr::Protocol;
use lichen_net::swarm::libp2p::{Multiaddr, PeerId};
use lichen_net::{IceServer, MAX_ADDRESSES};
use lichen_record::{AccountId, CampaignId};
use serde::{Deserialize, Serialize};

use crate::accepting::accepted::Incoming;
use crate::accepting::connections::Connection;
use crate::accepting::ingress::Ingress;
use crate::accepting::origins::Origins;
use crate::accepting::proxies::{Client, Proxies};
use crate::accepting::socket::Socket;
use crate::address::{host, multiaddr, socket_source, web_socket};
use crate::fairness::rates::network;
use crate::fairness::shares::Shares;
use crate::hosting::{Campaigns, Hosted, Words};
use crate::log::checkpoints::CertifiedKey;
use crate::log::leader::LeaderState;
use crate::operating::metrics::Metrics;
use crate::peers::hub::Hub;
use crate::serving::page::{Page, plain, policy};
use crate::traversal::ice::Ice;
use crate::traversal::turn;

mod blob;
mod deciding;
mod gateway;
mod log;
mod publishing;
mod tree;

pub(crate) use blob::{DOWNLOADS, DOWNLOADS_PER_NETWORK};
pub(crate) use publishing::{Publishers, Publishing, Strangers};
pub(crate) use tree::{TILES, TILES_PER_NETWORK};

use deciding::MAX_DECISION;
use tree::MAX_COSIGNED;

const DAG_CBOR: &str = "application/vnd.ipld.dag-cbor";

/// Longest WebSocket message taken, in bytes: libp2p's frames have 64 KiB at most, and senders put a few of them into one.
/// It is memory that anybody has us take before it is known who that is.
const MAX_MESSAGE: usize = 256 * 1024;

/// Buffers per WebSocket, in bytes: small, because there are many and most are idle.
const READ_BUFFER: usize = 8 * 1024;
const WRITE_BUFFER: usize = 16 * 1024;

/// What the handlers share.
pub(crate) struct Site {
    pub(crate) hub: Arc<Hub>,
    /// Places for blobs on their way.
    pub(crate) downloads: Arc<Shares>,
    /// Places for tiles of the log's tree.
    pub(crate) tiles: Arc<Shares>,
    pub(crate) campaigns: Arc<Campaigns>,
    /// Who may add to them, where anybody may.
    pub(crate) publishing: Option<Publishing>,
    pub(crate) page: Page,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) sockets: mpsc::Sender<Incoming>,
    /// How fast they are read.
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) peer: PeerId,
    /// What helps peers to find a way to each other.
    pub(crate) ice: Ice,
    /// Where peers reach the relay, if the operator says so.
    pub(crate) public_address: Option<Multiaddr>,
    /// Where else tabs find it, or the one that takes over from it.
    pub(crate) also: Vec<Multiaddr>,
    /// The relay that it follows, if it does.
    pub(crate) leader: Option<LeaderState>,
    /// Where it listens.
    pub(crate) listen_address: Multiaddr,
    /// The proxies whose word about their clients is believed.
    pub(crate) proxies: Arc<Proxies>,
    /// Whose pages may connect.
    pub(crate) origins: Origins,
    /// How long a browser is to come by TLS only, in seconds; never told where it is 0.
    pub(crate) hsts_seconds: u32,
}

/// `lichen.json`: all a page needs to know about the relay that served it and one of its campaigns, which a query may name.
#[derive(Serialize)]
struct Info<'a> {
    version: &'static str,
    peer: String,
    address: String,
    also: Vec<String>,
    campaign: CampaignId,
    /// What that campaign is called here.
    name: &'a str,
    coordinator: AccountId,
    /// What the checkpoints of the log's tree are signed by.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_key: Option<CertifiedKey>,
    /// The page of the relay that this one follows, and whether that one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader_reachable: Option<bool>,
    ice_servers: Vec<IceServer>,
    /// Whether `ice.json` has more of them, with passwords.
    turn: bool,
    #[serde(flatten)]
    words: &'a Words,
    /// All campaigns of this relay, the first one first.
    campaigns: Vec<Listed<'a>>,
}

/// One of them, in as many words as it takes to choose.
#[derive(Serialize)]
struct Listed<'a> {
    id: CampaignId,
    name: &'a str,
    title: &'a str,
    /// Where it stands, if nothing is trained in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    standing: Option<&'static str>,
}

/// Which campaign is asked for, by id or name; the first one where none is named.
#[derive(Deserialize)]
struct Which {
    campaign: Option<String>,
}

/// `ice.json`: the servers of `lichen.json`, and those with a password, which is good for so many seconds.
#[derive(Serialize)]
struct IceServers {
    seconds: u64,
    ice_servers: Vec<IceServer>,
}

type Answer = Response<Body>;

/// Every path of the relay.
pub(crate) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/lichen.json", get(info))
        .route("/now.json", get(now))
        .route("/ice.json", get(ice))
        .route("/health/live", get(async || "alive"))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .route(
            "/log/{campaign}",
            get(log::log).post(deciding::decide).layer(DefaultBodyLimit::max(MAX_DECISION)),
        )
        .route("/log/{campaign}/checkpoint", get(tree::checkpoint))
        .route("/log/{campaign}/witnessed", get(tree::witnessed))
        .route("/log/{campaign}/tile/{*path}", get(tree::tile))
        .route("/log/{campaign}/cosignature", post(tree::cosign).layer(DefaultBodyLimit::max(MAX_COSIGNED)))
        .route("/blob/{cid}", get(blob::blob))
        .route("/ipfs/{*path}", get(gateway::block).options(gateway::options))
        .route("/campaigns", post(publishing::publish).layer(DefaultBodyLimit::disable()))
        .fallback(get(page_or_socket))
        .layer(from_fn_with_state(Arc::clone(&site), attend))
        .with_state(site)
}

/// The page, or the way to libp2p: at any path, since a proxy may hand on the one that it has the page at.
async fn page_or_socket(
    State(site): State<Arc<Site>>,
    Extension(connection): Extension<Arc<Connection>>,
    Extension(client): Extension<Client>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    headers: HeaderMap,
    uri: Uri,
) -> Answer {
    let Ok(upgrade) = upgrade else { return page(site, client, headers, uri).await };
    if !site.origins.allow(&headers) {
        site.metrics.limit("foreign_origin");
        return plain(StatusCode::FORBIDDEN, "this site's pages may not connect here (--allow-origin)");
    }
    let name = web_socket(Multiaddr::from(client.address), connection.remote.port(), connection.is_tls);
    if connection.becomes_socket(client.address, name.clone()).is_err() {
        return plain(StatusCode::TOO_MANY_REQUESTS, "too many connections from this address");
    }
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(MAX_MESSAGE)
        .max_frame_size(MAX_MESSAGE)
        .on_upgrade(move |socket| {
            let socket = Socket::new(socket, connection, network(client.address), Arc::clone(&site.ingress));
            hand_over(site, Incoming { socket, remote: name })
        })
}

async fn hand_over(site: Arc<Site>, incoming: Incoming) {
    if site.sockets.clone().send(incoming).await.is_err() {
        tracing::debug!("the swarm has ended");
    }
}

async fn page(site: Arc<Site>, client: Client, headers: HeaderMap, uri: Uri) -> Answer {
    let origins = site.socket_origins(&headers, client.is_tls);
    site.page.answer(uri.path().trim_start_matches('/'), &headers, Some(&origins)).await
}

async fn info(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    which: Result<Query<Which>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let Some(hosted) = site.hosted(which) else { return unknown_campaign() };
    let all = site.campaigns.all();
    let address = site.address(&headers, client.is_tls);
    let ice_servers = site.ice.open_servers(host(&address).as_deref());
    let mut addresses = site.addresses(address);
    let first = addresses.pop_front().unwrap_or_default();
    let info = Info {
        version: env!("CARGO_PKG_VERSION"),
        peer: site.peer.to_string(),
        turn: site.ice.turn.is_some(),
        ice_servers,
        address: first,
        also: addresses.into(),
        leader: site.leader.as_ref().map(|leader| leader.url.as_str()),
        leader_reachable: site.leader.as_ref().map(|leader| *leader.lives.borrow()),
        campaign: hosted.id(),
        name: hosted.name(),
        coordinator: hosted.ledger.coordinator(),
        log_key: hosted.checkpoints.key(),
        words: &hosted.words,
        campaigns: all.iter().map(|one| Listed::of(one)).collect(),
    };
    match serde_json::to_vec(&info) {
        Ok(bytes) => content("application/json", "no-store", bytes),
        Err(error) => failed(&error),
    }
}

async fn ice(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Answer {
    let host = host(&site.address(&headers, client.is_tls));
    let Ok(ice_servers) = site.ice.servers(host.as_deref(), client.address) else {
        site.metrics.limit("turn_passwords_per_address");
        return plain(StatusCode::TOO_MANY_REQUESTS, "asked too often");
    };
    match serde_json::to_vec(&IceServers { seconds: turn::LIFETIME.as_secs(), ice_servers }) {
        Ok(bytes) => content("application/json", "no-store", bytes),
        Err(error) => failed(&error),
    }
}

/// Where the campaign is; the same bytes for everybody until the log grows.
async fn now(State(site): State<Arc<Site>>, which: Result<Query<Which>, QueryRejection>) -> Answer {
    let Some(hosted) = site.hosted(which) else { return unknown_campaign() };
    content("application/json", "no-store", hosted.metrics.now.text())
}

/// Whether the relay can do its part, and why not; a campaign that stands still for want of people is no reason to go
/// elsewhere, and named all the same.
async fn ready(State(site): State<Arc<Site>>) -> Answer {
    if site.hub.is_short_of_space() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the disk is nearly full: free space on it");
    }
    match site.campaigns.readiness() {
        Ok(waiting) if waiting.is_empty() => plain(StatusCode::OK, "ready"),
        Ok(waiting) => {
            let said = waiting.iter().map(|(hosted, cause)| match site.campaigns.all().len() {
                1 => format!("; the campaign stands still: {cause}"),
                _ => format!("; the campaign {} stands still: {cause}", hosted.name()),
            });
            plain(StatusCode::OK, format!("ready{}", said.collect::<String>()))
        }
        Err(unready) => plain(StatusCode::SERVICE_UNAVAILABLE, unready.to_string()),
    }
}

async fn metrics(State(site): State<Arc<Site>>) -> Answer {
    match site.metrics.text() {
        Ok(text) => content("application/openmetrics-text; version=1.0.0; charset=utf-8", "no-store", text),
        Err(error) => failed(&error),
    }
}

fn content(content_type: &'static str, cache: &'static str, body: impl Into<Body>) -> Answer {
    let mut answer = Response::new(body.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    answer
}

fn failed(error: &dyn std::error::Error) -> Answer {
    tracing::error!(%error, "a request failed");
    plain(StatusCode::INTERNAL_SERVER_ERROR, "the relay failed")
}

/// Finds out who asks, and puts the headers on the answer that keep a page to what we gave it.
async fn attend(
    State(site): State<Arc<Site>>,
    Extension(connection): Extension<Arc<Connection>>,
    mut request: Request,
    next: Next,
) -> Answer {
    connection.heard();
    let client = site.proxies.client(connection.remote.ip(), connection.is_tls, request.headers());
    request.extensions_mut().insert(client);
    let mut answer = next.run(request).await;
    add_headers(answer.headers_mut());
    if client.is_tls
        && site.hsts_seconds > 0
        && let Ok(value) = HeaderValue::try_from(format!("max-age={}", site.hsts_seconds))
    {
        answer.headers_mut().insert(STRICT_TRANSPORT_SECURITY, value);
    }
    answer
}

fn add_headers(headers: &mut HeaderMap) {
    if !headers.contains_key(CONTENT_SECURITY_POLICY)
        && let Ok(policy) = HeaderValue::try_from(policy(&[], None))
    {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    let resources = HeaderName::from_static("cross-origin-resource-policy");
    if !headers.contains_key(&resources) {
        headers.insert(resources, HeaderValue::from_static("same-origin"));
    }
    let fixed = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-embedder-policy"), "require-corp"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=(), serial=(), \
             midi=(), display-capture=(), browsing-topics=()",
        ),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

impl<'a> Listed<'a> {
    fn of(hosted: &'a Hosted) -> Self {
        let standing = hosted.metrics.now.standing();
        Self { id: hosted.id(), name: hosted.name(), title: hosted.words.title(), standing }
    }
}

/// The answer where a campaign is named that is not here.
fn unknown_campaign() -> Answer {
    plain(StatusCode::NOT_FOUND, "this relay does not serve this campaign")
}

impl Site {
    /// The campaign that a request names, or the first one.
    fn hosted(&self, which: Result<Query<Which>, QueryRejection>) -> Option<Arc<Hosted>> {
        match which.ok()?.0.campaign {
            Some(named) => self.campaigns.named(&named),
            None => Some(Arc::clone(self.campaigns.first())),
        }
    }

    /// Where the client of this request reaches the relay: as the operator says, else as the client came.
    fn address(&self, headers: &HeaderMap, is_tls: bool) -> Multiaddr {
        let configured = self.public_address.clone();
        let as_it_came = || {
            let host = headers.get(HOST)?.to_str().ok()?.parse().ok()?;
            multiaddr(&host, is_tls)
        };
        configured.or_else(as_it_came).unwrap_or_else(|| self.listen_address.clone())
    }

    /// Where tabs find a relay of the campaign, in the order to try: the one that orders the log first, if it is there.
    fn addresses(&self, own: Multiaddr) -> VecDeque<String> {
        let mut addresses: VecDeque<Multiaddr> =
            std::iter::once(own).chain(self.also.iter().cloned()).map(|one| self.named(one)).collect();
        if let Some(leader) = &self.leader {
            addresses.retain(|address| *address != leader.address);
            let place = if *leader.lives.borrow() { 0 } else { 1 };
            addresses.insert(place, leader.address.clone());
            addresses.truncate(MAX_ADDRESSES + 1);
        }
        addresses.into_iter().map(|address| address.to_string()).collect()
    }

    /// The address with this relay's peer id, unless it names one.
    fn named(&self, address: Multiaddr) -> Multiaddr {
        if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
            return address;
        }
        address.with(Protocol::P2p(self.peer))
    }

    /// The same as sources for the page's policy. Not every browser counts a page's own address as `'self'` when
    /// a WebSocket goes there.
    fn socket_origins(&self, headers: &HeaderMap, is_tls: bool) -> String {
        let leader = self.leader.iter().map(|leader| leader.address.clone());
        let own = std::iter::once(self.address(headers, is_tls));
        let addresses = own.chain(self.also.iter().cloned()).chain(leader);
        let mut sources: Vec<String> = addresses.filter_map(|address| socket_source(&address)).collect();
        sources.sort_unstable();
        sources.dedup();
        sources.join(" ")
    }
}
