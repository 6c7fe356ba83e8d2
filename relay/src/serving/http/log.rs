//! The log over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderValue, StatusCode};
use futures::stream;
use serde::Deserialize;

use super::{Answer, DAG_CBOR, Site, content, failed, unknown_campaign};
use crate::hosting::Page;
use crate::serving::page::plain;

/// Longest time that an answer with records is held back.
const MAX_WAIT: Duration = Duration::from_secs(20);

/// What records are asked for.
#[derive(Deserialize)]
pub(super) struct LogQuery {
    #[serde(default)]
    from: u64,
    #[serde(default = "LogQuery::default_limit")]
    limit: u32,
    /// Seconds that the answer may be held back while there is nothing from there on.
    #[serde(default)]
    wait: u32,
}

impl LogQuery {
    const fn default_limit() -> u32 {
        u32::MAX
    }
}

/// Records of the log that the path names.
pub(super) async fn log(
    State(site): State<Arc<Site>>,
    Path(campaign): Path<String>,
    Query(query): Query<LogQuery>,
) -> Answer {
    let Ok(campaign) = campaign.parse() else {
        return plain(StatusCode::BAD_REQUEST, "not a campaign's id");
    };
    let Some(hosted) = site.campaigns.get(campaign) else { return unknown_campaign() };
    if query.wait > 0 {
        let wait = Duration::from_secs(query.wait.into()).min(MAX_WAIT);
        site.hub.grown_beyond(&hosted, query.from, wait).await;
    }
    match site.hub.read_log(&hosted, query.from, query.limit).await {
        Ok(page) => answer(&page),
        Err(error) => failed(&error),
    }
}

/// The records are not copied: everybody who reads them slowly holds the same ones.
fn answer(page: &Page) -> Answer {
    let parts = [Bytes::from(page.begin()), page.records().clone()];
    let length: usize = parts.iter().map(Bytes::len).sum();
    let body = Body::from_stream(stream::iter(parts.map(Ok::<_, Infallible>)));
    let mut answer = content(DAG_CBOR, "no-store", body);
    answer.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    answer
}
