//! The operator goes back to an earlier checkpoint.

use std::path::Path;
use std::process::{Command, Output};

use lichen_record::{Cid, RoundNumber};

use crate::campaign::{join_and_wait_for_round, take_part, wait_for_round};
use crate::process::Relay;
use crate::tab::Tab;

pub(crate) fn back_to(data: &Path, round: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lichen-relay"));
    command.args(["back-to", "--round", round, "--data"]).arg(data).output().unwrap()
}

/// Takes part in a round, and waits until the next one opens on its result.
async fn settle(tab: &Tab, (round, base): (RoundNumber, Cid), step: f32) -> (RoundNumber, Cid) {
    take_part(tab, (round, base), step).await;
    wait_for_round(tab, round.next()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_round_begins_with_the_checkpoint_that_was_asked_for() {
    let mut relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let second = settle(&tab, join_and_wait_for_round(&tab).await, 0.01).await;
    let third = settle(&tab, second, 0.02).await;
    assert_ne!(second.1, third.1);

    let refused = back_to(relay.data.path(), "1");
    assert!(!refused.status.success(), "the relay runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stop the relay first"), "{refused:?}");
    relay.kill().await;
    let asked = back_to(relay.data.path(), "1");
    assert!(asked.status.success(), "{asked:?}");
    relay.restart().await;

    // The third round is under way and ends first; the fourth goes on from what the first one settled with.
    let tab = Tab::start(&relay, 1).await;
    let fourth = settle(&tab, third, 0.01).await;
    assert_eq!(fourth, (RoundNumber(4), second.1));
    // It is done once: the fifth goes on from the fourth.
    let fifth = settle(&tab, fourth, 0.02).await;
    assert_eq!(fifth.1, third.1, "the same update of the same checkpoint");
    assert!(!relay.data.path().join("back-to").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_never_settled_changes_nothing() {
    let mut relay = Relay::start().await;
    let tab = Tab::start(&relay, 1).await;
    let second = settle(&tab, join_and_wait_for_round(&tab).await, 0.01).await;
    relay.kill().await;
    assert!(back_to(relay.data.path(), "17").status.success());
    relay.restart().await;
    assert!(!relay.data.path().join("back-to").exists());
    let tab = Tab::start(&relay, 1).await;
    let third = settle(&tab, second, 0.02).await;
    assert_ne!(third.1, second.1);
}
