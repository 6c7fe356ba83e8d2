//! A campaign whose updates go from tab to tab: what the relay keeps of it, and what it refuses.

use lichen_learn::aggregate_checkpoint;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{Cid, Entry};
use tempfile::TempDir;

use crate::campaign::{Topology, contribution, join_and_wait_for_round, start, update, wait_for_round};
use crate::process::Relay;
use crate::tab::{Tab, refused};

/// A relay of the digits campaign as a mesh, with further options.
async fn mesh(options: &[&str]) -> (Relay, TempDir) {
    start(Topology::Mesh, options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_settles_without_the_updates_and_with_the_checkpoint_at_the_relay() {
    let (relay, _folder) = mesh(&[]).await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let bytes = update(0.01);
    let cid = Cid::of_raw(&bytes);
    tab.append_well(&contribution(&tab, round, base, cid)).await;
    tab.follow_until(|entry| matches!(entry, Entry::RoundClosed { .. })).await;

    let (result, checkpoint) = aggregate_checkpoint(&tab.get(base).await, &[(480, bytes)], 100.0).unwrap();
    let campaign = tab.campaign;
    let attestation =
        Entry::Attestation { campaign, round, base, result, excluded: 0, state: None, difference: None };
    assert_eq!(refused(&tab.append(&attestation).await), Reason::CheckpointMissing);
    assert_eq!(tab.put(checkpoint.clone()).await, result);
    tab.append_well(&attestation).await;
    let (_, next_base) = wait_for_round(&tab, round.next()).await;
    assert_eq!(next_base, result);
    assert_eq!(tab.get(result).await, checkpoint);
    assert_eq!(refused(&tab.ask(Request::GetBlob { cid }).await), Reason::NotFound);
    assert_eq!(relay.refusals().await.get("checkpoint_missing"), Some(&1));
}

#[tokio::test(flavor = "multi_thread")]
async fn pinned_updates_are_kept_within_a_quota() {
    let (relay, _folder) = mesh(&["--pinned-bytes-per-minute=30000"]).await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    let bytes = update(0.01);
    let pinned = tab.put(bytes.clone()).await;
    tab.append_well(&contribution(&tab, round, base, pinned)).await;
    assert_eq!(tab.get(pinned).await, bytes);
    // An update has some 9,700 bytes: three of them fit, four do not.
    for (step, is_within) in [(0.02, true), (0.03, true), (0.04, false)] {
        let reply = tab.ask(Request::PutBlob { bytes: update(step) }).await;
        match is_within {
            true => assert!(matches!(reply, Reply::Stored { .. }), "{reply:?}"),
            false => assert_eq!(refused(&reply), Reason::QuotaPinned),
        }
    }
    assert_eq!(relay.refusals().await.get("quota_pinned"), Some(&1));
    let metrics = relay.get("metrics").await.text();
    assert!(metrics.contains("limit=\"pinned_bytes\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_that_nobody_attests_ends_at_its_deadline() {
    let (relay, _folder) = mesh(&[]).await;
    let tab = Tab::start(&relay, 1).await;
    let (round, base) = join_and_wait_for_round(&tab).await;
    tab.append_well(&contribution(&tab, round, base, Cid::of_raw(b"lost"))).await;
    let closings = std::cell::Cell::new(0);
    tab.follow_until(|entry| {
        closings.set(closings.get() + u32::from(matches!(entry, Entry::RoundClosed { .. })));
        closings.get() == 2
    })
    .await;
    // With the checkpoint that it began with.
    relay.metric_reaches("lichen_rounds_settled", 1).await;
}
