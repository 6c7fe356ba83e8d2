//! Blobs for whoever speaks IPFS: the relay as a trustless gateway (specs.ipfs.tech/http-gateways/trustless-gateway).
//!
//! To IPFS, each blob is one block without links. So no graph is walked and no path leads anywhere below an id. Whoever asks
//! checks the bytes against the id, and a page of any site may ask.

mod car;
mod request;

use std::fmt::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, State};
use axum::http::header::{
    ACCEPT_RANGES, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use lichen_record::Cid;

use self::request::{Format, Named, Negotiated, Parameters, Unanswerable};
use super::blob::{Opened, Unsent};
use super::{Answer, Site};
use crate::accepting::proxies::Client;
use crate::serving::page::plain;

/// What an id names never changes.
const FOR_EVER: &str = "public, max-age=29030400, immutable";

/// Longest file's name that an answer suggests, in characters.
const MAX_NAME: usize = 100;

/// Why there is no block in the answer.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("not a content id")]
    Malformed,
    #[error("a parameter stands there twice, or cannot be read")]
    Parameters,
    #[error(transparent)]
    Unanswerable(#[from] Unanswerable),
    #[error("a block has no path below its id")]
    Path,
    #[error("a block is no service worker")]
    ServiceWorker,
    #[error("the blob has fewer bytes")]
    Beyond,
    #[error("not held here")]
    OnlyIfCached,
    #[error(transparent)]
    Unsent(#[from] Unsent),
}

/// The block that the path names, as it is or in an archive.
pub(super) async fn block(
    State(site): State<Arc<Site>>,
    Extension(client): Extension<Client>,
    Path(path): Path<String>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
) -> Answer {
    let answered = match parameters {
        Ok(Query(parameters)) => answer(&site, client, &path, &parameters, &headers).await,
        Err(_unreadable) => Err(Refused::Parameters),
    };
    let mut answer = answered.unwrap_or_else(|refused| refused.answer());
    allow_everybody(answer.headers_mut());
    answer
}

/// What a page of another site may ask.
pub(super) async fn options() -> Answer {
    let mut answer = Answer::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    allow_everybody(answer.headers_mut());
    answer
}

async fn answer(
    site: &Site,
    client: Client,
    path: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Answer, Refused> {
    let (id, below) = path.split_once('/').unwrap_or((path, ""));
    let named = Named::read(id).ok_or(Refused::Malformed)?;
    let negotiated = Negotiated::of(parameters, headers)?;
    if headers.get("service-worker").is_some_and(|value| value == "script") {
        return Err(Refused::ServiceWorker);
    }
    if !below.is_empty() {
        return Err(if negotiated.format == Format::Raw { Refused::Path } else { Unsent::NotHeld.into() });
    }
    let found = match named {
        Named::Blob(cid) => of_blob(site, client, &cid, &negotiated.format, headers).await,
        Named::Inline(cid) => Ok((cid.to_string(), inline(&cid, &negotiated.format))),
        Named::Foreign => Err(Unsent::NotHeld.into()),
    };
    let (cid, mut answer) = found.map_err(|refused| refused.where_only_cached(headers))?;
    describe(answer.headers_mut(), &cid, &negotiated, parameters.filename.as_deref());
    Ok(answer)
}

/// A blob's id and its answer, without what describes it.
async fn of_blob(
    site: &Site,
    client: Client,
    cid: &Cid,
    format: &Format,
    headers: &HeaderMap,
) -> Result<(String, Answer), Refused> {
    let text = cid.to_string();
    if is_known(headers, &etag(&text, format)) && site.hub.holds(cid).await.map_err(Unsent::Store)? {
        let mut answer = Answer::new(Body::empty());
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok((text, answer));
    }
    let opened = Opened::open(site, client, cid).await?;
    let before = match format {
        Format::Raw => Vec::new(),
        Format::Car(archive) if archive.is_beyond(opened.length()) => return Err(Refused::Beyond),
        Format::Car(_) => {
            let id = cid.to_bytes();
            [car::header(&id), car::before_block(&id, opened.length())].concat()
        }
    };
    Ok((text, opened.answer(before)))
}

/// Bytes that stand in the id, which an archive leaves out. `bafkqaaa`, which has none, is how clients find out whether this is
/// a gateway.
fn inline(cid: &::cid::Cid, format: &Format) -> Answer {
    let bytes = match format {
        Format::Raw => cid.hash().digest().to_vec(),
        Format::Car(_) => car::header(&cid.to_bytes()),
    };
    let length = HeaderValue::from(bytes.len());
    let mut answer = Answer::new(Body::from(bytes));
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    answer
}

/// Says what the bytes are, and for how long.
fn describe(headers: &mut HeaderMap, cid: &str, negotiated: &Negotiated, name: Option<&str>) {
    let Negotiated { format, is_in_address, depends_on_accept } = negotiated;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(FOR_EVER));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("none"));
    if *depends_on_accept {
        headers.insert(VARY, HeaderValue::from_static("accept"));
    }
    let name = name.map_or_else(|| format!("{cid}.{}", format.ending()), str::to_owned);
    let texts = [
        (ETAG, Some(etag(cid, format))),
        (CONTENT_DISPOSITION, Some(attachment(&name))),
        // Without a path it is right below every path that a proxy has the relay at.
        (CONTENT_LOCATION, (!is_in_address).then(|| format.query())),
        (HeaderName::from_static("x-ipfs-path"), Some(format!("/ipfs/{cid}"))),
        (HeaderName::from_static("x-ipfs-roots"), Some(cid.to_owned())),
    ];
    for (header, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(header, value);
        }
    }
}

fn allow_everybody(headers: &mut HeaderMap) {
    let fixed = [
        (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, OPTIONS"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "Content-Type, Range, User-Agent, X-Requested-With"),
        (
            ACCESS_CONTROL_EXPOSE_HEADERS,
            "Content-Length, Content-Location, Content-Range, Etag, X-Chunked-Output, X-Ipfs-Path, X-Ipfs-Roots, \
             X-Stream-Output",
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// What these bytes are known by: two forms of one block are not the same bytes.
fn etag(cid: &str, format: &Format) -> String {
    match format {
        Format::Raw => format!("\"{cid}.raw\""),
        Format::Car(_) => format!("\"{cid}.car{}\"", format.query()),
    }
}

/// Whether the client has it already (RFC 9110, 13.1.2).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut known = values.flat_map(|value| value.split(',')).map(str::trim);
    known.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag)
}

/// The `Content-Disposition` that has a browser save what it cannot show, by a name in ASCII and, where it has other letters, in
/// UTF-8.
fn attachment(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).collect();
    let is_plain = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\' | '/');
    let plain: String = name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
    let mut said = format!("attachment; filename=\"{plain}\"");
    if plain != name {
        said.push_str("; filename*=UTF-8''");
        for byte in name.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => said.push(byte.into()),
                // Writing to a string does not fail.
                _ => drop(write!(said, "%{byte:02X}")),
            }
        }
    }
    said
}

impl Refused {
    /// Whoever asks only for what is at hand is told so in another way.
    fn where_only_cached(self, headers: &HeaderMap) -> Self {
        let asked = headers.get(CACHE_CONTROL).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_asked = asked.split(',').any(|directive| directive.trim() == "only-if-cached");
        if is_asked && matches!(self, Self::Unsent(Unsent::NotHeld)) { Self::OnlyIfCached } else { self }
    }

    fn answer(&self) -> Answer {
        let status = match self {
            Self::Unsent(unsent) => return unsent.answer(),
            Self::Malformed | Self::Parameters | Self::Path | Self::ServiceWorker | Self::Beyond => {
                StatusCode::BAD_REQUEST
            }
            Self::Unanswerable(Unanswerable::Format | Unanswerable::Archive) => StatusCode::NOT_ACCEPTABLE,
            Self::Unanswerable(_) => StatusCode::BAD_REQUEST,
            Self::OnlyIfCached => StatusCode::PRECONDITION_FAILED,
        };
        plain(status, self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_the_name_that_is_wished_and_no_header_is_broken() {
        assert_eq!(attachment("a b.bin"), "attachment; filename=\"a b.bin\"");
        assert_eq!(
            attachment("té\"\r\n.pdf"),
            "attachment; filename=\"t____.pdf\"; filename*=UTF-8''t%C3%A9%22%0D%0A.pdf"
        );
        assert!(attachment(&"é".repeat(10_000)).len() < 1_000);
    }

    #[test]
    fn who_has_it_already_says_so_in_any_of_three_ways() {
        let asks =
            |value: &'static str| HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(value))]);
        for value in ["\"a.raw\"", "\"b\", \"a.raw\"", "W/\"a.raw\"", "*"] {
            assert!(is_known(&asks(value), "\"a.raw\""), "{value}");
        }
        assert!(
            !is_known(&asks("\"a.car\", a.raw"), "\"a.raw\"") && !is_known(&HeaderMap::new(), "\"a.raw\"")
        );
    }
}
