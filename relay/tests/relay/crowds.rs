//! Many who say nothing, and many who come at once: whoever is honest gets in, wherever the others are.

use std::net::Ipv4Addr;

use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{Entry, SessionCertificate, SigningKey};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::{contribution, join_and_wait_for_round, update};
use crate::process::Relay;
use crate::tab::{Tab, now, refused};

/// Where an attacker sits; honest tabs of these tests come from 127.0.0.1.
pub(crate) const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_silent_sockets_keep_nobody_out() {
    raise_file_limit();
    let relay = Relay::start().await;
    let mut silent = Vec::new();
    // Silent in each of the places where one can be: before a request, in the middle of it, and 512 times as a WebSocket.
    for number in 0..640_u16 {
        let source = Ipv4Addr::new(127, 0, 0, if number % 2 == 0 { 2 } else { 3 });
        let mut socket = connect_from(&relay, source).await;
        match number % 10 {
            0 => {}
            5 => socket.write_all(b"GET / HTTP/1.1\r\n").await.unwrap(),
            _ => assert_eq!(upgrade(&mut socket, "").await, 101),
        }
        silent.push(socket);
    }
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    let ended = relay.metric("lichen_limited_total{limit=\"pending_connections_per_address\"}").await;
    assert!(ended >= 2 * (320 - 256), "{ended}");
    assert!(relay.metric("lichen_pending_connections").await <= 2 * 256 + 1);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_from_many_addresses_keeps_nobody_out() {
    let options = ["--max-pending-connections=64", "--max-pending-connections-per-address=32"];
    let relay = Relay::start_with(&options).await;
    let mut silent = Vec::new();
    for number in 0..128_u8 {
        let mut socket = connect_from(&relay, Ipv4Addr::new(127, 0, 1, number % 8)).await;
        assert_eq!(upgrade(&mut socket, "").await, 101);
        silent.push(socket);
    }
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    assert!(relay.metric("lichen_limited_total{limit=\"pending_connections\"}").await >= 64);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relay_takes_from_whoever_has_most() {
    let relay = Relay::start_with(&["--max-connections=40"]).await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        let mut socket = connect_from(&relay, ELSEWHERE).await;
        socket.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        read_head(&mut socket).await;
        crowd.push(socket);
    }
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    assert!(relay.metric("lichen_limited_total{limit=\"connections\"}").await >= 1);
    drop(crowd);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_not_waited_for() {
    let relay = Relay::start().await;
    let mut silent = connect_from(&relay, ELSEWHERE).await;
    let mut started = connect_from(&relay, ELSEWHERE).await;
    started.write_all(b"GET / HT").await.unwrap();
    let mut asked = connect_from(&relay, ELSEWHERE).await;
    asked.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_head(&mut asked).await;
    for socket in [&mut silent, &mut started] {
        let mut rest = Vec::new();
        // Closed or reset.
        let _reset = timeout(PATIENCE, socket.read_to_end(&mut rest)).await.expect("it was not closed");
    }
    relay.metric_reaches("lichen_limited_total{limit=\"head_seconds\"}", 2).await;
    asked.write_all(b"GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(read_head(&mut asked).await.starts_with("HTTP/1.1 200"), "it had asked something before");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_accounts_of_one_address_are_few_and_others_are_not_kept_out() {
    let options = ["--new-accounts-per-minute-per-address=5", "--new-accounts-per-hour-per-address=7"];
    let relay = Relay::start_with(&options).await;
    let crowd = Tab::connect(&relay, 1).await;
    for seed in 1..=5 {
        assert!(matches!(join_as(&crowd, seed, 1).await, Reply::Receipt { .. }), "{seed}");
    }
    assert_eq!(refused(&join_as(&crowd, 6, 1).await), Reason::TooManyAccounts);
    let elsewhere = via(&relay, ELSEWHERE).await;
    let other = Tab::connect_to(&relay, &elsewhere, 7).await;
    assert!(matches!(join_as(&other, 7, 1).await, Reply::Receipt { .. }));
    // Who is known comes and goes as before.
    let left = Entry::Left { campaign: crowd.campaign, sequence: 2 };
    assert!(matches!(append_as(&crowd, 1, &left).await, Reply::Receipt { .. }));
    assert!(matches!(join_as(&crowd, 1, 3).await, Reply::Receipt { .. }));
    assert_eq!(relay.refusals().await.get("too_many_accounts"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_one_address_are_few_and_make_room_when_they_leave() {
    let relay = Relay::start_with(&["--max-members-per-address=2"]).await;
    let crowd = Tab::connect(&relay, 1).await;
    for seed in 1..=2 {
        assert!(matches!(join_as(&crowd, seed, 1).await, Reply::Receipt { .. }), "{seed}");
    }
    assert_eq!(refused(&join_as(&crowd, 3, 1).await), Reason::TooManyMembers);
    let other = Tab::connect_to(&relay, &via(&relay, ELSEWHERE).await, 4).await;
    assert!(matches!(join_as(&other, 4, 1).await, Reply::Receipt { .. }));
    let left = Entry::Left { campaign: crowd.campaign, sequence: 2 };
    assert!(matches!(append_as(&crowd, 1, &left).await, Reply::Receipt { .. }));
    assert!(matches!(join_as(&crowd, 3, 1).await, Reply::Receipt { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_counted_by_address_too() {
    let relay = Relay::start_with(&["--entries-per-minute-per-address=3"]).await;
    let crowd = Tab::connect(&relay, 1).await;
    for seed in 1..=3 {
        assert!(matches!(join_as(&crowd, seed, 1).await, Reply::Receipt { .. }), "{seed}");
    }
    assert_eq!(refused(&join_as(&crowd, 4, 1).await), Reason::QuotaAddress);
    let other = Tab::connect_to(&relay, &via(&relay, ELSEWHERE).await, 5).await;
    assert!(matches!(join_as(&other, 5, 1).await, Reply::Receipt { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_new_accounts_leaves_room_for_those_who_contribute() {
    let relay = Relay::start_with(&["--entries-per-second=5"]).await;
    let honest = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&honest).await;
    let cid = honest.put(update(0.01)).await;
    honest.append_well(&contribution(&honest, round, base, cid)).await;

    let crowd = Tab::connect_to(&relay, &via(&relay, ELSEWHERE).await, 2).await;
    let mut let_in = 0;
    for seed in 10..=100 {
        match join_as(&crowd, seed, 1).await {
            Reply::Receipt { .. } => let_in += 1,
            reply => {
                assert_eq!(refused(&reply), Reason::Crowded);
                break;
            }
        }
    }
    // However slow this machine is, newcomers never get more than a burst at once.
    assert!(let_in < 90, "nothing was refused");
    honest.append_well(&Entry::Left { campaign: honest.campaign, sequence: 2 }).await;
    honest.join(3).await;
    assert!(relay.refusals().await["crowded"] >= 1);
}

async fn join_as(tab: &Tab, seed: u8, sequence: u64) -> Reply {
    append_as(tab, seed, &Entry::Joined { campaign: tab.campaign, sequence }).await
}

/// Says hello for another account over the same connection, and appends an entry of it.
async fn append_as(tab: &Tab, seed: u8, entry: &Entry) -> Reply {
    let key = SigningKey::generate([seed; 32]);
    let certificate = key.sign(&SessionCertificate { peer: tab.peer.clone(), issued: now() }).unwrap();
    let reply = tab.ask(Request::Hello { certificate }).await;
    assert!(matches!(reply, Reply::Welcome { .. }), "{reply:?}");
    tab.append_bytes(key.sign(entry).unwrap()).await
}

/// An address of the relay whose connections come from another address.
pub(crate) async fn via(relay: &Relay, source: Ipv4Addr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (peer, target) = (relay.info().await.peer, host(relay));
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let target = target.clone();
            tokio::spawn(async move {
                let mut far = connect_to(&target, source).await;
                let _ended = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    format!("/ip4/127.0.0.1/tcp/{port}/ws/p2p/{peer}")
}

fn host(relay: &Relay) -> String {
    relay.url.trim_start_matches("http://").trim_end_matches('/').to_owned()
}

async fn connect_from(relay: &Relay, source: Ipv4Addr) -> TcpStream {
    connect_to(&host(relay), source).await
}

async fn connect_to(target: &str, source: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(target.parse().unwrap()).await.unwrap()
}

/// Asks for a WebSocket with further header lines; the answer's status.
pub(crate) async fn upgrade(socket: &mut TcpStream, headers: &str) -> u16 {
    let request = format!(
        "GET / HTTP/1.1\r\nHost: relay.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    read_head(socket).await.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Reads until the end of an answer's head, and whatever came with it.
async fn read_head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let read = async {
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            assert!(socket.read_buf(&mut head).await.unwrap() > 0, "closed before an answer");
        }
    };
    timeout(PATIENCE, read).await.expect("no answer in time");
    String::from_utf8(head).unwrap()
}

fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}
