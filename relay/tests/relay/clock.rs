//! What a machine's clock that is wrong, or is set, does to a campaign: nothing but to be said.

use std::fs;
use std::path::PathBuf;

use lichen_net::hub::{Notice, Reply, Request};
use lichen_record::Entry;
use tempfile::TempDir;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::{self, contribute, join_and_wait_for_round, take_part, wait_for_round};
use crate::process::Relay;
use crate::tab::{Answer, Tab, next_notice};

const DAY: i64 = 24 * 60 * 60;

/// A machine's clock that can be set.
struct Clock {
    _folder: TempDir,
    file: PathBuf,
}

impl Clock {
    fn off_by(seconds: i64) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Self { file: folder.path().join("seconds"), _folder: folder };
        clock.set(seconds);
        clock
    }

    fn set(&self, seconds: i64) {
        fs::write(&self.file, seconds.to_string()).unwrap();
    }

    async fn relay(&self) -> Relay {
        Relay::start_with(&["--rehearse-clock", self.file.to_str().unwrap()]).await
    }
}

/// What the relay says of itself to whoever watches.
async fn notice(tab: &Tab) -> Notice {
    let watch = Request::Watch { campaign: tab.campaign, from: 0 };
    let mut answers = tab.begin(watch.to_bytes().unwrap());
    next_notice(&mut answers).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_stops_no_campaign() {
    let clock = Clock::off_by(DAY);
    let mut relay = clock.relay().await;
    let tab = Tab::start(&relay, 1).await;
    let (round, _base) = join_and_wait_for_round(&tab).await;
    take_part(&tab, wait_for_round(&tab, round).await, 0.01).await;

    clock.set(0);
    relay.kill_and_restart().await;
    let tab = Tab::start(&relay, 1).await;
    take_part(&tab, wait_for_round(&tab, round.next()).await, 0.01).await;
    let ahead = notice(&tab).await.clock_ahead;
    assert!((80_000..90_000).contains(&ahead), "{ahead}");
    assert!(relay.log().contains("ahead of this machine's clock"), "{}", relay.log());
    // The log's time never goes back.
    let (records, _) = tab.follow_until(|entry| matches!(entry, Entry::RoundClosed { .. })).await;
    assert!(records.is_sorted_by_key(|record| record.time));
    assert_eq!(relay.get("health/ready").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_while_the_relay_runs_ends_nothing() {
    let clock = Clock::off_by(0);
    let folder = campaign::changed("deadline_seconds = 10", "deadline_seconds = 60");
    let campaign = folder.path().to_str().unwrap();
    let file = clock.file.to_str().unwrap();
    let relay = Relay::start_with(&["--rehearse-clock", file, "--campaign", campaign]).await;
    let tab = Tab::start(&relay, 1).await;
    let other = Tab::start(&relay, 2).await;
    other.join(1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    contribute(&tab, (round, base), 0.01).await;
    for offset in [3 * DAY, -3 * DAY] {
        clock.set(offset);
        // The round still waits for the other, and whoever has the right time is known.
        let third = Tab::connect(&relay, 3).await;
        assert!(matches!(third.hello().await, Reply::Welcome { .. }), "{offset}");
    }
    let before = relay.length().await;
    contribute(&other, (round, base), 0.02).await;
    let (records, _) = other.follow_until(|entry| matches!(entry, Entry::RoundClosed { .. })).await;
    let closed = records.last().unwrap();
    assert!(closed.index > before, "the round was closed before its time");
    assert!(records.windows(2).all(|pair| pair[1].time - pair[0].time < 60_000), "the log's time jumped");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_nothing_of_itself_is_followed_as_before() {
    let relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    tab.join(1).await;
    let watch = Request::Watch { campaign: tab.campaign, from: 0 };
    let mut answers = tab.begin(watch.to_bytes().unwrap());
    let first = timeout(PATIENCE, answers.recv()).await.unwrap();
    assert!(matches!(first, Some(Answer::Reply(Reply::Records(_)))), "all is well, and need not be said");
}
