//! A relay that follows another one: what it serves, what it refuses, where it sends tabs, and how it takes over.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lichen_log::Head;
use lichen_net::Event;
use lichen_net::hub::{Reason, Records, Reply, Request};
use lichen_record::{Entry, SigningKey, decode, encode, verify};
use lichen_testkit::http::{self, Response};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::{contribution, join_and_wait_for_round, update, wait_for_round};
use crate::later;
use crate::process::Relay;
use crate::tab::{Tab, refused};

async fn follow(leader: &Relay) -> Relay {
    Relay::start_with(&["--follow", &leader.url]).await
}

/// The log as auditors get it.
async fn log(relay: &Relay) -> Records {
    let campaign = relay.info().await.campaign;
    decode(&relay.get(&format!("log/{campaign}")).await.body, 1 << 20).unwrap()
}

/// Waits for a connection to a relay's own address.
async fn connected_to(tab: &mut Tab, relay: &Relay) {
    let port = relay.url.trim_end_matches('/').rsplit_once(':').unwrap().1.to_owned();
    let port = format!("/tcp/{port}/");
    tab.wait_for(|event| matches!(event, Event::Connected { address, .. } if address.contains(&port))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_serves_all_there_is_to_read_and_takes_nothing() {
    let leader = Relay::start().await;
    let tab = Tab::start(&leader, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let cid = tab.put(update(0.01)).await;
    tab.append_well(&contribution(&tab, round, base, cid)).await;
    wait_for_round(&tab, round.next()).await;

    let follower = follow(&leader).await;
    let info = follower.info().await;
    assert_eq!(info.leader.as_deref(), Some(leader.url.trim_end_matches('/')));
    assert_eq!(info.address, leader.info().await.address, "tabs are told the leader's address first");
    tab.append_well(&Entry::Left { campaign: tab.campaign, sequence: 2 }).await;
    follower.metric_reaches("lichen_log_length", leader.length().await).await;
    assert_eq!(log(&follower).await, log(&leader).await);
    let (_, base) = wait_for_round(&tab, round.next()).await;
    for cid in [cid, base, info.campaign.0] {
        let path = format!("blob/{cid}");
        let (copy, original) = (follower.get(&path).await, leader.get(&path).await);
        assert_eq!((copy.status, copy.body), (200, original.body));
    }

    let reader = Tab::connect_to(&follower, &info.also[0], 3).await;
    let welcome = reader.hello().await;
    assert!(matches!(welcome, Reply::Welcome { is_following: true, .. }), "{welcome:?}");
    let entry = Entry::Joined { campaign: reader.campaign, sequence: 1 };
    assert_eq!(refused(&reader.append(&entry).await), Reason::Following);
    assert_eq!(refused(&reader.ask(Request::PutBlob { bytes: update(0.5) }).await), Reason::Following);
    let beyond = Request::Follow { campaign: reader.campaign, from: leader.length().await + 1 };
    assert_eq!(refused(&reader.ask(beyond).await), Reason::Behind);
    reader.follow_until(|entry| matches!(entry, Entry::Left { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_go_over_when_the_leader_dies_and_are_sent_back_when_it_returns() {
    let mut leader = Relay::start().await;
    let follower = follow(&leader).await;
    let mut tab = Tab::start(&follower, 1).await;
    tab.join(1).await;
    follower.metric_reaches("lichen_log_length", leader.length().await).await;

    leader.kill().await;
    connected_to(&mut tab, &follower).await;
    assert!(matches!(tab.hello().await, Reply::Welcome { is_following: true, .. }));
    let info = follower.info().await;
    assert!(info.address.contains(&info.peer), "who comes now is told the follower's address first");
    let leave = Entry::Left { campaign: tab.campaign, sequence: 2 };
    assert_eq!(refused(&tab.append(&leave).await), Reason::Following);
    tab.follow_until(|entry| matches!(entry, Entry::Joined { .. })).await;

    leader.restart().await;
    connected_to(&mut tab, &leader).await;
    assert!(matches!(tab.hello().await, Reply::Welcome { is_following: false, .. }));
    tab.append_well(&leave).await;
    assert!(follower.metric("lichen_sent_back_total").await >= 1);
    follower.metric_reaches("lichen_log_length", leader.length().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_starts_from_its_copy_while_the_leader_is_away() {
    let mut leader = Relay::start().await;
    Tab::start(&leader, 1).await.join(1).await;
    let mut follower = follow(&leader).await;
    leader.kill().await;
    let copied = log(&follower).await;
    follower.kill_and_restart().await;
    assert_eq!(log(&follower).await, copied);
    assert_eq!(follower.get("health/ready").await.status, 200);
    leader.restart().await;
    Tab::start(&leader, 2).await.join(1).await;
    follower.metric_reaches("lichen_log_length", leader.length().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_with_another_log_than_before_is_followed_no_longer() {
    let mut leader = Relay::start().await;
    Tab::start(&leader, 1).await.join(1).await;
    leader.kill().await;
    let old = TempDir::new().unwrap();
    copy(leader.data.path(), old.path());
    leader.restart().await;
    Tab::start(&leader, 2).await.join(1).await;
    let follower = follow(&leader).await;
    let copied = log(&follower).await;

    // Somebody puts an old copy back, and the coordinator goes on from there.
    leader.kill().await;
    copy(old.path(), leader.data.path());
    leader.restart().await;
    let other = Tab::start(&leader, 3).await;
    let campaign = other.campaign;
    for sequence in [1, 3, 5] {
        other.append_well(&Entry::Joined { campaign, sequence }).await;
        other.append_well(&Entry::Left { campaign, sequence: sequence + 1 }).await;
    }
    follower.metric_reaches("lichen_leader_faults_total", 1).await;
    assert_eq!(log(&follower).await, copied);
}

/// The address of a server that gives what the leader gives, and, once that is said, ends its log with a record of a later
/// version.
async fn ahead(leader: &Relay) -> (String, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let secret = fs::read(leader.data.path().join("account.key")).unwrap();
    let key = SigningKey::from_bytes(&secret.try_into().unwrap()).unwrap();
    let (is_ahead, leader) = (Arc::new(AtomicBool::new(false)), leader.url.clone());
    let said = Arc::clone(&is_ahead);
    tokio::spawn(async move {
        while let Ok((stream, _from)) = listener.accept().await {
            tokio::spawn(pass_on(stream, leader.clone(), key.clone(), Arc::clone(&said)));
        }
    });
    (address, is_ahead)
}

async fn pass_on(mut stream: TcpStream, leader: String, key: SigningKey, is_ahead: Arc<AtomicBool>) {
    let mut request = String::new();
    BufReader::new(&mut stream).read_line(&mut request).await.unwrap();
    let path = request.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
    let url = format!("{leader}{path}");
    let answer = tokio::task::spawn_blocking(move || http::get(&url, &[], PATIENCE)).await.unwrap();
    let Ok(Response { status, mut body, .. }) = answer else { return };
    if path.starts_with("log/") && is_ahead.load(Ordering::SeqCst) {
        let Records { mut records, head } = decode(&body, 1 << 20).unwrap();
        let head = *verify::<Head>(&head).unwrap().get();
        let (record, head) = later::record(&key, &head, records.last().unwrap().time);
        records.push(record);
        body = encode(&Records { records, head: key.sign(&head).unwrap() }).unwrap();
    }
    let answer =
        format!("HTTP/1.1 {status} .\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _gone = stream.write_all(&[answer.as_bytes(), &body].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_is_older_than_the_log_says_so_and_keeps_its_copy() {
    let leader = Relay::start().await;
    Tab::start(&leader, 1).await.join(1).await;
    let (address, is_ahead) = ahead(&leader).await;
    let mut follower = Relay::start_with(&["--follow", &address]).await;
    follower.metric_reaches("lichen_log_length", leader.length().await).await;
    let copied = log(&follower).await;

    is_ahead.store(true, Ordering::SeqCst);
    Tab::start(&leader, 2).await.join(1).await;
    let said = async {
        while !follower.log().contains("start a later version of lichen-relay") {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, said).await.unwrap();
    assert_eq!(follower.metric("lichen_leader_reachable").await, 0);
    assert_eq!(follower.metric("lichen_leader_faults_total").await, 0, "nobody has lied");
    assert_eq!(log(&follower).await, copied);
    follower.kill_and_restart().await;
    assert_eq!(log(&follower).await, copied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_with_the_key_takes_the_place_of_a_leader_that_is_gone() {
    let mut leader = Relay::start().await;
    let tab = Tab::start(&leader, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let cid = tab.put(update(0.01)).await;
    tab.append_well(&contribution(&tab, round, base, cid)).await;
    wait_for_round(&tab, round.next()).await;
    let mut follower = follow(&leader).await;
    follower.metric_reaches("lichen_log_length", leader.length().await).await;
    drop(tab);

    follower.kill().await;
    let said = fails(follower.data.path()).await;
    assert!(said.contains("account.key"), "{said}");
    let key = "account.key";
    fs::copy(leader.data.path().join(key), follower.data.path().join(key)).unwrap();
    let said = fails(follower.data.path()).await;
    assert!(said.contains("still orders the log"), "{said}");

    let before = log(&leader).await;
    leader.kill().await;
    follower.promote().await;
    assert_eq!(follower.info().await.leader, None);
    let tab = Tab::start(&follower, 2).await;
    tab.join(1).await;
    let (records, _) = tab.follow_until(|entry| matches!(entry, Entry::Joined { .. })).await;
    assert_eq!(records[0], before.records[0]);
    let after = log(&follower).await;
    assert_eq!(after.records[..before.records.len()], before.records);
    assert!(after.records.len() > before.records.len());

    // The one whose place was taken may follow now.
    leader.follow(&follower.url).await;
    leader.metric_reaches("lichen_log_length", follower.length().await).await;
}

fn copy(from: &Path, to: &Path) {
    for file in from.read_dir().unwrap() {
        let file = file.unwrap();
        let to = to.join(file.file_name());
        if file.path().is_dir() {
            fs::create_dir_all(&to).unwrap();
            copy(&file.path(), &to);
        } else {
            fs::copy(file.path(), to).unwrap();
        }
    }
}

/// What a relay with this data folder says when it does not start.
async fn fails(data: &Path) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lichen-relay"))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .output();
    let output = timeout(PATIENCE, output).await.unwrap().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}
