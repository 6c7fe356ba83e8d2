//! By which way a connection goes, told from its addresses.

use libp2p::Multiaddr;
use libp2p::core::ConnectedPoint;
use libp2p::multiaddr::Protocol;

use crate::Path;

/// The way of an address. What goes neither over a circuit nor directly to a tab goes to a hub.
pub(super) fn path_of(address: &Multiaddr) -> Path {
    let has = |wanted: Protocol<'_>| address.iter().any(|part| part == wanted);
    if has(Protocol::WebRTC) {
        Path::Direct
    } else if has(Protocol::P2pCircuit) {
        Path::Relayed
    } else {
        Path::Hub
    }
}

/// The way of an established connection.
pub(super) fn path(endpoint: &ConnectedPoint) -> Path {
    match endpoint {
        ConnectedPoint::Dialer { address, .. } => path_of(address),
        ConnectedPoint::Listener { local_addr, .. } => path_of(local_addr),
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_address_is_told_apart() {
        let relay = "/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
        let peer = "12D3KooWJWEKvSFbben74C7H4YtKjhPMTDxd7gP7zxWSUEeF27st";
        let of = |text: &str| path_of(&text.parse().unwrap());
        assert_eq!(of(relay), Path::Hub);
        assert_eq!(of(&format!("{relay}/p2p-circuit/p2p/{peer}")), Path::Relayed);
        assert_eq!(of(&format!("{relay}/p2p-circuit/webrtc/p2p/{peer}")), Path::Direct);
    }
}
