//! TURN with a client that is not ours: bytes both ways, and everything that is refused.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_proto::agent::Transmit;
use stun_proto::types::TransportType;
use stun_proto::types::attribute::XorMappedAddress;
use stun_proto::types::message::{BINDING, Message, MessageWrite, MessageWriteVec};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use turn_client_proto::api::{TurnClientApi, TurnConfig, TurnEvent, TurnPollRet, TurnRecvRet};
use turn_client_proto::types::TurnCredentials;
use turn_client_proto::types::prelude::DelayedTransmitBuild;
use turn_client_proto::udp::TurnClientUdp;

use crate::PATIENCE;
use crate::process::Relay;

const UDP: TransportType = TransportType::Udp;

/// A client with its socket.
struct Client {
    socket: UdpSocket,
    server: SocketAddr,
    turn: TurnClientUdp,
    start: Instant,
    received: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// The relay's TURN server and a password for it, as the page gets them.
async fn server(relay: &Relay) -> (SocketAddr, String, String) {
    let ice = relay.ice().await;
    assert_eq!(ice.seconds, 6 * 60 * 60);
    let server = ice.ice_servers.last().unwrap();
    let host = server.urls[0].strip_prefix("turn:").unwrap().strip_suffix("?transport=udp").unwrap();
    (host.parse().unwrap(), server.username.clone().unwrap(), server.credential.clone().unwrap())
}

impl Client {
    async fn start(relay: &Relay) -> Self {
        let (server, name, password) = server(relay).await;
        Self::with(server, &name, &password).await
    }

    async fn with(server: SocketAddr, name: &str, password: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let config = TurnConfig::new(TurnCredentials::new(name, password));
        let turn = TurnClientUdp::allocate(socket.local_addr().unwrap(), server, config);
        Self { socket, server, turn, start: Instant::now(), received: VecDeque::new() }
    }

    fn now(&self) -> stun_proto::Instant {
        stun_proto::Instant::from_nanos(i64::try_from(self.start.elapsed().as_nanos()).unwrap())
    }

    /// Sends what is to be sent, and takes one datagram if one comes soon.
    async fn step(&mut self) -> bool {
        let now = self.now();
        let poll = self.turn.poll(now);
        while let Some(transmit) = self.turn.poll_transmit(now) {
            self.socket.send_to(&transmit.data, transmit.to).await.unwrap();
        }
        if matches!(poll, TurnPollRet::Closed) {
            return false;
        }
        let mut buffer = [0; 2048];
        if let Ok(received) = timeout(Duration::from_millis(20), self.socket.recv_from(&mut buffer)).await {
            let (length, from) = received.unwrap();
            let to = self.socket.local_addr().unwrap();
            let transmit = Transmit::new(buffer[..length].to_vec(), UDP, from, to);
            let now = self.now();
            if let TurnRecvRet::PeerData(data) = self.turn.recv(transmit, now) {
                self.received.push_back((data.peer, data.data().to_vec()));
            }
        }
        true
    }

    async fn event(&mut self) -> Option<TurnEvent> {
        let wait = async {
            loop {
                if let Some(event) = self.turn.poll_event() {
                    return Some(event);
                }
                if !self.step().await {
                    return self.turn.poll_event();
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("nothing happened in time")
    }

    /// The relayed address, if the server gives one.
    async fn allocate(&mut self) -> Option<SocketAddr> {
        match self.event().await {
            Some(TurnEvent::AllocationCreated(_, address)) => Some(address),
            Some(TurnEvent::AllocationCreateFailed(_)) | None => None,
            other => panic!("{other:?}"),
        }
    }

    async fn permit(&mut self, peer: SocketAddr) {
        let now = self.now();
        self.turn.create_permission(UDP, peer.ip(), now).unwrap();
        assert!(matches!(self.event().await, Some(TurnEvent::PermissionCreated(..))));
    }

    async fn send(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let now = self.now();
        let transmit = self.turn.send_to(UDP, peer, bytes, now).unwrap().unwrap();
        let (to, bytes) = (transmit.to, transmit.data.build());
        self.socket.send_to(&bytes, to).await.unwrap();
    }

    async fn receive(&mut self) -> (SocketAddr, Vec<u8>) {
        let wait = async {
            loop {
                if let Some(received) = self.received.pop_front() {
                    return received;
                }
                assert!(self.step().await, "the client gave up");
            }
        };
        timeout(PATIENCE, wait).await.expect("nothing came in time")
    }
}

async fn relay_with(options: &[&str]) -> Relay {
    Relay::start_with(&[&["--turn", "127.0.0.1:0"], options].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_exchange_bytes_over_their_relayed_addresses() {
    let relay = relay_with(&[]).await;
    assert!(relay.info().await.turn);
    let (mut one, mut two) = (Client::start(&relay).await, Client::start(&relay).await);
    let (at_one, at_two) = (one.allocate().await.unwrap(), two.allocate().await.unwrap());
    assert_eq!(relay.metric("lichen_turn_allocations").await, 2);
    one.permit(at_two).await;
    two.permit(at_one).await;
    for length in [0, 1, 1_200] {
        let bytes = vec![7; length];
        one.send(at_two, &bytes).await;
        assert_eq!(two.receive().await, (at_one, bytes.clone()));
        two.send(at_one, &bytes).await;
        assert_eq!(one.receive().await, (at_two, bytes));
    }
    // The same in channels, as browsers do once a pair is chosen.
    let now = one.now();
    one.turn.bind_channel(UDP, at_two, now).unwrap();
    assert!(matches!(one.event().await, Some(TurnEvent::ChannelCreated(..))));
    one.send(at_two, b"in a channel").await;
    assert_eq!(two.receive().await, (at_one, b"in a channel".to_vec()));
    two.send(at_one, b"and back").await;
    assert_eq!(one.receive().await, (at_two, b"and back".to_vec()));

    // Whoever ends its allocation gives its room back.
    let now = one.now();
    one.turn.delete(now).unwrap();
    one.step().await;
    let gone = async {
        while relay.metric("lichen_turn_allocations").await != 1 {
            one.step().await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the allocation stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_without_turn_is_reached_only_with_permission() {
    let relay = relay_with(&[]).await;
    let mut client = Client::start(&relay).await;
    let relayed = client.allocate().await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    peer.send_to(b"before", relayed).await.unwrap();
    client.permit(address).await;
    client.send(address, b"hello").await;
    let mut buffer = [0; 100];
    let (length, from) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!((&buffer[..length], from), (&b"hello"[..], relayed));
    peer.send_to(b"after", relayed).await.unwrap();
    assert_eq!(client.receive().await, (address, b"after".to_vec()), "what came before is dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_has_the_password_of_a_good_name_is_served() {
    let relay = relay_with(&[]).await;
    let (server, name, password) = server(&relay).await;
    let past = "1000000000";
    let later = (name.parse::<u64>().unwrap() + 10).to_string();
    for (name, password) in
        [(name.as_str(), "guessed"), (past, &password), (&later, &password), ("somebody", &password)]
    {
        let errors = "lichen_turn_total{outcome=\"answered_with_error\"}";
        let before = relay.metric(errors).await;
        let mut client = Client::with(server, name, password).await;
        // The first says that a password is needed, the second that this is not it.
        let refused = async {
            while relay.metric(errors).await < before + 2 {
                client.step().await;
            }
        };
        timeout(PATIENCE, refused).await.expect("no refusal");
        assert_eq!(client.turn.relayed_addresses().count(), 0, "{name} with {password}");
    }
    assert_eq!(relay.metric("lichen_turn_allocations").await, 0);
    assert!(Client::with(server, &name, &password).await.allocate().await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_so_many_allocations_in_all_and_of_an_address() {
    for (option, limit) in [
        ("--turn-allocations", "turn_allocations"),
        ("--turn-allocations-per-address", "turn_allocations_per_address"),
    ] {
        let relay = relay_with(&[option, "1"]).await;
        let mut one = Client::start(&relay).await;
        assert!(one.allocate().await.is_some());
        assert_eq!(Client::start(&relay).await.allocate().await, None, "{option}");
        relay.metric_reaches(&format!("lichen_limited_total{{limit=\"{limit}\"}}"), 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allocation_moves_so_many_bytes() {
    let relay = relay_with(&["--turn-bytes-per-second", "1000"]).await;
    let mut client = Client::start(&relay).await;
    client.allocate().await.unwrap();
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    client.permit(address).await;
    for _ in 0..20 {
        client.send(address, &[0; 1_000]).await;
    }
    relay.metric_reaches("lichen_limited_total{limit=\"turn_bytes\"}", 15).await;
    assert!(relay.metric("lichen_turn_sent_bytes_total").await <= 5_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_given_so_many_passwords() {
    let relay = relay_with(&["--turn-passwords-per-minute", "2"]).await;
    for status in [200, 200, 429] {
        assert_eq!(relay.get("ice.json").await.status, status);
    }
    relay.metric_reaches("lichen_limited_total{limit=\"turn_passwords_per_address\"}", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_addresses_too() {
    let relay = relay_with(&[]).await;
    let (server, _, _) = server(&relay).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let request = Message::builder_request(BINDING, MessageWriteVec::new()).finish();
    socket.send_to(&request, server).await.unwrap();
    let mut answer = [0; 1500];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut answer)).await.unwrap().unwrap();
    let answer = Message::from_bytes(&answer[..length]).unwrap();
    let mapped = answer.attribute::<XorMappedAddress>().unwrap().addr(answer.transaction_id());
    assert_eq!(mapped, socket.local_addr().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_changes_nothing() {
    let relay = relay_with(&[]).await;
    let mut client = Client::start(&relay).await;
    let relayed = client.allocate().await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut rubbish: Vec<u8> = vec![0x40, 0, 0xff, 0xff];
    for round in 0..400_u32 {
        for byte in &mut rubbish {
            *byte = byte.wrapping_mul(31).wrapping_add(round.to_le_bytes()[0]);
        }
        rubbish.push(round.to_le_bytes()[0]);
        stranger.send_to(&rubbish, client.server).await.unwrap();
        stranger.send_to(&rubbish, relayed).await.unwrap();
        client.socket.send_to(&rubbish, client.server).await.unwrap();
        // A header that is sound, and then anything.
        let mut header = vec![0, [3, 4, 8, 9][round as usize % 4], 0, 40, 0x21, 0x12, 0xa4, 0x42];
        header.extend(rubbish.iter().chain(&[0; 52]).take(52));
        client.socket.send_to(&header, client.server).await.unwrap();
        tokio::task::yield_now().await;
    }
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = peer.local_addr().unwrap();
    client.permit(address).await;
    client.send(address, b"still here").await;
    let mut buffer = [0; 100];
    let (length, _) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], b"still here");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_off_unless_asked_for_and_must_know_its_address() {
    let relay = Relay::start().await;
    assert!(!relay.info().await.turn);
    assert!(relay.ice().await.ice_servers.is_empty());
    let data = tempfile::tempdir().unwrap();
    let second = tokio::process::Command::new(env!("CARGO_BIN_EXE_lichen-relay"))
        .args(["--listen", "127.0.0.1:0", "--turn", "0.0.0.0:0", "--data"])
        .arg(data.path())
        .output();
    let second = timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("--turn-public-ip"));
}
