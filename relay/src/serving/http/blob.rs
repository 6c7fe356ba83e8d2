//! Blobs over HTTP, from the disk in parts.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use futures::stream;
use lichen_record::Cid;
use lichen_store::{BlobReader, StoreError};

use super::{Answer, Site, failed};
use crate::accepting::proxies::Client;
use crate::fairness::pace::GRACE;
use crate::fairness::rates::network;
use crate::fairness::shares::Place;
use crate::serving::page::plain;

/// Blobs on their way at a time, in all and for one network. Each takes a few parts of memory.
pub(crate) const DOWNLOADS: usize = 256;
pub(crate) const DOWNLOADS_PER_NETWORK: usize = 64;

/// The blob that the path names.
pub(super) async fn blob(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    Path(cid): Path<String>,
) -> Answer {
    let Ok(cid) = cid.parse::<Cid>() else { return plain(StatusCode::BAD_REQUEST, "not a content id") };
    // The place first: nothing of the blob is in memory before.
    let Some(place) = site.downloads.wait(network(client.address), GRACE).await else {
        let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, "too many blobs are on their way: ask again");
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
        return answer;
    };
    match site.hub.blob(&cid).await {
        Ok(Some(reader)) => in_parts(reader, place),
        Ok(None) => plain(StatusCode::NOT_FOUND, "not held here"),
        Err(error) => failed(&error),
    }
}

/// Sends part after part. One that turns out to be damaged breaks off before its end.
fn in_parts(reader: BlobReader, place: Place) -> Answer {
    let length = HeaderValue::from(reader.length());
    let parts = stream::try_unfold((reader, place), |(mut reader, place)| async move {
        let part =
            reader.next().await.inspect_err(|error| tracing::error!(%error, "a blob cannot be sent"))?;
        Ok::<_, StoreError>(part.map(|part| (Bytes::from(part), (reader, place))))
    });
    let mut answer = Response::new(Body::from_stream(parts));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer
}
