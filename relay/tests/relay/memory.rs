//! Whatever one address sends, or does not read, the relay takes little memory for it, and honest tabs are served meanwhile.

use std::fs;

use futures::AsyncWriteExt as _;
use futures::future::join_all;
use lichen_net::hub::{MAX_RECORDS, Reason, Reply, Request};
use lichen_net::swarm::frame;
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_record::{CampaignId, Cid, Entry, MAX_BLOB, SessionCertificate, SigningKey};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::Relay;
use crate::streams::Streams;
use crate::tab::{Tab, now, refused};

/// What a relay may take at most, whatever comes.
const MOST: usize = 512 * 1024 * 1024;

const OPTIONS: [&str; 2] = ["--entries-per-minute", "100000"];

/// A data folder with the largest blob there can be.
fn folder_with_a_large_blob() -> (TempDir, Cid) {
    let folder = TempDir::new().unwrap();
    let bytes = vec![7; MAX_BLOB];
    let cid = Cid::of_raw(&bytes);
    fs::create_dir(folder.path().join("blobs")).unwrap();
    fs::write(folder.path().join(format!("blobs/{cid}")), bytes).unwrap();
    (folder, cid)
}

/// Appends entries like an honest tab, and sees that each gets its receipt. How soon, `cargo xtask bench hostile` measures.
async fn is_served(relay: &Relay) {
    let tab = Tab::start(relay, 1).await;
    for sequence in 1..=100 {
        let entry = if sequence % 2 == 1 {
            Entry::Joined { campaign: tab.campaign, sequence }
        } else {
            Entry::Left { campaign: tab.campaign, sequence }
        };
        tab.append_well(&entry).await;
    }
}

fn assert_small(relay: &Relay) {
    let peak = relay.peak_memory();
    println!("the relay took {} MB at most", peak / 1_000_000);
    assert!(peak < MOST, "the relay took {} MB", peak / 1_000_000);
}

/// Says hello for an account over a stream of a connection.
async fn hello(streams: &mut Streams, seed: u8) {
    let certificate = SessionCertificate { peer: streams.peer.to_bytes(), issued: now() };
    let certificate = SigningKey::generate([seed; 32]).sign(&certificate).unwrap();
    let mut stream = streams.next().await;
    ask(&mut stream, &Request::Hello { certificate }).await;
    let reply = frame::read(&mut stream, 1000, PATIENCE).await.unwrap().unwrap();
    assert!(matches!(Reply::from_bytes(&reply).unwrap(), Reply::Welcome { .. }));
}

async fn ask(stream: &mut Stream, request: &Request) {
    frame::write(stream, &request.to_bytes().unwrap(), PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_downloads_are_not_held_in_memory() {
    let (folder, cid) = folder_with_a_large_blob();
    let relay = Relay::start_in(folder, &OPTIONS).await;
    let mut unread = Vec::new();
    for _ in 0..80 {
        let mut stream = relay.connect().await;
        stream.write_all(format!("GET /blob/{cid} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        unread.push(stream);
    }
    let mut streams = Streams::open_many(&relay, 40).await;
    let mut replies = Vec::new();
    for _ in 0..40 {
        let mut stream = streams.next().await;
        ask(&mut stream, &Request::GetBlob { cid }).await;
        replies.push(stream);
    }
    // The relay has begun to answer as many as it answers at a time.
    let begun = join_all(unread.iter().take(40).map(TcpStream::readable));
    timeout(PATIENCE, begun).await.expect("the relay answers").into_iter().for_each(|begun| begun.unwrap());
    is_served(&relay).await;
    assert_small(&relay);
    drop(unread);
    // Whoever reads gets all of it.
    let whole = relay.get(&format!("blob/{cid}")).await;
    assert_eq!((whole.status, whole.body.len()), (200, MAX_BLOB));
    assert!(cid.matches(&whole.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn announced_bytes_are_not_paid_before_they_come() {
    let relay = Relay::start_with(&OPTIONS).await;
    let mut held = Vec::new();
    for seed in 10..14 {
        let mut streams = Streams::open(&relay).await;
        hello(&mut streams, seed).await;
        for _ in 0..8 {
            // As many blobs as a connection has places for, of which the bytes never come.
            let mut stream = streams.next().await;
            stream.write_all(&[&15_000_000_u32.to_be_bytes()[..], &[0xa1]].concat()).await.unwrap();
            stream.flush().await.unwrap();
            held.push(stream);
        }
    }
    let mut streams = Streams::open_many(&relay, 60).await;
    for _ in 0..60 {
        let mut stream = streams.next().await;
        stream.write_all(&[&8_000_u32.to_be_bytes()[..], &[0xa1]].concat()).await.unwrap();
        stream.flush().await.unwrap();
        held.push(stream);
    }
    is_served(&relay).await;
    let honest = Tab::start(&relay, 2).await;
    honest.put(vec![1; 1_000_000]).await;
    assert_small(&relay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_cannot_send_long_messages() {
    let relay = Relay::start_with(&OPTIONS).await;
    let mut sockets = Vec::new();
    for _ in 0..100 {
        sockets.push(open_socket(&relay).await);
    }
    // One byte less than is taken, and then no more.
    let rest = vec![0; 255 * 1024];
    for socket in &mut sockets {
        socket.write_all(&message(256 * 1024)).await.unwrap();
        socket.write_all(&rest).await.unwrap();
    }
    is_served(&relay).await;
    assert_small(&relay);
    let mut long = open_socket(&relay).await;
    long.write_all(&message(4 * 1024 * 1024)).await.unwrap();
    let mut answer = Vec::new();
    let ended = timeout(PATIENCE, long.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "a message of 4 MiB is taken");
}

/// The beginning of a masked binary message of this length.
fn message(length: u64) -> Vec<u8> {
    [&[0x82, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat()
}

async fn open_socket(relay: &Relay) -> TcpStream {
    let mut stream = relay.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

/// Fills the log with enough for whoever follows it without reading to hold something.
async fn fill_log(relay: &Relay, campaign: CampaignId) {
    let tab = Tab::start(relay, 3).await;
    for sequence in 1..=u64::try_from(4 * MAX_RECORDS).unwrap() {
        let entry = if sequence % 2 == 1 {
            Entry::Joined { campaign, sequence }
        } else {
            Entry::Left { campaign, sequence }
        };
        tab.append_well(&entry).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_follow_streams_take_little() {
    let relay = Relay::start_with(&OPTIONS).await;
    let campaign = relay.info().await.campaign;
    fill_log(&relay, campaign).await;
    let before = relay.peak_memory();
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut streams = Streams::open_many(&relay, 60).await;
        for _ in 0..60 {
            let mut stream = streams.next().await;
            ask(&mut stream, &Request::Follow { campaign, from: 0 }).await;
            held.push(stream);
        }
    }
    is_served(&relay).await;
    assert_small(&relay);
    let more = relay.peak_memory().saturating_sub(before);
    assert!(more < 150_000_000, "2,400 streams took {} MB", more / 1_000_000);
    let limited = relay.metric("lichen_limited_total{limit=\"follows_per_connection\"}").await;
    assert!(limited >= 40 * 40, "only {limited} streams were refused");
    let tab = Tab::start(&relay, 4).await;
    let mut followed = Vec::new();
    for _ in 0..16 {
        followed.push(tab.begin(Request::Follow { campaign, from: 0 }.to_bytes().unwrap()));
    }
    let one_more = tab.ask(Request::Follow { campaign, from: 0 });
    for answers in &mut followed {
        crate::tab::next_records(answers).await;
    }
    assert_eq!(refused(&one_more.await), Reason::Busy);
    assert!(campaign.0.matches(&tab.get(campaign.0).await));
}

/// The beginning of an upload, as much as a stream may send before anybody has read it.
fn ahead() -> Vec<u8> {
    let frame = Request::PutBlob { bytes: vec![0; 1_000_000] }.to_bytes().unwrap();
    let mut ahead = [&u32::try_from(frame.len()).unwrap().to_be_bytes()[..], &frame].concat();
    // What it takes to agree on the protocol came before.
    ahead.truncate(256 * 1024 - 128);
    ahead
}

#[tokio::test(flavor = "multi_thread")]
async fn what_streams_send_ahead_is_bounded() {
    let relay = Relay::start_with(&OPTIONS).await;
    let (ahead, before) = (ahead(), relay.peak_memory());
    let mut held = Vec::new();
    for seed in 10..20 {
        let mut streams = Streams::open_many(&relay, 61).await;
        hello(&mut streams, seed).await;
        let mut opened = Vec::new();
        for _ in 0..60 {
            opened.push(streams.next().await);
        }
        // The relay may end the connection before all of it is sent.
        join_all(
            opened
                .iter_mut()
                .map(async |stream| stream.write_all(&ahead).await.is_ok() && stream.flush().await.is_ok()),
        )
        .await;
        held.push(opened);
    }
    is_served(&relay).await;
    assert_small(&relay);
    let ended = relay.metric("lichen_limited_total{limit=\"unread_bytes_per_address\"}").await;
    assert!(ended > 0, "no connection gave way");
    let more = relay.peak_memory().saturating_sub(before);
    assert!(more < 110_000_000, "what was sent ahead took {} MB", more / 1_000_000);
    drop(held);
    relay.metric_falls("lichen_unread_bytes", 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_does_not_hold_up_its_connection() {
    let relay = Relay::start_with(&OPTIONS).await;
    let mut streams = Streams::open_many(&relay, 18).await;
    let mut uploads = Vec::new();
    for _ in 0..16 {
        // Nobody has said hello: it is refused before its bytes are read.
        let mut stream = streams.next().await;
        stream.write_all(&ahead()).await.unwrap();
        stream.flush().await.unwrap();
        uploads.push(stream);
    }
    assert!(streams.is_answered().await);
    for mut stream in uploads {
        let reply = frame::read(&mut stream, 1000, PATIENCE).await.unwrap().unwrap();
        assert_eq!(refused(&Reply::from_bytes(&reply).unwrap()), Reason::NotIntroduced);
    }
    assert!(streams.is_answered().await);
    relay.metric_falls("lichen_unread_bytes", 0).await;
}
