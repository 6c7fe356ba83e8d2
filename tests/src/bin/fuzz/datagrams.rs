//! What the relay does with datagrams from anywhere: STUN with the relay's own code, TURN with the server that it gives
//! each client, which has an allocation here.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a target panics to report a finding")]

use std::cell::RefCell;
use std::net::SocketAddr;

use turn_server_proto::api::{Transmit, TurnServerApi, TurnServerPollRet};
use turn_server_proto::server::TurnServer;
use turn_server_proto::stun::Instant;
use turn_server_proto::types::TransportType;
use turn_server_proto::types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress,
};
use turn_server_proto::types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};
use turn_server_proto::types::prelude::DelayedTransmitBuild;
use turn_server_proto::types::stun::attribute::{Nonce, Realm, Username};
use turn_server_proto::types::stun::message::{
    BINDING, IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageWrite, MessageWriteExt,
    MessageWriteVec, Method,
};

use crate::targets::Target;

#[path = "../../../../relay/src/traversal/stun/answer.rs"]
mod answer;

/// Longest datagram that is relayed.
const MAX_DATAGRAM: usize = 2048;

/// A channel's number (RFC 8656, 12).
const CHANNEL: u16 = 0x4000;

const NAME: &str = "name";
const PASSWORD: &str = "password";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn client() -> SocketAddr {
    address("192.0.2.1:32853")
}

fn listen() -> SocketAddr {
    address("203.0.113.7:3479")
}

fn relayed() -> SocketAddr {
    address("203.0.113.7:50000")
}

fn peer() -> SocketAddr {
    address("198.51.100.9:40000")
}

/// A request with what is added to it.
fn request(method: Method, add: impl FnOnce(&mut MessageWriteVec)) -> Vec<u8> {
    let mut request = Message::builder_request(method, MessageWriteVec::new());
    add(&mut request);
    request.finish()
}

pub(crate) fn stun() -> Target {
    let bare = request(BINDING, |_| {});
    let named = request(BINDING, |request| {
        request.add_attribute(&Username::new(NAME).unwrap()).unwrap();
        request.add_fingerprint().unwrap();
    });
    Target {
        name: "stun",
        cap: answer::MAX_REQUEST + 1,
        valid: vec![bare, named],
        accepts: Box::new(|bytes| match answer::answer(bytes, client()) {
            Ok(answer) => {
                let (asked, answered) =
                    (Message::from_bytes(bytes).unwrap(), Message::from_bytes(&answer).unwrap());
                assert_eq!(asked.transaction_id(), answered.transaction_id());
                assert!(answer.len() <= 2 * bytes.len() + 40, "{} bytes for {}", answer.len(), bytes.len());
                true
            }
            Err(_ignored) => false,
        }),
    }
}

/// A server whose client has an allocation, a permission and a channel.
struct Server {
    server: TurnServer,
    nonce: String,
}

impl Server {
    fn new() -> Self {
        let mut server = TurnServer::new(TransportType::Udp, listen(), "lichen".into());
        server.add_user(NAME.into(), PASSWORD.into());
        let mut server = Self { server, nonce: String::new() };
        let challenge = server.tell(&allocate(|_| {})).unwrap();
        server.nonce = Message::from_bytes(&challenge).unwrap().attribute::<Nonce>().unwrap().nonce().into();
        let allocate = server.signed(ALLOCATE, |request| {
            request.add_attribute(&RequestedTransport::new(RequestedTransport::UDP)).unwrap();
        });
        assert!(server.tell(&allocate).is_none());
        let wanted = server.server.poll(now());
        let TurnServerPollRet::AllocateSocket {
            transport,
            listen_addr,
            client_addr,
            allocation_transport,
            family,
        } = wanted
        else {
            panic!("{wanted:?}")
        };
        let allocated = Ok(relayed());
        server.server.allocated_socket(
            transport,
            listen_addr,
            client_addr,
            allocation_transport,
            family,
            allocated,
            now(),
        );
        while server.server.poll_transmit(now()).is_some() {}
        let bind = server.bind();
        assert!(server.tell(&bind).is_some());
        server
    }

    /// A request that the client signs.
    fn signed(&self, method: Method, add: impl FnOnce(&mut MessageWriteVec)) -> Vec<u8> {
        request(method, |request| {
            add(request);
            request.add_attribute(&Username::new(NAME).unwrap()).unwrap();
            request.add_attribute(&Realm::new("lichen").unwrap()).unwrap();
            request.add_attribute(&Nonce::new(&self.nonce).unwrap()).unwrap();
            let credentials = LongTermKeyCredentials::new(NAME.into(), PASSWORD.into(), "lichen".into());
            request.add_message_integrity(&credentials.into(), IntegrityAlgorithm::Sha1).unwrap();
        })
    }

    fn bind(&self) -> Vec<u8> {
        self.signed(CHANNEL_BIND, |request| {
            let peer = XorPeerAddress::new(peer(), request.transaction_id());
            request.add_attribute(&ChannelNumber::new(CHANNEL)).unwrap();
            request.add_attribute(&peer).unwrap();
        })
    }

    /// The answer to what the client sends, to whomever it goes.
    fn tell(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let told = Transmit::new(bytes.to_vec(), TransportType::Udp, client(), listen());
        let answer = self.server.recv(told, now())?;
        // A permission is for an address, whatever the port (RFC 8656, section 9). What does not come from the relayed address
        // the relay sends to the client, wherever the server wants it to go.
        let is_allowed = answer.from != relayed() || answer.to.ip() == peer().ip();
        assert!(is_allowed, "goes to {}", answer.to);
        Some(answer.data.build())
    }

    /// What the client gets of what comes to the relayed address.
    fn hear(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let heard = Transmit::new(bytes.to_vec(), TransportType::Udp, peer(), relayed());
        let answer = self.server.recv(heard, now())?;
        assert_eq!(answer.to, client());
        Some(answer.data.build())
    }
}

/// Time stands still, so that nothing ends between two inputs.
fn now() -> Instant {
    Instant::from_nanos(1)
}

fn allocate(add: impl FnOnce(&mut MessageWriteVec)) -> Vec<u8> {
    request(ALLOCATE, |request| {
        request.add_attribute(&RequestedTransport::new(RequestedTransport::UDP)).unwrap();
        add(request);
    })
}

/// Whatever the client sends: it is answered, relayed to the peer it has a permission for, or dropped.
pub(crate) fn turn() -> Target {
    let server = Server::new();
    let send = {
        let mut send = Message::builder_indication(SEND, MessageWriteVec::new());
        let to = XorPeerAddress::new(peer(), send.transaction_id());
        send.add_attribute(&to).unwrap();
        send.add_attribute(&Data::new(b"hello")).unwrap();
        send.finish()
    };
    let channel = [&CHANNEL.to_be_bytes()[..], &5_u16.to_be_bytes(), b"hello"].concat();
    let permission = server.signed(CREATE_PERMISSION, |request| {
        let peer = XorPeerAddress::new(peer(), request.transaction_id());
        request.add_attribute(&peer).unwrap();
    });
    let refresh = server.signed(REFRESH, |request| request.add_attribute(&Lifetime::new(600)).unwrap());
    let valid = vec![allocate(|_| {}), server.bind(), permission, refresh, send, channel];
    let server = RefCell::new(server);
    Target {
        name: "turn",
        cap: MAX_DATAGRAM,
        valid,
        accepts: Box::new(move |bytes| server.borrow_mut().tell(bytes).is_some()),
    }
}

/// Whatever the peer sends goes to the client, and is nothing else to the server.
pub(crate) fn turn_peer() -> Target {
    let server = RefCell::new(Server::new());
    Target {
        name: "turn-peer",
        cap: MAX_DATAGRAM,
        valid: vec![b"hello".to_vec(), request(BINDING, |_| {}), allocate(|_| {})],
        accepts: Box::new(move |bytes| {
            let heard = server.borrow_mut().hear(bytes);
            assert!(heard.is_some_and(|heard| heard.len() >= bytes.len()), "it does not reach the client");
            true
        }),
    }
}
