//! Takes what an organiser decides about a campaign under way. The entry's signature says whose it is, so that nobody has to be
//! known here.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use lichen_net::hub::Reason;
use lichen_record::MAX_ENVELOPE;

use super::{Answer, DAG_CBOR, Site, content, unknown_campaign};
use crate::accepting::proxies::Client;
use crate::fairness::rates::network;
use crate::serving::page::plain;

/// Most bytes of a signed entry.
pub(super) const MAX_DECISION: usize = MAX_ENVELOPE;

/// Takes a signed decision and answers with the log's signed receipt.
pub(super) async fn decide(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    Path(campaign): Path<String>,
    entry: Bytes,
) -> Answer {
    let hosted = campaign.parse().ok().and_then(|campaign| site.campaigns.get(campaign));
    let Some(hosted) = hosted else { return unknown_campaign() };
    match site.hub.decide(&hosted, network(client.address), &entry).await {
        Ok(receipt) => content(DAG_CBOR, "no-store", receipt),
        Err(reason) => plain(status(reason), reason.to_string()),
    }
}

const fn status(reason: Reason) -> StatusCode {
    match reason {
        Reason::Inadmissible(_) => StatusCode::CONFLICT,
        Reason::QuotaAddress | Reason::Crowded => StatusCode::TOO_MANY_REQUESTS,
        Reason::Following => StatusCode::FORBIDDEN,
        Reason::StoreFailing | Reason::Busy | Reason::Internal => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}
