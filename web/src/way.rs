//! The way to the relay where the page came by one that the relay does not see: through a proxy that takes a path off, or
//! that speaks TLS and does not say so.
//!
//! The relay names itself as its request came, by host and port. The page knows how it came itself.

/// How the page was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The host, an IPv6 address in brackets.
    pub(crate) host: String,
    /// The port, also where it is the scheme's usual one.
    pub(crate) port: u16,
    /// Whether by https.
    pub(crate) is_tls: bool,
    /// The path up to its last slash.
    pub(crate) path: String,
}

impl Place {
    /// From the parts of a location, as browsers name them.
    pub(crate) fn new(protocol: &str, host: &str, port: &str, path: &str) -> Self {
        let is_tls = protocol == "https:";
        let usual = if is_tls { 443 } else { 80 };
        let folder = path.rsplit_once('/').map_or("", |(folder, _file)| folder);
        Self {
            host: host.to_ascii_lowercase(),
            port: port.parse().unwrap_or(usual),
            is_tls,
            path: format!("{folder}/"),
        }
    }

    /// A relay's address with the page's own port, scheme and path, where it names the page's host and port, or a way
    /// without TLS from a page with it, which browsers refuse. Any other address stays what it is.
    pub(crate) fn lead(&self, address: &str) -> String {
        self.own_way(address).unwrap_or_else(|| address.to_owned())
    }

    fn own_way(&self, address: &str) -> Option<String> {
        let mut parts = address.split('/').skip(1);
        let (kind, host) = (parts.next()?, parts.next()?);
        let is_host = matches!(kind, "dns" | "dns4" | "dns6" | "ip4" | "ip6");
        let same_host = host.eq_ignore_ascii_case(self.host.trim_start_matches('[').trim_end_matches(']'));
        if !is_host || !same_host || parts.next()? != "tcp" {
            return None;
        }
        let port: u16 = parts.next()?.parse().ok()?;
        let mut parts = parts.peekable();
        let has_tls = parts.next_if_eq(&"tls").is_some();
        let is_tls = match parts.next()? {
            "wss" => true,
            "ws" => has_tls,
            // It names a path already.
            _ => return None,
        };
        let is_refused = self.is_tls && !is_tls;
        if !is_refused && (port != self.port || is_tls != self.is_tls) {
            return None;
        }
        let tls = if self.is_tls { "/tls" } else { "" };
        let socket = match self.path.as_str() {
            "/" => "ws".to_owned(),
            path => format!("x-parity-ws/{}", escaped(path)),
        };
        let rest: String = parts.map(|part| format!("/{part}")).collect();
        Some(format!("/{kind}/{host}/tcp/{}{tls}/{socket}{rest}", self.port))
    }
}

/// A path as one part of an address.
fn escaped(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    path.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(page: (&str, &str, &str, &str), address: &str) -> String {
        let (protocol, host, port, path) = page;
        Place::new(protocol, host, port, path).lead(address)
    }

    #[test]
    fn a_page_at_the_root_of_its_relay_goes_where_the_relay_says() {
        for address in ["/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3", "/ip4/127.0.0.1/tcp/8080/ws"] {
            assert_eq!(lead(("http:", "127.0.0.1", "8080", "/"), address), address);
            assert_eq!(lead(("http:", "127.0.0.1", "8080", "/index.html"), address), address);
        }
        assert_eq!(lead(("http:", "[::1]", "8080", "/"), "/ip6/::1/tcp/8080/ws"), "/ip6/::1/tcp/8080/ws");
    }

    #[test]
    fn a_page_below_a_path_takes_it_along() {
        let page = ("https:", "example.org", "", "/lichen/");
        for address in [
            "/dns/example.org/tcp/443/tls/ws/p2p/12D3",
            "/dns/example.org/tcp/443/wss/p2p/12D3",
            "/dns4/Example.org/tcp/443/tls/ws/p2p/12D3",
        ] {
            let led = lead(page, address);
            assert!(led.ends_with("/tcp/443/tls/x-parity-ws/%2Flichen%2F/p2p/12D3"), "{led}");
        }
        assert_eq!(
            lead(("http:", "127.0.0.1", "9000", "/a%20b/c/index.html"), "/ip4/127.0.0.1/tcp/9000/ws"),
            "/ip4/127.0.0.1/tcp/9000/x-parity-ws/%2Fa%2520b%2Fc%2F"
        );
    }

    #[test]
    fn a_proxy_that_does_not_speak_of_its_tls_is_taken_for_what_it_is() {
        let page = ("https:", "example.org", "", "/");
        assert_eq!(
            lead(page, "/dns/example.org/tcp/80/ws/p2p/12D3"),
            "/dns/example.org/tcp/443/tls/ws/p2p/12D3"
        );
        let page = ("https:", "example.org", "8443", "/x/");
        assert_eq!(
            lead(page, "/dns/example.org/tcp/8443/ws"),
            "/dns/example.org/tcp/8443/tls/x-parity-ws/%2Fx%2F"
        );
    }

    #[test]
    fn what_the_operator_says_otherwise_stays() {
        let page = ("https:", "example.org", "", "/lichen/");
        for address in [
            "/dns/other.example.org/tcp/443/tls/ws/p2p/12D3",
            "/dns/example.org/tcp/4443/tls/ws/p2p/12D3",
            "/dns/example.org/tcp/443/tls/x-parity-ws/%2Felsewhere%2F/p2p/12D3",
            "/dns/example.org/udp/443/quic-v1",
            "the relay",
            "",
        ] {
            assert_eq!(lead(page, address), address);
        }
    }
}
