//! How an address of a relay is written: as libp2p writes it, as a host in a URL, as the origin of a page.

use axum::http::uri::Authority;
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_net::swarm::libp2p::multiaddr::Protocol;

/// Where a browser goes for a multiaddress, as a source of the page's policy. A source cannot name an address of IP
/// version 6: there the scheme has to do, for browsers that do not count it as `'self'`.
pub(crate) fn socket_source(address: &Multiaddr) -> Option<String> {
    let (host, port, is_tls) = place(address)?;
    let scheme = if is_tls { "wss" } else { "ws" };
    match address.iter().next()? {
        Protocol::Ip6(_) => Some(format!("{scheme}:")),
        _ => Some(format!("{scheme}://{host}:{port}")),
    }
}

/// The origin of a page that comes from there, as browsers write it: without the usual port.
pub(crate) fn web_origin(address: &Multiaddr) -> Option<String> {
    match place(address)? {
        (host, 443, true) => Some(format!("https://{host}")),
        (host, 80, false) => Some(format!("http://{host}")),
        (host, port, is_tls) => Some(format!("{}://{host}:{port}", if is_tls { "https" } else { "http" })),
    }
}

/// Host, port, and whether TLS is spoken there.
fn place(address: &Multiaddr) -> Option<(String, u16, bool)> {
    let host = host(address)?;
    let mut parts = address.iter().skip(1);
    let Protocol::Tcp(port) = parts.next()? else { return None };
    let is_tls = parts.any(|part| matches!(part, Protocol::Tls | Protocol::Wss(_)));
    Some((host, port, is_tls))
}

/// The host of an address as it stands in a URL.
pub(crate) fn host(address: &Multiaddr) -> Option<String> {
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(ip.to_string()),
        Protocol::Ip6(ip) => Some(format!("[{ip}]")),
        Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) if is_name(&name) => {
            Some(name.into_owned())
        }
        _ => None,
    }
}

/// Whether this can be a host's name; nothing else may come into the page's policy.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

/// The WebSocket at an authority of a URL; none where that is no host's.
pub(crate) fn multiaddr(authority: &Authority, is_tls: bool) -> Option<Multiaddr> {
    let host = authority.host();
    let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = match bare.parse::<std::net::IpAddr>() {
        Ok(ip) => Multiaddr::from(ip),
        Err(_name) if is_name(bare) => Multiaddr::from(Protocol::Dns(bare.into())),
        Err(_neither) => return None,
    };
    Some(web_socket(address, port, is_tls))
}

/// A WebSocket on a port of a host.
pub(crate) fn web_socket(host: Multiaddr, port: u16, is_tls: bool) -> Multiaddr {
    let address = host.with(Protocol::Tcp(port));
    let address = if is_tls { address.with(Protocol::Tls) } else { address };
    address.with(Protocol::Ws("/".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_names_each_socket_in_a_way_that_it_may() {
        let source = |address: &str| socket_source(&address.parse().unwrap());
        assert_eq!(source("/ip4/127.0.0.1/tcp/8080/ws").unwrap(), "ws://127.0.0.1:8080");
        assert_eq!(source("/dns/example.org/tcp/443/tls/ws").unwrap(), "wss://example.org:443");
        assert_eq!(source("/ip6/::1/tcp/8080/ws").unwrap(), "ws:");
        assert_eq!(source("/ip6/::1/tcp/443/wss").unwrap(), "wss:");
    }

    fn address_of(host: &str, is_tls: bool) -> Option<String> {
        multiaddr(&host.parse().ok()?, is_tls).map(|address| address.to_string())
    }

    #[test]
    fn a_page_finds_the_relay_where_it_was_loaded_from() {
        assert_eq!(address_of("127.0.0.1:8080", false).unwrap(), "/ip4/127.0.0.1/tcp/8080/ws");
        assert_eq!(address_of("localhost:8080", false).unwrap(), "/dns/localhost/tcp/8080/ws");
        assert_eq!(address_of("[::1]:8080", false).unwrap(), "/ip6/::1/tcp/8080/ws");
        assert_eq!(address_of("relay.example.org", true).unwrap(), "/dns/relay.example.org/tcp/443/tls/ws");
        assert_eq!(address_of("[::1]", true).unwrap(), "/ip6/::1/tcp/443/tls/ws");
        assert_eq!(address_of("a/b", false), None);
        assert_eq!(address_of("a;b", false), None);
        let foreign: Multiaddr = "/dns/a; script-src */tcp/443/tls/ws".parse().unwrap();
        assert_eq!(socket_source(&foreign), None, "it would stand in the page's policy");
    }
}
