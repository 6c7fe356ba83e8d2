//! To whom datagrams are relayed: to the world and to other relayed addresses, and never into the relay's own network.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// Addresses that may be relayed to.
pub(crate) struct Peers {
    /// Where relayed sockets are bound, and the address that peers know them by.
    local: IpAddr,
    public: IpAddr,
    /// The ports of the relayed sockets.
    relayed: Mutex<HashSet<u16>>,
}

impl Peers {
    pub(crate) fn new(local: IpAddr, public: IpAddr) -> Self {
        Self { local, public, relayed: Mutex::default() }
    }

    /// Where a relayed socket is bound.
    pub(crate) const fn local(&self) -> IpAddr {
        self.local
    }

    /// The address by which peers know the relayed socket of this port.
    pub(crate) const fn announced(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.public, port)
    }

    pub(crate) fn add(&self, port: u16) {
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner).insert(port);
    }

    pub(crate) fn remove(&self, port: u16) {
        self.relayed.lock().unwrap_or_else(PoisonError::into_inner).remove(&port);
    }

    /// Where to send what is meant for this peer; nowhere, if it may not be sent to.
    pub(crate) fn route(&self, peer: SocketAddr) -> Option<SocketAddr> {
        if peer.port() == 0 {
            return None;
        }
        if peer.ip() == self.public || peer.ip() == self.local {
            // A relay behind a one-to-one NAT often cannot reach its own public address.
            let is_relayed =
                self.relayed.lock().unwrap_or_else(PoisonError::into_inner).contains(&peer.port());
            let is_loopback = self.local.is_loopback();
            let here = if self.local.is_unspecified() { self.public } else { self.local };
            return (is_relayed || is_loopback).then(|| SocketAddr::new(here, peer.port()));
        }
        let is_allowed = is_global(peer.ip()) || (self.local.is_loopback() && peer.ip().is_loopback());
        is_allowed.then_some(peer)
    }

    /// The address that clients know a sender by.
    pub(crate) fn sender(&self, from: SocketAddr) -> SocketAddr {
        if from.ip() == self.local { SocketAddr::new(self.public, from.port()) } else { from }
    }
}

/// Whether an address is in the world, rather than this machine's, its network's or nobody's.
fn is_global(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [one, two, three, _] = address.octets();
    let is_shared = one == 100 && (64..128).contains(&two);
    let is_protocol = (one, two, three) == (192, 0, 0);
    let is_benchmark = one == 198 && (two == 18 || two == 19);
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || is_shared
        || is_protocol
        || is_benchmark
        || one == 0
        || one >= 240)
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let [one, two, ..] = address.segments();
    // Of all of IPv6 only 2000::/3 is given out; 6to4 and NAT64 hide an IPv4 address.
    let is_unicast = one & 0xe000 == 0x2000;
    let is_documentation = (one, two) == (0x2001, 0xdb8) || one & 0xfff0 == 0x3ff0;
    let is_tunnel = one == 0x2002 || (one, two) == (0x2001, 0);
    is_unicast && !is_documentation && !is_tunnel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(peers: &Peers, peer: &str) -> Option<String> {
        peers.route(peer.parse().unwrap()).map(|to| to.to_string())
    }

    #[test]
    fn a_relay_in_the_world_reaches_the_world_and_no_network_of_its_own() {
        let peers = Peers::new("10.0.0.5".parse().unwrap(), "8.8.4.4".parse().unwrap());
        assert_eq!(route(&peers, "1.1.1.1:443").as_deref(), Some("1.1.1.1:443"));
        assert_eq!(route(&peers, "[2606:4700::1]:443").as_deref(), Some("[2606:4700::1]:443"));
        for peer in [
            "127.0.0.1:80",
            "10.0.0.1:22",
            "10.0.0.5:8080",
            "8.8.4.4:8080",
            "172.16.0.1:1",
            "192.168.1.1:1",
            "169.254.169.254:80",
            "100.64.0.1:1",
            "0.0.0.0:1",
            "224.0.0.1:1",
            "255.255.255.255:1",
            "192.0.2.1:1",
            "198.18.0.1:1",
            "240.0.0.1:1",
            "1.1.1.1:0",
            "[::1]:1",
            "[::]:1",
            "[fe80::1]:1",
            "[fc00::1]:1",
            "[ff02::1]:1",
            "[::ffff:127.0.0.1]:1",
            "[2002:7f00:1::]:1",
            "[64:ff9b::a00:1]:1",
        ] {
            assert_eq!(route(&peers, peer), None, "{peer}");
        }
    }

    #[test]
    fn relayed_addresses_reach_each_other_whatever_the_nat_does() {
        let peers = Peers::new("10.0.0.5".parse().unwrap(), "8.8.4.4".parse().unwrap());
        peers.add(50_000);
        assert_eq!(route(&peers, "8.8.4.4:50000").as_deref(), Some("10.0.0.5:50000"));
        assert_eq!(peers.sender("10.0.0.5:50000".parse().unwrap()), peers.announced(50_000));
        peers.remove(50_000);
        assert_eq!(route(&peers, "8.8.4.4:50000"), None);
    }

    #[test]
    fn on_the_loopback_address_it_stays_there() {
        let peers = Peers::new(Ipv4Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into());
        assert_eq!(route(&peers, "127.0.0.1:5").as_deref(), Some("127.0.0.1:5"));
        assert_eq!(route(&peers, "192.168.1.1:5"), None);
    }
}
