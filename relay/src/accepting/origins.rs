//! Whose pages may open the relay's WebSocket. A browser says in `Origin` whose page asks: without a look at it, any site
//! could have its visitors connect here. Programs that are no browsers send none, and need none.

use anyhow::{Result, bail};
use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use lichen_net::swarm::libp2p::Multiaddr;

use crate::address::web_origin;

/// Stands for every site.
const ANY: &str = "*";

/// The sites whose pages may connect, besides the relay's own under the name that it was asked by.
pub(crate) struct Origins {
    allowed: Vec<String>,
}

impl Origins {
    /// Those that the operator names, and the pages of the relays at these addresses: tabs go from one to the other.
    pub(crate) fn new<'a>(
        named: impl IntoIterator<Item = String>,
        relays: impl IntoIterator<Item = &'a Multiaddr>,
    ) -> Self {
        let relays = relays.into_iter().filter_map(web_origin);
        Self { allowed: named.into_iter().chain(relays).collect() }
    }

    /// Whether a request with these headers may open a WebSocket.
    pub(crate) fn allow(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN).iter();
        let Some(origin) = origins.next() else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        if origins.next().is_some() {
            return false;
        }
        let is_named = |allowed: &String| allowed == ANY || allowed.eq_ignore_ascii_case(origin);
        self.allowed.iter().any(is_named) || is_host(origin, headers)
    }
}

/// Whether the origin is the very host that the request was sent to.
fn is_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    let (Some(host), Ok(origin)) = (host, origin.parse::<Uri>()) else { return false };
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else { return false };
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        _ => return false,
    };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    host.host().eq_ignore_ascii_case(authority.host()) && port(&host) == port(authority)
}

/// The origin of the page at this address.
pub(crate) fn of_url(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    Some(format!("{}://{}", url.scheme_str()?, url.authority()?))
}

/// Reads an origin that an operator names: a site's address without a path, or `*` for all of them.
///
/// # Errors
/// If it is something else, which no browser would ever send.
pub(crate) fn parse(text: &str) -> Result<String> {
    if text == ANY {
        return Ok(text.to_owned());
    }
    let uri: Option<Uri> = text.parse().ok();
    let is_origin = uri.is_some_and(|uri| {
        let usual = match uri.scheme_str() {
            Some("https") => Some(443),
            Some("http") => Some(80),
            _ => None,
        };
        let port = uri.port_u16();
        // Browsers leave out the usual port.
        usual.is_some()
            && (port.is_none() || port != usual)
            && matches!(uri.path(), "" | "/")
            && !text.ends_with('/')
    });
    if is_origin && !text.contains(['?', '@', '#']) {
        return Ok(text.to_ascii_lowercase());
    }
    bail!("--allow-origin {text}: it is no site's address without a path, as in https://example.org")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asked(host: &str, origin: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        headers
    }

    #[test]
    fn the_own_page_and_programs_may_connect_and_others_may_not() {
        let public: Multiaddr = "/dns/public.example.org/tcp/443/tls/ws".parse().unwrap();
        let origins = Origins::new([parse("https://partner.example").unwrap()], [&public]);
        for (host, origin) in [
            ("localhost:8080", None),
            ("localhost:8080", Some("http://localhost:8080")),
            ("relay.example.org", Some("https://relay.example.org")),
            ("relay.example.org:443", Some("https://relay.example.org")),
            ("Relay.Example.org", Some("https://relay.example.org")),
            ("[::1]:8080", Some("http://[::1]:8080")),
            ("inner:8080", Some("https://public.example.org")),
            ("inner:8080", Some("https://partner.example")),
        ] {
            assert!(origins.allow(&asked(host, origin)), "{host} {origin:?}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://localhost:8081",
            "http://localhost",
            "ftp://localhost:8080",
            "https://partner.example.evil.example",
            "http://partner.example",
            "https://public.example.org:8443",
        ] {
            assert!(!origins.allow(&asked("localhost:8080", Some(origin))), "{origin}");
        }
        let mut twice = asked("localhost:8080", Some("http://localhost:8080"));
        twice.append(ORIGIN, HeaderValue::from_static("https://evil.example"));
        assert!(!origins.allow(&twice));
        assert!(Origins::new(["*".to_owned()], []).allow(&asked("a", Some("https://evil.example"))));
    }

    #[test]
    fn what_no_browser_sends_is_refused_at_the_start() {
        assert_eq!(parse("https://Example.org").unwrap(), "https://example.org");
        assert_eq!(parse("http://localhost:3000").unwrap(), "http://localhost:3000");
        for wrong in [
            "example.org",
            "https://example.org/",
            "https://a/b",
            "https://a:443",
            "null",
            "",
            "wss://a",
            "https://u@a",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
