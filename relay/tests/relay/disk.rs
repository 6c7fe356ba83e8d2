//! A disk that is full: nothing acknowledged is lost, everybody learns why nothing goes on, and it goes on by itself.

use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use lichen_net::hub::{Cause, Reason, Request};
use lichen_record::Entry;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::{contribution, join_and_wait_for_round, update};
use crate::process::Relay;
use crate::tab::{Tab, next_notice, refused};

/// A small disk at a relay's data folder, which only a process in its name space sees.
struct SmallDisk {
    holder: Child,
    /// Where we see it.
    seen: PathBuf,
}

impl SmallDisk {
    /// A relay on a small disk.
    async fn relay() -> (Self, Relay) {
        let data = TempDir::new().unwrap();
        let script = format!(
            "mount -t tmpfs -o size=8m tmpfs {} && echo mounted && exec sleep 1000",
            data.path().display()
        );
        let mut holder = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        assert_eq!(line.as_deref(), Some("mounted"), "this machine lets nobody mount a disk in a name space");
        let process = holder.id().unwrap();
        let inside = data.path().strip_prefix("/").unwrap();
        let seen = PathBuf::from(format!("/proc/{process}/root")).join(inside);
        let target = process.to_string();
        let enter = ["nsenter", "--target", &target, "--user", "--mount", "--preserve-credentials", "--"];
        let relay =
            Relay::start_by(data, &enter, &["--entries-per-minute", "1000000", "--reserve-bytes", "1"]).await;
        (Self { holder, seen }, relay)
    }

    /// Leaves no byte free.
    fn fill(&self) {
        assert!(self.holder.id().is_some());
        let mut size = 1 << 20;
        let mut content = Vec::new();
        let mut file = fs::File::options().create(true).append(true).open(self.filler()).unwrap();
        while size > 0 {
            content.resize(size, 1);
            if std::io::Write::write_all(&mut file, &content).is_err() {
                size /= 2;
            }
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.seen.join("filler")
    }
}

/// Waits until the relay says that it is ready, or that it is not, and returns what else it says.
async fn readiness(relay: &Relay, status: u16) -> String {
    let reached = async {
        loop {
            let answer = relay.get("health/ready").await;
            if answer.status == status {
                return answer.text();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_late| panic!("it never answered {status}: {}", relay.log()))
}

/// Waits until the relay says that it cannot write its log.
async fn stands_still(relay: &Relay) {
    while !relay.log().contains("part=Log") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_to_everybody_and_goes_on_once_there_is_room() {
    let (disk, relay) = SmallDisk::relay().await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let watch = Request::Watch { campaign: tab.campaign, from: 0 }.to_bytes().unwrap();
    let mut notices = tab.begin(watch);

    disk.fill();
    let reply = tab.ask(Request::PutBlob { bytes: vec![7; 1_000_000] }).await;
    // What is left is the log's reserve.
    assert_eq!(refused(&reply), Reason::DiskFull);
    assert!(readiness(&relay, 503).await.contains("full"));
    assert_eq!(next_notice(&mut notices).await.stall, Some(Cause::StoreFull));
    assert_eq!(relay.metric("lichen_stalled{cause=\"store_full\"}").await, 1);
    assert!(relay.log().contains("the disk is full"), "{}", relay.log());

    disk.free();
    assert_eq!(readiness(&relay, 200).await, "ready");
    assert_eq!(next_notice(&mut notices).await.stall, None);
    assert_eq!(relay.metric("lichen_stalled{cause=\"store_full\"}").await, 0);
    let cid = tab.put(update(0.01)).await;
    tab.append_well(&contribution(&tab, round, base, cid)).await;
    tab.follow_until(|entry| matches!(entry, Entry::RoundClosed { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_has_no_room_waits_for_it_and_loses_nothing() {
    let (disk, mut relay) = SmallDisk::relay().await;
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    disk.fill();
    let (mut sequence, mut length) = (1, relay.length().await);
    // The entry that finds no room is neither taken nor refused: it has its place, and waits for it to be written.
    loop {
        sequence += 1;
        let campaign = tab.campaign;
        let is_joining = sequence % 2 == 1;
        let entry = if is_joining {
            Entry::Joined { campaign, sequence }
        } else {
            Entry::Left { campaign, sequence }
        };
        tokio::select! {
            biased;
            receipt = tab.append_well(&entry) => length = receipt.head.length,
            () = stands_still(&relay) => break,
        }
    }
    assert!(readiness(&relay, 503).await.contains("full"));
    let other = Tab::start(&relay, 2).await;
    let join = Entry::Joined { campaign: other.campaign, sequence: 1 };
    assert_eq!(refused(&other.append(&join).await), Reason::StoreFailing);

    // Even now it can be started, and shows all that it has acknowledged.
    relay.kill_and_restart().await;
    assert!(relay.length().await >= length);

    disk.free();
    assert_eq!(readiness(&relay, 200).await, "ready");
    let tab = Tab::start(&relay, 2).await;
    tab.join(1).await;
    let (records, _) = tab.follow_until(|entry| matches!(entry, Entry::Joined { sequence: 1, .. })).await;
    assert!(!records.is_empty());
}
