//! Who is connected, by which way.

use std::collections::BTreeMap;

use libp2p::PeerId;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::ConnectionId;

use super::route::path;
use crate::{Path, Peer};

/// Every connection, and what is shown of it.
#[derive(Default)]
pub(super) struct Peers(BTreeMap<ConnectionId, Connection>);

struct Connection {
    peer: PeerId,
    address: String,
    path: Path,
    dialled: bool,
    round_trip: Option<u32>,
}

impl Peers {
    pub(super) fn established(&mut self, id: ConnectionId, peer: PeerId, endpoint: &ConnectedPoint) {
        let connection = Connection {
            peer,
            address: endpoint.get_remote_address().to_string(),
            path: path(endpoint),
            dialled: endpoint.is_dialer(),
            round_trip: None,
        };
        self.0.insert(id, connection);
    }

    pub(super) fn closed(&mut self, id: ConnectionId) {
        self.0.remove(&id);
    }

    pub(super) fn measured(&mut self, id: ConnectionId, round_trip: u32) {
        if let Some(connection) = self.0.get_mut(&id) {
            connection.round_trip = Some(round_trip);
        }
    }

    /// The direct connection to a peer, if there is one.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn direct(&self, peer: &PeerId) -> Option<ConnectionId> {
        let direct = |connection: &&Connection| connection.peer == *peer && connection.path == Path::Direct;
        self.0.iter().find(|(_, connection)| direct(connection)).map(|(id, _)| *id)
    }

    /// One row per peer, by its best way, ordered by peer id; `moved` knows the bytes received and sent.
    pub(super) fn rows(&self, moved: impl Fn(&PeerId, Path) -> (u64, u64)) -> Vec<Peer> {
        let mut best: BTreeMap<PeerId, &Connection> = BTreeMap::new();
        for connection in self.0.values() {
            let known = best.entry(connection.peer).or_insert(connection);
            if rank(connection.path) < rank(known.path) {
                *known = connection;
            }
        }
        let row = |(peer, connection): (PeerId, &Connection)| {
            let (received, sent) = moved(&peer, connection.path);
            Peer {
                peer: peer.to_bytes(),
                address: connection.address.clone(),
                path: connection.path,
                round_trip: connection.round_trip,
                dialled: connection.dialled,
                received,
                sent,
            }
        };
        best.into_iter().map(row).collect()
    }
}

const fn rank(path: Path) -> u8 {
    match path {
        Path::Hub => 0,
        Path::Direct => 1,
        Path::Relayed => 2,
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;

    use super::*;

    fn dialled(address: &str) -> ConnectedPoint {
        ConnectedPoint::Dialer {
            address: address.parse().unwrap(),
            role_override: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        }
    }

    #[test]
    fn a_peer_is_shown_by_its_best_way() {
        let relay =
            "/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN/p2p-circuit";
        let peer = PeerId::random();
        let mut peers = Peers::default();
        let (circuit, direct) = (ConnectionId::new_unchecked(1), ConnectionId::new_unchecked(2));
        peers.established(circuit, peer, &dialled(&format!("{relay}/p2p/{peer}")));
        let path =
            |peers: &Peers| peers.rows(|_, _| (1, 2)).first().map(|row| (row.path, row.received, row.sent));
        assert_eq!(path(&peers), Some((Path::Relayed, 1, 2)));
        peers.established(direct, peer, &dialled(&format!("{relay}/webrtc/p2p/{peer}")));
        assert_eq!(path(&peers), Some((Path::Direct, 1, 2)));
        peers.closed(circuit);
        assert_eq!(path(&peers), Some((Path::Direct, 1, 2)));
        peers.closed(direct);
        assert_eq!(path(&peers), None);
    }
}
