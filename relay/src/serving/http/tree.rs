//! The log's tree over HTTP, as C2SP's `tlog-tiles` lays it out.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use futures::stream;
use lichen_log::tree::TilePath;

use super::{Answer, Site, content, failed, unknown_campaign};
use crate::accepting::proxies::Client;
use crate::fairness::pace::GRACE;
use crate::fairness::rates::network;
use crate::hosting::Hosted;
use crate::log::checkpoints::CosignError;
use crate::serving::page::plain;

/// Tiles and bundles on their way at a time, in all and for one network. A bundle may take a megabyte.
pub(crate) const TILES: usize = 64;
pub(crate) const TILES_PER_NETWORK: usize = 16;

/// Most bytes of what a witness sends: a checkpoint and a few signatures.
pub(super) const MAX_COSIGNED: usize = 16 * 1024;

/// A tile never changes, and one of a smaller tree is as good as it was.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

const PART: usize = 64 * 1024;

/// The newest checkpoint.
pub(super) async fn checkpoint(State(site): State<Arc<Site>>, Path(campaign): Path<String>) -> Answer {
    let Some(hosted) = hosted(&site, &campaign) else { return unknown_campaign() };
    match hosted.checkpoints.newest() {
        Some(note) => content("text/plain; charset=utf-8", "public, max-age=2", note),
        None => plain(StatusCode::NOT_FOUND, "there is no checkpoint yet"),
    }
}

/// The newest checkpoint that as many witnesses have signed as the campaign's manifest wants.
pub(super) async fn witnessed(State(site): State<Arc<Site>>, Path(campaign): Path<String>) -> Answer {
    let Some(hosted) = hosted(&site, &campaign) else { return unknown_campaign() };
    match hosted.checkpoints.witnessed() {
        Some((_size, note)) => content("text/plain; charset=utf-8", "public, max-age=2", note),
        None => plain(StatusCode::NOT_FOUND, "no checkpoint has the signatures that the campaign wants"),
    }
}

/// A tile or a bundle of entries.
pub(super) async fn tile(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    Path((campaign, path)): Path<(String, String)>,
) -> Answer {
    let Some(hosted) = hosted(&site, &campaign) else { return unknown_campaign() };
    let Ok(path) = format!("tile/{path}").parse::<TilePath>() else {
        return plain(StatusCode::BAD_REQUEST, "not a tile's path");
    };
    let Some(place) = site.tiles.wait(network(client.address), GRACE).await else {
        let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "too many tiles are on their way: ask again");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return answer;
    };
    let tile = match hosted.checkpoints.tile(path).await {
        Ok(Some(tile)) => Bytes::from(tile),
        Ok(None) => return plain(StatusCode::NOT_FOUND, "the tree does not have this tile"),
        Err(error) => return failed(&error),
    };
    let length = HeaderValue::from(tile.len());
    let parts = stream::unfold((tile, place), async |(mut rest, place)| {
        let part = rest.split_to(rest.len().min(PART));
        (!part.is_empty()).then_some((Ok::<_, Infallible>(part), (rest, place)))
    });
    let mut answer = content("application/octet-stream", FOR_EVER, Body::from_stream(parts));
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}

/// Takes a witness's signature: the newest checkpoint with it.
pub(super) async fn cosign(
    State(site): State<Arc<Site>>,
    Path(campaign): Path<String>,
    note: Bytes,
) -> Answer {
    let Some(hosted) = hosted(&site, &campaign) else { return unknown_campaign() };
    if hosted.leader.is_some() {
        return plain(StatusCode::FORBIDDEN, "another relay orders the log: send it there");
    }
    match hosted.checkpoints.cosign(&note) {
        Ok(()) => plain(StatusCode::OK, "taken"),
        Err(error) => {
            let status = match error {
                CosignError::Stranger => StatusCode::FORBIDDEN,
                CosignError::Outdated => StatusCode::CONFLICT,
                CosignError::Wrong(_) => StatusCode::BAD_REQUEST,
            };
            plain(status, error.to_string())
        }
    }
}

fn hosted(site: &Site, campaign: &str) -> Option<Arc<Hosted>> {
    site.campaigns.get(campaign.parse().ok()?)
}
