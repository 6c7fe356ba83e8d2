//! Where a hub is dialled: an address that ends in a peer id, and those that are tried after it.

use std::collections::VecDeque;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

use crate::{MAX_ADDRESS, MAX_ADDRESSES};

/// A hub's addresses.
#[derive(Clone)]
pub(super) struct Target {
    /// The address to dial, as it was given.
    pub(super) text: String,
    pub(super) address: Multiaddr,
    pub(super) peer: PeerId,
    /// What is tried after it, in this order.
    next: VecDeque<(String, Multiaddr, PeerId)>,
}

impl Target {
    /// The addresses among these that can be dialled; none where the first cannot.
    pub(super) fn parse(text: String, also: Vec<String>) -> Option<Self> {
        let (text, address, peer) = parse(text)?;
        let next = also.into_iter().take(MAX_ADDRESSES).filter_map(parse).collect();
        Some(Self { text, address, peer, next })
    }

    /// Whether there is no other address to try.
    pub(super) fn is_only(&self) -> bool {
        self.next.is_empty()
    }

    /// Goes on to the next address; the one before has its turn again after all others.
    pub(super) fn turn(&mut self) {
        let Some((text, address, peer)) = self.next.pop_front() else { return };
        let text = std::mem::replace(&mut self.text, text);
        let address = std::mem::replace(&mut self.address, address);
        let peer = std::mem::replace(&mut self.peer, peer);
        self.next.push_back((text, address, peer));
    }
}

/// A multiaddress that ends in a peer id.
fn parse(text: String) -> Option<(String, Multiaddr, PeerId)> {
    if text.len() > MAX_ADDRESS {
        return None;
    }
    let address: Multiaddr = text.parse().ok()?;
    match address.iter().last()? {
        Protocol::P2p(peer) => Some((text, address, peer)),
        _ => None,
    }
}
