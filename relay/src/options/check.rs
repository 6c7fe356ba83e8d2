//! Checks what an operator has set before anything begins: a value that could never work is refused with what would.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;

use anyhow::{Context, Result, bail};
use lichen_log::{KeyKind, VerifierKey};
use lichen_net::MAX_ADDRESS;
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_net::swarm::libp2p::multiaddr::Protocol;
use lichen_record::AccountId;

use super::Options;
use crate::address::host;
use crate::hosting::Operator;

/// Longest name and link of an operator, in characters.
const OPERATOR_NAME: usize = 120;
const OPERATOR_LINK: usize = 500;

/// What a part of the program may log at.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// The page's first file.
const INDEX: &str = "index.html";

/// Where to listen: an address or a name, and a port. Of a name's addresses the first of version 4 is taken, else the
/// first.
pub(super) fn listen(option: &str, text: &str) -> Result<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let form = "it has to be an address or a name, and a port: 127.0.0.1:8080, [::1]:8080, localhost:8080";
    let addresses = text.to_socket_addrs().with_context(|| format!("{option} {text}: {form}"))?;
    let addresses: Vec<SocketAddr> = addresses.collect();
    let first = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    first.copied().with_context(|| format!("{option} {text}: this name has no address"))
}

/// A number that has to be at least one, where it is set.
pub(super) fn at_least_one<T: PartialEq + Default + Copy>(option: &str, number: Option<T>) -> Result<()> {
    if number == Some(T::default()) {
        bail!("--{option} 0: it has to be at least 1, since with none the relay could not do its part");
    }
    Ok(())
}

/// A folder that the page can be served from.
pub(super) fn page(folder: &Path) -> Result<()> {
    if folder.join(INDEX).is_file() {
        return Ok(());
    }
    let is = if folder.is_dir() { "has no index.html" } else { "is no folder" };
    bail!(
        "--page {}: it {is}. Give the folder that `trunk build` has written, usually dist",
        folder.display()
    );
}

/// A filter of what to log. A lone word that is no level would be taken for the name of a part, and silence the rest.
pub(super) fn log_level(filter: &str) -> Result<()> {
    for directive in filter.split(',').map(str::trim) {
        let (name, level) = match directive.rsplit_once('=') {
            Some((name, level)) => (Some(name), level),
            None => (None, directive),
        };
        let is_level = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level));
        if !is_level || name.is_some_and(|name| name.trim().is_empty()) {
            bail!(
                "--log-level {filter}: {directive:?} is no level. Allowed are {}, or such for each part, as in \
                 info,libp2p_swarm=debug",
                LEVELS.join(", ")
            );
        }
    }
    Ok(())
}

/// An address that tabs can go to.
pub(super) fn address(option: &str, text: &str) -> Result<Multiaddr> {
    let form = "a browser goes to a WebSocket alone, as in /dns/example.org/tcp/443/tls/ws";
    let address: Multiaddr =
        text.parse().with_context(|| format!("{option} {text}: it is no multiaddress; {form}"))?;
    if text.len() > MAX_ADDRESS {
        bail!("{option}: tabs read at most {MAX_ADDRESS} bytes of an address");
    }
    if !is_web_socket(&address) {
        bail!("{option} {text}: tabs cannot go there; {form}");
    }
    Ok(address)
}

/// This relay's own address, which the peer id is added to.
pub(super) fn own_address(option: &str, text: &str) -> Result<Multiaddr> {
    let address = address(option, text)?;
    if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
        bail!("{option} {text}: leave /p2p/… out, the relay adds its own peer id");
    }
    Ok(address)
}

fn is_web_socket(address: &Multiaddr) -> bool {
    if host(address).is_none() {
        return false;
    }
    let mut parts = address.iter().skip(1).peekable();
    let has_port = matches!(parts.next(), Some(Protocol::Tcp(port)) if port != 0);
    let is_tls = parts.next_if(|part| matches!(part, Protocol::Tls)).is_some();
    let is_socket = match parts.next() {
        Some(Protocol::Ws(_)) => true,
        Some(Protocol::Wss(_)) => !is_tls,
        _ => false,
    };
    has_port && is_socket && matches!((parts.next(), parts.next()), (None | Some(Protocol::P2p(_)), None))
}

/// The page of another relay.
pub(super) fn leader(url: &str) -> Result<()> {
    let uri: axum::http::Uri = url.parse().with_context(|| format!("--follow {url}: it is no URL"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.authority().is_some() && uri.query().is_none() => Ok(()),
        _ => bail!("--follow {url}: it is neither https://host nor http://host:port"),
    }
}

/// A STUN server. A browser throws away the whole list for one faulty URL in it.
pub(super) fn ice_server(url: &str) -> Result<()> {
    let server = ["stun:", "stuns:"].iter().find_map(|scheme| url.strip_prefix(scheme));
    let is_usable = |server: &str| {
        let name = match server.rsplit_once(':') {
            Some((name, port)) if !server.ends_with(']') => {
                if port.parse::<u16>().map_or(true, |port| port == 0) {
                    return false;
                }
                name
            }
            _ => server,
        };
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = address.is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
        !name.is_empty() && (is_plain || is_address)
    };
    if url.len() > 255 || !server.is_some_and(is_usable) {
        bail!("--ice-server {url}: it is no stun:host:port (servers with passwords cannot be given here)");
    }
    Ok(())
}

/// A file that can be read, so that the relay does not start without it.
pub(super) fn file(option: &str, file: &Path) -> Result<()> {
    std::fs::File::open(file).with_context(|| format!("{option} {}: it cannot be read", file.display()))?;
    if file.is_dir() {
        bail!("{option} {}: it is a folder, not a file", file.display());
    }
    Ok(())
}

/// Refuses files and folders that are not there, and what cannot be logged.
pub(super) fn files(options: &Options) -> Result<()> {
    if let Some(folder) = &options.page {
        page(folder)?;
    }
    if let Some(filter) = &options.log_level {
        log_level(filter)?;
    }
    if let Some(folder) = &options.campaigns
        && !folder.is_dir()
    {
        bail!("--campaigns {}: it is no folder", folder.display());
    }
    for folder in &options.campaign {
        file("--campaign", &folder.join("campaign.toml"))?;
    }
    let files = [("--tls-certificate", &options.tls_certificate), ("--tls-key", &options.tls_key)];
    for (option, path) in files {
        if let Some(path) = path {
            file(option, path)?;
        }
    }
    Ok(())
}

/// Refuses limits that let nothing through. Those on reservations and circuits may: then there is no mesh by this relay.
pub(super) fn numbers(options: &Options) -> Result<()> {
    let narrow = [
        ("stun-per-minute", options.stun_per_minute),
        ("turn-bytes-per-second", options.turn_bytes_per_second),
        ("turn-passwords-per-minute", options.turn_passwords_per_minute),
        ("circuit-seconds", options.circuit_seconds),
        ("circuit-requests-per-minute", options.circuit_requests_per_minute),
        ("entries-per-minute", options.entries_per_minute),
        ("entries-per-minute-per-address", options.entries_per_minute_per_address),
        ("blob-bytes-per-minute", options.blob_bytes_per_minute),
        ("pinned-bytes-per-minute", options.pinned_bytes_per_minute),
        ("unpinned-blob-minutes", options.unpinned_blob_minutes),
    ];
    let wide = [
        ("max-connections", options.max_connections),
        ("max-connections-per-address", options.max_connections_per_address),
        ("max-pending-connections", options.max_pending_connections),
        ("max-pending-connections-per-address", options.max_pending_connections_per_address),
        ("max-circuits-per-peer", options.max_circuits_per_peer),
        ("campaigns-per-publisher", options.campaigns_per_publisher),
        ("max-published-campaigns", options.max_published_campaigns),
        ("turn-allocations", options.turn_allocations),
        ("turn-allocations-per-address", options.turn_allocations_per_address),
    ];
    let bytes = [
        ("campaign-bytes", options.campaign_bytes),
        ("published-campaign-bytes", options.published_campaign_bytes),
    ];
    bytes.iter().try_for_each(|(name, number)| at_least_one(name, *number))?;
    narrow.iter().try_for_each(|(name, number)| at_least_one(name, *number))?;
    wide.iter().try_for_each(|(name, number)| at_least_one(name, *number))
}

/// Visitors read the name and follow the link: neither may be something else than it looks like.
pub(super) fn operator(name: Option<String>, link: Option<String>) -> Result<Option<Operator>> {
    let Some(name) = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()) else {
        if link.is_some() {
            bail!("--operator-link needs --operator-name");
        }
        return Ok(None);
    };
    if name.chars().count() > OPERATOR_NAME || name.chars().any(is_invisible) {
        bail!("--operator-name: use at most {OPERATOR_NAME} characters, all of them visible");
    }
    if let Some(link) = &link {
        let is_address = ["https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
        if !is_address || link.len() > OPERATOR_LINK || link.contains(|one: char| !one.is_ascii_graphic()) {
            bail!("--operator-link {link}: it is neither https://... nor mailto:...");
        }
    }
    Ok(Some(Operator { name, link }))
}

/// Characters that show nothing, or turn the direction of reading.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Who may publish: the accounts listed, and whether any other may.
pub(super) fn publishers(texts: &[String]) -> Result<(Vec<AccountId>, bool)> {
    let is_open = |text: &&String| *text == "open";
    let listed = texts.iter().filter(|text| !is_open(text)).map(|text| {
        text.parse()
            .with_context(|| format!("--publisher {text}: it has to be an account, did:key:..., or `open`"))
    });
    Ok((listed.collect::<Result<_>>()?, texts.iter().any(|text| is_open(&text))))
}

/// The key of a witness.
pub(super) fn witness(key: &str) -> Result<VerifierKey> {
    let key: VerifierKey = key.parse().with_context(|| format!("--witness {key}"))?;
    if key.kind() != KeyKind::Cosignature {
        bail!("--witness {key}: this is a log's key, not a witness's");
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_listens_at_addresses_and_names() {
        assert_eq!(listen("--listen", "[::1]:80").unwrap(), "[::1]:80".parse().unwrap());
        let local = listen("--listen", "localhost:8080").unwrap();
        assert!(local.ip().is_loopback() && local.port() == 8080, "{local}");
        for wrong in ["8080", "localhost", "::1", "[::1]", "127.0.0.1:99999", ""] {
            let error = format!("{:#}", listen("--listen", wrong).unwrap_err());
            assert!(error.contains("127.0.0.1:8080"), "{error}");
        }
    }

    #[test]
    fn a_level_is_one_of_six() {
        for right in
            ["info", "WARN", "off", "info,libp2p_swarm=debug", "error, lichen_relay::peers::hub=trace"]
        {
            log_level(right).unwrap();
        }
        for wrong in ["verbose", "", "info,", "info,libp2p", "a=loud", "=info", "3"] {
            let error = log_level(wrong).unwrap_err().to_string();
            assert!(error.contains("error, warn, info"), "{error}");
        }
    }

    #[test]
    fn a_page_is_a_folder_with_an_index() {
        let folder = tempfile::tempdir().unwrap();
        let error = page(&folder.path().join("none")).unwrap_err().to_string();
        assert!(error.contains("is no folder"), "{error}");
        let error = page(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no index.html"), "{error}");
        std::fs::write(folder.path().join(INDEX), "").unwrap();
        page(folder.path()).unwrap();
    }

    #[test]
    fn addresses_are_those_of_web_sockets() {
        for right in [
            "/dns/example.org/tcp/443/tls/ws",
            "/ip4/127.0.0.1/tcp/80/ws",
            "/ip6/::1/tcp/8080/ws",
            "/dns4/example.org/tcp/443/wss",
            "/dns/example.org/tcp/443/tls/x-parity-ws/%2Flichen%2F",
        ] {
            own_address("--public-address", right).unwrap();
        }
        let peer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let other = format!("/dns/example.org/tcp/443/tls/ws/p2p/{peer}");
        address("--also", &other).unwrap();
        assert!(own_address("--public-address", &other).unwrap_err().to_string().contains("/p2p"));
        for wrong in [
            "example.org",
            "wss://example.org",
            "/dns/example.org",
            "/dns/example.org/tcp/443",
            "/dns/example.org/tcp/0/ws",
            "/dns/example.org/udp/443/quic-v1",
            "/dns/a; script-src */tcp/443/tls/ws",
            "/dns/example.org/tcp/443/tls/wss",
            "/dns/example.org/tcp/443/tls/ws/p2p-circuit",
        ] {
            let error = format!("{:#}", address("--also", wrong).unwrap_err());
            assert!(error.contains("/dns/example.org/tcp/443/tls/ws"), "{error}");
        }
    }

    #[test]
    fn stun_servers_have_a_host() {
        for right in ["stun:example.org", "stun:example.org:3478", "stuns:[::1]:5349", "stun:[::1]"] {
            ice_server(right).unwrap();
        }
        for wrong in ["stun:", "stun::3478", "stun:a:b", "stun:a:0", "turn:a:1", "stun:a b", "stun:[x]:1"] {
            assert!(ice_server(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn leaders_are_pages() {
        leader("https://relay.example.org").unwrap();
        for wrong in ["relay.example.org", "ftp://relay.example.org", "https://a/?b", "https://"] {
            assert!(leader(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_operator_is_named_as_they_are_and_not_otherwise() {
        let named = |name: &str, link: Option<&str>| operator(Some(name.into()), link.map(Into::into));
        let operator_of =
            |name: &str, link: Option<&str>| Some(Operator { name: name.into(), link: link.map(Into::into) });
        assert_eq!(operator(None, None).unwrap(), None);
        assert_eq!(named(" ", None).unwrap(), None);
        assert_eq!(named("City school", None).unwrap(), operator_of("City school", None));
        for link in ["https://school.example/about", "mailto:it@school.example"] {
            assert_eq!(named("School", Some(link)).unwrap(), operator_of("School", Some(link)));
        }
        for link in ["http://school.example", "javascript:alert(1)", "https://a b", "school.example"] {
            assert!(named("School", Some(link)).is_err(), "{link}");
        }
        assert!(operator(None, Some("https://school.example".into())).is_err());
        assert!(named(&"x".repeat(121), None).is_err());
        assert!(named("School\u{202e}", None).is_err());
    }
}
