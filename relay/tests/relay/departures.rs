//! People close tabs: rounds do not wait for whoever is gone, and take back whoever returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lichen_log::Record;
use lichen_net::hub::Reply;
use lichen_record::{Cid, Entry, RoundNumber, verify};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::PATIENCE;
use crate::campaign::{self, attest, wait_for_round};
use crate::process::Relay;
use crate::tab::Tab;

/// How soon the others' round goes on once somebody is gone.
const SOON: Duration = Duration::from_secs(3);

/// A relay whose rounds wait long for whoever is expected.
async fn patient() -> (Relay, TempDir) {
    let folder = campaign::changed("deadline_seconds = 10", "deadline_seconds = 60");
    let relay = Relay::start_with(&["--campaign", folder.path().to_str().unwrap()]).await;
    (relay, folder)
}

async fn contribute(tab: &Tab, round: (RoundNumber, Cid)) -> Vec<u8> {
    campaign::contribute(tab, round, 0.01).await
}

/// Both take part in the first round, which opens for the first of them alone.
async fn first_round(one: &Tab, two: &Tab) -> (RoundNumber, Cid) {
    two.join(1).await;
    one.join(1).await;
    let (round, base) = wait_for_round(one, RoundNumber::FIRST).await;
    let update = contribute(one, (round, base)).await;
    contribute(two, (round, base)).await;
    let both = [update.clone(), update];
    tokio::join!(attest(one, (round, base), &both), attest(two, (round, base), &both));
    wait_for_round(one, round.next()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_tab_holds_nobody_up() {
    let (relay, _folder) = patient().await;
    let (one, two) = (Tab::start(&relay, 1).await, Tab::start(&relay, 2).await);
    let (round, base) = first_round(&one, &two).await;
    let bytes = contribute(&one, (round, base)).await;

    let gone = Instant::now();
    drop(two);
    attest(&one, (round, base), &[bytes]).await;
    wait_for_round(&one, round.next()).await;
    assert!(gone.elapsed() < SOON, "{:?}", gone.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_contributed_and_is_gone_holds_nobody_up() {
    let (relay, _folder) = patient().await;
    let (one, two) = (Tab::start(&relay, 1).await, Tab::start(&relay, 2).await);
    let (round, base) = first_round(&one, &two).await;
    contribute(&two, (round, base)).await;

    let gone = Instant::now();
    drop(two);
    let bytes = contribute(&one, (round, base)).await;
    attest(&one, (round, base), &[bytes.clone(), bytes]).await;
    wait_for_round(&one, round.next()).await;
    assert!(gone.elapsed() < SOON, "{:?}", gone.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reloaded_tab_is_waited_for() {
    let (relay, _folder) = patient().await;
    let (one, two) = (Tab::start(&relay, 1).await, Tab::start(&relay, 2).await);
    let (round, base) = first_round(&one, &two).await;
    contribute(&one, (round, base)).await;

    drop(two);
    let two = Tab::start(&relay, 2).await;
    // Its second connection goes, and the first one stays.
    drop(Tab::start(&relay, 2).await);
    contribute(&two, (round, base)).await;
    let is_closed =
        |entry: &Entry| matches!(entry, Entry::RoundClosed { round: closed, .. } if *closed == round);
    let (records, _) = one.follow_until(is_closed).await;
    let departed =
        |record: &Record| matches!(verify::<Entry>(&record.entry).unwrap().get(), Entry::Departed { .. });
    let departed = records.iter().any(departed);
    assert!(!departed, "it came back at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_gone_takes_part_again() {
    let (relay, _folder) = patient().await;
    let (one, two) = (Tab::start(&relay, 1).await, Tab::start(&relay, 2).await);
    let (round, base) = first_round(&one, &two).await;
    let bytes = contribute(&one, (round, base)).await;
    drop(two);
    attest(&one, (round, base), &[bytes]).await;
    let (round, base) = wait_for_round(&one, round.next()).await;
    let two = Tab::start(&relay, 2).await;
    contribute(&two, (round, base)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_come_back_to_a_relay_started_again_is_gone() {
    let (mut relay, _folder) = patient().await;
    let (one, two) = (Tab::start(&relay, 1).await, Tab::start(&relay, 2).await);
    let (round, base) = first_round(&one, &two).await;
    contribute(&one, (round, base)).await;
    drop((one, two));
    relay.kill_and_restart().await;
    let one = Tab::start(&relay, 1).await;
    one.follow_until(|entry| matches!(entry, Entry::RoundClosed { round: closed, .. } if *closed == round))
        .await;
}

/// A way to the relay that can be cut, so that packets vanish and nobody is told.
struct Path {
    port: u16,
    is_cut: Arc<AtomicBool>,
}

impl Path {
    async fn to(relay: &Relay) -> Self {
        let target = relay.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_cut = Arc::new(AtomicBool::new(false));
        let cut = Arc::clone(&is_cut);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(&target).await.unwrap();
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(pass(near_in, far_out, Arc::clone(&cut)));
                tokio::spawn(pass(far_in, near_out, Arc::clone(&cut)));
            }
        });
        Self { port, is_cut }
    }
}

async fn pass(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    is_cut: Arc<AtomicBool>,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count) = from.read(&mut buffer).await else { return };
        if is_cut.load(Ordering::Relaxed) {
            // What comes is lost, and both ends stay open.
            std::future::pending::<()>().await;
        }
        if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_path_is_found_out() {
    let (relay, _folder) = patient().await;
    let path = Path::to(&relay).await;
    let peer = relay.info().await.peer;
    let address = format!("/ip4/127.0.0.1/tcp/{}/ws/p2p/{peer}", path.port);
    let tab = Tab::connect_to(&relay, &address, 1).await;
    assert!(matches!(tab.hello().await, Reply::Welcome { .. }));
    // Nothing is said for longer than a dead path would be borne.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(relay.metric("lichen_peers").await, 1, "a quiet tab is no dead one");

    path.is_cut.store(true, Ordering::Relaxed);
    let cut = Instant::now();
    while relay.metric("lichen_peers").await > 0 {
        assert!(cut.elapsed() < PATIENCE, "the relay still believes in it");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
