//! The page: files built by Trunk, in the program or in a folder, with the headers that keep them what they are.
//!
//! What follows from the bytes of a file in the program is computed once; a file in a folder is sent in parts ([`folder`]).
//! Answering that it is unchanged costs one look at the folder.

mod folder;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};

use folder::{Folder, Found};

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

const INDEX: &str = "index.html";

/// Compressed forms, best first: content coding and ending of the file beside the plain one.
const CODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

/// The page's files.
pub(crate) enum Page {
    Folder(Folder),
    Embedded(Embedded),
}

/// The files in this program.
#[derive(Default)]
pub(crate) struct Embedded {
    known: Mutex<HashMap<&'static str, Known>>,
}

/// What follows from a file's bytes.
#[derive(Clone)]
struct Known {
    bytes: &'static [u8],
    etag: HeaderValue,
    /// The hashes of the scripts written into it, where it is the page itself.
    scripts: Arc<[String]>,
}

/// A file to be sent.
enum File {
    InParts(Found),
    Whole(Known),
}

impl File {
    const fn etag(&self) -> &HeaderValue {
        match self {
            Self::InParts(found) => &found.etag,
            Self::Whole(known) => &known.etag,
        }
    }

    const fn length(&self) -> u64 {
        match self {
            Self::InParts(found) => found.length,
            Self::Whole(known) => known.bytes.len() as u64,
        }
    }

    fn body(self) -> Body {
        match self {
            Self::InParts(found) => found.body(),
            Self::Whole(known) => Body::from(Bytes::from_static(known.bytes)),
        }
    }
}

impl Page {
    /// The files of a folder, or those in this program.
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        match folder {
            Some(folder) => Self::Folder(Folder::new(folder)),
            None => Self::Embedded(Embedded::default()),
        }
    }

    /// Answers a request for a path below the root, without its leading slash.
    pub(crate) async fn answer(
        &self,
        path: &str,
        headers: &HeaderMap,
        origin: Option<&str>,
    ) -> Response<Body> {
        let path = if path.is_empty() { INDEX } else { path };
        let Some((file, coding)) = self.find(path, headers).await else {
            return if path == INDEX { not_built() } else { plain(StatusCode::NOT_FOUND, "not found") };
        };
        let is_same = headers.get(IF_NONE_MATCH) == Some(file.etag());
        let mut answer = Response::builder()
            .status(if is_same { StatusCode::NOT_MODIFIED } else { StatusCode::OK })
            .header(CONTENT_TYPE, content_type(path))
            .header(CACHE_CONTROL, cache_control(path))
            .header(VARY, ACCEPT_ENCODING)
            .header(ETAG, file.etag());
        if let Some(coding) = coding {
            answer = answer.header(CONTENT_ENCODING, coding);
        }
        if path == INDEX {
            answer = answer.header(CONTENT_SECURITY_POLICY, policy(&self.scripts().await, origin));
        }
        if !is_same {
            answer = answer.header(CONTENT_LENGTH, file.length());
        }
        let body = if is_same { Body::empty() } else { file.body() };
        answer.body(body).unwrap_or_else(|error| {
            tracing::error!(%error, path, "cannot answer");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "the relay failed")
        })
    }

    /// The file in the smallest form that the client takes, and the coding of that form.
    async fn find(&self, path: &str, headers: &HeaderMap) -> Option<(File, Option<&'static str>)> {
        // The plain form decides whether there is such a file: compressed ones are none of their own.
        let is_compressed = CODINGS.iter().any(|(_, ending)| path.ends_with(&format!(".{ending}")));
        if is_compressed {
            return None;
        }
        let plain = self.read(path).await?;
        for (coding, ending) in CODINGS {
            if accepts(headers, coding)
                && let Some(file) = self.read(&format!("{path}.{ending}")).await
            {
                return Some((file, Some(coding)));
            }
        }
        Some((plain, None))
    }

    async fn read(&self, path: &str) -> Option<File> {
        match self {
            Self::Folder(folder) => folder.find(path).await.map(File::InParts),
            Self::Embedded(embedded) => embedded.find(path).map(File::Whole),
        }
    }

    async fn scripts(&self) -> Arc<[String]> {
        match self {
            Self::Folder(folder) => folder.scripts().await,
            Self::Embedded(embedded) => embedded.find(INDEX).map(|plain| plain.scripts).unwrap_or_default(),
        }
    }
}

impl Embedded {
    fn find(&self, path: &str) -> Option<Known> {
        let at = embedded::FILES.binary_search_by_key(&path, |(name, _)| name).ok()?;
        let (name, bytes) = *embedded::FILES.get(at)?;
        // Each change leaves the map whole, whatever happened to another thread.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(name) {
            return Some(known.clone());
        }
        let etag = HeaderValue::try_from(format!("\"{}\"", BASE64.encode(Sha256::digest(bytes)))).ok()?;
        let scripts = if name == INDEX { inline_scripts(bytes) } else { Vec::new() };
        let file = Known { bytes, etag, scripts: scripts.into() };
        known.insert(name, file.clone());
        Some(file)
    }
}

/// What may run and load on any answer: scripts of our own by their hashes, everything else from here alone.
/// `origin` is where the page's sockets go besides the page's own address: one source, or several with spaces between.
pub(crate) fn policy(script_hashes: &[String], origin: Option<&str>) -> String {
    let scripts: String = script_hashes.iter().map(|hash| format!(" 'sha256-{hash}'")).collect();
    let origin = origin.map(|origin| format!(" {origin}")).unwrap_or_default();
    format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'{scripts}; connect-src 'self'{origin}; \
         worker-src 'self'; style-src 'self'; img-src 'self' data:; manifest-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'"
    )
}

/// The hashes (sha-256, base64) of the scripts written into the page: Trunk writes one that starts the program.
fn inline_scripts(html: &[u8]) -> Vec<String> {
    let Ok(html) = std::str::from_utf8(html) else { return Vec::new() };
    let mut hashes = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("<script") {
        let Some((attributes, after)) = after.split_once('>') else { break };
        let Some((script, after)) = after.split_once("</script>") else { break };
        if !attributes.contains("src=") {
            hashes.push(BASE64.encode(Sha256::digest(script)));
        }
        rest = after;
    }
    hashes
}

/// Whether the client takes this content coding (RFC 9110, 12.5.3), `q=0` meaning that it does not.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| {
        let (name, quality) = item.split_once(';').unwrap_or((item, ""));
        let weight = quality.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case(coding) && weight.is_ok_and(|weight| weight > 0.0)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("wasm") => "application/wasm",
        Some("css") => "text/css; charset=utf-8",
        Some("json" | "webmanifest") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// For ever where the name holds a hash of the content, else to be asked for again each time.
fn cache_control(path: &str) -> &'static str {
    if has_hash(path) { "public, max-age=31536000, immutable" } else { "no-cache" }
}

/// Whether Trunk put a hash into the name: at least 12 hexadecimal digits by themselves.
fn has_hash(path: &str) -> bool {
    let is_hash = |part: &str| part.len() >= 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    path.split(['-', '_', '.', '/']).any(is_hash)
}

pub(crate) fn plain(status: StatusCode, text: impl Into<Body>) -> Response<Body> {
    let mut answer = Response::new(text.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

fn not_built() -> Response<Body> {
    let mut answer = Response::new(Body::from(include_str!("not_built.html")));
    *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn inline_scripts_are_hashed_and_others_are_not() {
        let html = b"<script src=\"/a.js\"></script><script type=\"module\">start()</script>";
        assert_eq!(inline_scripts(html), [BASE64.encode(Sha256::digest(b"start()"))]);
        assert!(inline_scripts(b"<script type=module>never ends").is_empty());
        assert!(inline_scripts(b"\xff<script>x</script>").is_empty());
    }

    #[test]
    fn encodings_are_chosen_by_the_client() {
        assert!(accepts(&takes("gzip, deflate, br"), "br"));
        assert!(accepts(&takes("gzip;q=0.5"), "gzip"));
        assert!(!accepts(&takes("br;q=0, gzip"), "br"));
        assert!(!accepts(&takes("brotli"), "br"));
        assert!(!accepts(&HeaderMap::new(), "gzip"));
    }

    #[test]
    fn only_hashed_names_are_kept_for_ever() {
        assert!(has_hash("lichen-web-3f2a9c0d11e2b4c5.js"));
        assert!(has_hash("3f2a9c0d11e2b4c5-start.mjs"));
        assert!(has_hash("lichen-web-3f2a9c0d11e2b4c5_bg.wasm"));
        assert!(!has_hash("index.html"));
        assert!(!has_hash("lichen-worker_bg.wasm"));
        assert!(!has_hash("lichen-worker.js"));
    }

    #[test]
    fn embedded_files_are_found_by_name() {
        let files = Embedded::default();
        assert!(embedded::FILES.is_sorted_by_key(|(name, _)| *name));
        for (name, bytes) in embedded::FILES {
            assert_eq!(files.find(name).map(|known| known.bytes), Some(*bytes));
        }
        assert!(files.find("no such file").is_none());
    }
}
