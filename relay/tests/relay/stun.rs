//! What tabs behind a NAT learn from the relay.

use std::net::SocketAddr;

use stun_proto::agent::StunAgent;
use stun_proto::types::TransportType;
use stun_proto::types::attribute::XorMappedAddress;
use stun_proto::types::message::{BINDING, Message, MessageWrite, MessageWriteVec, TransactionId};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::Relay;

/// The relay's STUN server as the page is told of it.
async fn server(relay: &Relay) -> SocketAddr {
    let servers = relay.info().await.ice_servers;
    servers[0].urls[0].strip_prefix("stun:").unwrap().parse().unwrap()
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

fn request() -> Vec<u8> {
    Message::builder_request(BINDING, MessageWriteVec::new()).finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_where_it_came_from() {
    let relay = Relay::start_with(&["--stun", "127.0.0.1:0"]).await;
    let (server, socket) = (server(&relay).await, socket().await);
    let local = socket.local_addr().unwrap();
    let mut agent = StunAgent::builder(TransportType::Udp, local).remote_addr(server).build();
    let now = stun_proto::Instant::ZERO;
    let request = Message::builder_request(BINDING, MessageWriteVec::new());
    let transmit = agent.send_request(request.finish(), server, now).unwrap();
    socket.send_to(&transmit.data, transmit.to).await.unwrap();
    let mut answer = [0; 1500];
    let (length, from) = timeout(PATIENCE, socket.recv_from(&mut answer)).await.unwrap().unwrap();
    let answer = Message::from_bytes(&answer[..length]).unwrap();
    assert!(agent.handle_stun_message_with_time(&answer, from, now), "no answer to this request");
    let mapped = answer.attribute::<XorMappedAddress>().unwrap().addr(answer.transaction_id());
    assert_eq!(mapped, local);
    assert_eq!(relay.metric("lichen_stun_total{outcome=\"answered\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_counted_and_gets_no_answer() {
    let relay = Relay::start_with(&["--stun", "127.0.0.1:0"]).await;
    let (server, socket) = (server(&relay).await, socket().await);
    for rubbish in [vec![], vec![0; 3], vec![0xff; 100], vec![0; 1400], request()[..19].to_vec()] {
        socket.send_to(&rubbish, server).await.unwrap();
    }
    // What comes after it is answered, and nothing comes before that answer.
    let request = request();
    socket.send_to(&request, server).await.unwrap();
    let mut answer = [0; 1500];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut answer)).await.unwrap().unwrap();
    let id = |bytes: &[u8]| -> TransactionId { Message::from_bytes(bytes).unwrap().transaction_id() };
    assert_eq!(id(&answer[..length]), id(&request));
    assert_eq!(relay.metric("lichen_stun_total{outcome=\"malformed\"}").await, 4);
    assert_eq!(relay.metric("lichen_stun_total{outcome=\"too_long\"}").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_asks_too_often_is_not_answered() {
    let relay = Relay::start_with(&["--stun", "127.0.0.1:0", "--stun-per-minute", "3"]).await;
    let (server, socket) = (server(&relay).await, socket().await);
    for _ in 0..5 {
        socket.send_to(&request(), server).await.unwrap();
    }
    relay.metric_reaches("lichen_limited_total{limit=\"stun_per_address\"}", 2).await;
    let (mut answers, mut answer) = (0, [0; 1500]);
    while socket.try_recv(&mut answer).is_ok() {
        answers += 1;
    }
    assert_eq!(answers, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_no_server_is_named() {
    assert!(Relay::start().await.info().await.ice_servers.is_empty());
    let relay = Relay::start_with(&["--ice-server", "stun:stun.example.org:3478"]).await;
    assert_eq!(relay.info().await.ice_servers[0].urls, ["stun:stun.example.org:3478"]);
}
