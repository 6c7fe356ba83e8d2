//! Who is at the other end where a proxy stands between. What a proxy forwards about its client is believed of the
//! operator's own proxies alone: anybody else could write any address there, and have every limit count for others.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use axum::http::HeaderMap;

/// Where a proxy names the clients, the nearest one last, and how they came to it.
const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// A range of addresses, as in `10.0.0.0/8`; without a length it is one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    first: IpAddr,
    length: u8,
}

impl Range {
    fn contains(self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let host = u32::MAX.checked_shr(self.length.into()).unwrap_or(0);
                first.to_bits() | host == address.to_bits() | host
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let host = u128::MAX.checked_shr(self.length.into()).unwrap_or(0);
                first.to_bits() | host == address.to_bits() | host
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl FromStr for Range {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, length) =
            text.split_once('/').map_or((text, None), |(first, length)| (first, Some(length)));
        let first: IpAddr =
            first.parse().with_context(|| format!("{text}: it is no address or range, as in 10.0.0.0/8"))?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(longest), str::parse);
        match length {
            Ok(length) if length <= longest => Ok(Self { first, length }),
            _ => bail!("{text}: the length is a number from 0 to {longest}"),
        }
    }
}

/// The client of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Where it is, as far as that is known.
    pub(crate) address: IpAddr,
    /// Whether it speaks TLS, with us or with a proxy of the operator's.
    pub(crate) is_tls: bool,
}

/// The proxies that the operator runs.
#[derive(Default)]
pub(crate) struct Proxies {
    trusted: Vec<Range>,
    has_warned: AtomicBool,
}

impl Proxies {
    pub(crate) fn new(trusted: Vec<Range>) -> Self {
        Self { trusted, has_warned: AtomicBool::new(false) }
    }

    /// Whether what comes from there comes from one of the operator's proxies.
    pub(crate) fn is_one(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|range| range.contains(address))
    }

    /// The client of a request that came from this address with these headers, by TLS or not.
    pub(crate) fn client(&self, from: IpAddr, is_tls: bool, headers: &HeaderMap) -> Client {
        if self.is_one(from) {
            let is_tls = is_tls || last(headers, FORWARDED_PROTO) == Some("https");
            return Client { address: self.nearest_stranger(from, headers), is_tls };
        }
        if headers.contains_key(FORWARDED_PROTO) && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{from} forwards for others and is not believed: if it is a proxy of yours, add --trusted-proxy {from}"
            );
        }
        Client { address: from, is_tls }
    }

    /// Goes back from proxy to proxy, as long as each is the operator's, and gives the first that is not.
    fn nearest_stranger(&self, from: IpAddr, headers: &HeaderMap) -> IpAddr {
        let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let named: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut nearest = from;
        for name in named.into_iter().rev() {
            let Some(address) = parse_address(name) else { break };
            nearest = address;
            if !self.is_one(address) {
                break;
            }
        }
        nearest
    }
}

/// The last of a header's values, which the nearest proxy wrote.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    value.rsplit(',').next().map(str::trim)
}

/// An address, with or without a port.
fn parse_address(name: &str) -> Option<IpAddr> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some((inner, _port)) = name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let (address, _port) = name.split_once(':')?;
    address.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), axum::http::HeaderValue::from_str(value).unwrap())
        });
        pairs.fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn ranges_hold_what_they_say() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::10.1.1.1"),
        ] {
            let found: Range = range.parse().unwrap();
            assert!(found.contains(ip(inside)), "{range} {inside}");
            assert!(!found.contains(ip(outside)), "{range} {outside}");
        }
        assert!("0.0.0.0/0".parse::<Range>().unwrap().contains(ip("203.0.113.9")));
        for wrong in ["", "host", "10.0.0.0/33", "10.0.0.0/", "::/129", "10.0.0.0/-1", "10.0.0/8"] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_the_operators_proxies_are_believed() {
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()]);
        let client = |from: &str, pairs: &[(&str, &str)]| proxies.client(ip(from), false, &headers(pairs));
        let said = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        assert_eq!(client("10.1.1.1", &said), Client { address: ip("192.0.2.1"), is_tls: true });
        assert_eq!(client("203.0.113.9", &said), Client { address: ip("203.0.113.9"), is_tls: false });
        for (named, found) in [
            // What the client itself wrote stands before what the proxies wrote.
            ("198.51.100.1, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.2.2.2", "192.0.2.1"),
            ("192.0.2.1:5000, 10.2.2.2:99", "192.0.2.1"),
            ("[2001:db8::1]:5000", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("10.3.3.3, 10.2.2.2", "10.3.3.3"),
            ("192.0.2.1, nonsense, 10.2.2.2", "10.2.2.2"),
            ("unknown", "10.1.1.1"),
            ("", "10.1.1.1"),
        ] {
            assert_eq!(client("10.1.1.1", &[("x-forwarded-for", named)]).address, ip(found), "{named}");
        }
        let twice = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client("10.1.1.1", &twice).address, ip("192.0.2.1"));
        assert!(!client("10.1.1.1", &[("x-forwarded-proto", "https, http")]).is_tls);
    }
}
