//! Blobs over HTTP, from the disk in parts.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, Response, StatusCode};
use futures::{StreamExt, stream};
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

/// A blob that has a place to be sent.
pub(super) struct Opened {
    reader: BlobReader,
    place: Place,
}

/// Why a blob is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    #[error("not held here")]
    NotHeld,
    #[error("too many blobs are on their way: ask again")]
    Busy,
    #[error(transparent)]
    Store(StoreError),
}

/// The blob that the path names.
pub(super) async fn blob(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    Path(cid): Path<String>,
) -> Answer {
    let Ok(cid) = cid.parse::<Cid>() else { return plain(StatusCode::BAD_REQUEST, "not a content id") };
    let opened = match Opened::open(&site, client, &cid).await {
        Ok(opened) => opened,
        Err(unsent) => return unsent.answer(),
    };
    let mut answer = opened.answer(Vec::new());
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer
}

impl Opened {
    /// Waits for a place and opens a blob. The place comes first: nothing of the blob is in memory before.
    pub(super) async fn open(site: &Site, client: Client, cid: &Cid) -> Result<Self, Unsent> {
        let place = site.downloads.wait(network(client.address), GRACE).await.ok_or(Unsent::Busy)?;
        let reader = site.hub.blob(cid).await.map_err(Unsent::Store)?.ok_or(Unsent::NotHeld)?;
        Ok(Self { reader, place })
    }

    /// Number of the blob's bytes.
    pub(super) fn length(&self) -> u64 {
        self.reader.length()
    }

    /// Sends these bytes, then the blob part after part. One that turns out to be damaged breaks off before its end.
    pub(super) fn answer(self, before: Vec<u8>) -> Answer {
        let Self { reader, place } = self;
        let length = reader.length().saturating_add(before.len() as u64);
        let parts = stream::try_unfold((reader, place), |(mut reader, place)| async move {
            let part =
                reader.next().await.inspect_err(|error| tracing::error!(%error, "a blob cannot be sent"))?;
            Ok::<_, StoreError>(part.map(|part| (Bytes::from(part), (reader, place))))
        });
        let before = (!before.is_empty()).then(|| Ok(Bytes::from(before)));
        let mut answer = Response::new(Body::from_stream(stream::iter(before).chain(parts)));
        answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        answer
    }
}

impl Unsent {
    /// The answer that says so.
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::NotHeld => plain(StatusCode::NOT_FOUND, self.to_string()),
            Self::Busy => {
                let mut answer = plain(StatusCode::SERVICE_UNAVAILABLE, self.to_string());
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
                answer
            }
            Self::Store(error) => failed(error),
        }
    }
}
