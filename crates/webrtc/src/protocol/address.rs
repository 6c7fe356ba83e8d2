//! The multiaddresses of the transport: `<relayed address>/webrtc/p2p/<peer>`.

use alloc::vec::Vec;

use libp2p_core::Multiaddr;
use libp2p_core::multiaddr::Protocol;
use libp2p_identity::PeerId;
use thiserror::Error;

/// A peer that is reached by signalling over a circuit through a relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebRtcAddress {
    /// The circuit to dial for signalling: `<relay>/p2p-circuit/p2p/<peer>`.
    pub circuit: Multiaddr,
    /// The remote peer.
    pub peer: PeerId,
}

/// Why a multiaddress is not one of this transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It has no `/webrtc` part: another transport's address.
    #[error("not a /webrtc address")]
    NotWebRtc,
    /// It has `/webrtc` in the wrong place, or no circuit before it.
    #[error("a /webrtc address needs a relayed address before it and /p2p/<peer> after it")]
    Malformed,
}

impl WebRtcAddress {
    /// Reads `<relay>/p2p-circuit/webrtc/p2p/<peer>`.
    ///
    /// # Errors
    /// [`AddressError::NotWebRtc`] for addresses of other transports, so that the next one may try.
    pub fn parse(address: &Multiaddr) -> Result<Self, AddressError> {
        let parts: Vec<Protocol<'_>> = address.iter().collect();
        if !parts.contains(&Protocol::WebRTC) {
            return Err(AddressError::NotWebRtc);
        }
        let [relay @ .., Protocol::P2pCircuit, Protocol::WebRTC, Protocol::P2p(peer)] = parts.as_slice()
        else {
            return Err(AddressError::Malformed);
        };
        let relay_is_named = matches!(relay.last(), Some(Protocol::P2p(_)));
        if !relay_is_named || relay.contains(&Protocol::P2pCircuit) || relay.contains(&Protocol::WebRTC) {
            return Err(AddressError::Malformed);
        }
        let circuit = relay.iter().cloned().chain([Protocol::P2pCircuit, Protocol::P2p(*peer)]).collect();
        Ok(Self { circuit, peer: *peer })
    }

    /// The address to announce for a peer that holds a reservation at `relay` (`…/p2p/<relay>`).
    #[must_use]
    pub fn announced(relay: &Multiaddr, peer: PeerId) -> Multiaddr {
        relay.clone().with(Protocol::P2pCircuit).with(Protocol::WebRTC).with(Protocol::P2p(peer))
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use alloc::format;

    const RELAY: &str = "/ip4/127.0.0.1/tcp/8080/ws/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    const PEER: &str = "12D3KooWJWEKvSFbben74C7H4YtKjhPMTDxd7gP7zxWSUEeF27st";

    fn parse(text: &str) -> Result<WebRtcAddress, AddressError> {
        WebRtcAddress::parse(&text.parse().unwrap())
    }

    #[test]
    fn an_announced_address_reads_back() {
        let peer: PeerId = PEER.parse().unwrap();
        let announced = WebRtcAddress::announced(&RELAY.parse().unwrap(), peer);
        assert_eq!(announced, format!("{RELAY}/p2p-circuit/webrtc/p2p/{PEER}").parse().unwrap());
        let address = WebRtcAddress::parse(&announced).unwrap();
        assert_eq!(address.peer, peer);
        assert_eq!(address.circuit, format!("{RELAY}/p2p-circuit/p2p/{PEER}").parse().unwrap());
    }

    #[test]
    fn other_transports_addresses_are_left_to_them() {
        assert_eq!(parse(RELAY), Err(AddressError::NotWebRtc));
        assert_eq!(parse(&format!("{RELAY}/p2p-circuit/p2p/{PEER}")), Err(AddressError::NotWebRtc));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            format!("{RELAY}/webrtc/p2p/{PEER}"),
            format!("{RELAY}/p2p-circuit/webrtc"),
            format!("/p2p-circuit/webrtc/p2p/{PEER}"),
            format!("/ip4/127.0.0.1/tcp/1/ws/p2p-circuit/webrtc/p2p/{PEER}"),
            format!("{RELAY}/p2p-circuit/webrtc/webrtc/p2p/{PEER}"),
        ] {
            assert_eq!(parse(&text), Err(AddressError::Malformed), "{text}");
        }
    }
}
