//! A campaign that ends when its goal is reached.

use lichen_learn::aggregate_checkpoint;
use lichen_net::hub::Reason;
use lichen_record::{Cid, Entry, RoundNumber};
use lichen_round::Refusal;
use tempfile::TempDir;

use crate::PATIENCE;
use crate::campaign::{
    BOTH, Topology, attest, changed, contribute, contribution, join_and_wait_for_round, update,
    wait_for_round,
};
use crate::going_back::back_to;
use crate::process::Relay;
use crate::tab::{Tab, refused};

/// A goal that every model reaches, and what follows then.
const WITHIN_REACH: &str = "target_accuracy = 0.0\nat_target = \"finish\"";
const OUT_OF_REACH: &str = "target_accuracy = 1.0\nat_target = \"finish\"";
const GOES_ON: &str = "target_accuracy = 0.0\nat_target = \"continue\"";

const SECOND: RoundNumber = RoundNumber(2);

async fn start(topology: Topology, goal: &str) -> (Relay, TempDir) {
    let folder = match topology {
        Topology::Hub => changed("target_accuracy = 0.95", goal),
        Topology::Mesh => changed("topology = \"hub\"", "topology = \"mesh\""),
    };
    let manifest = folder.path().join("campaign.toml");
    let text = std::fs::read_to_string(&manifest).unwrap().replace("target_accuracy = 0.95", goal);
    std::fs::write(&manifest, text).unwrap();
    (Relay::start_with(&["--campaign", folder.path().to_str().unwrap()]).await, folder)
}

/// Takes part in a round, with its checkpoint at the relay first, as a mesh asks for.
async fn settle(tab: &Tab, (round, base): (RoundNumber, Cid), step: f32) -> Cid {
    let update = contribute(tab, (round, base), step).await;
    let before = tab.get(base).await;
    let (result, checkpoint) = aggregate_checkpoint(&before, &[(480, update.clone())], 100.0).unwrap();
    tab.put(checkpoint).await;
    assert_eq!(attest(tab, (round, base), &[update]).await.0, result);
    result
}

/// Two rounds settle; what they settled with.
async fn two_rounds(tab: &Tab) -> [Cid; 2] {
    let first = settle(tab, join_and_wait_for_round(tab).await, 0.01).await;
    let second = wait_for_round(tab, SECOND).await;
    [first, settle(tab, second, 0.02).await]
}

fn is_end(entry: &Entry) -> bool {
    matches!(entry, Entry::Finished { .. })
}

async fn now(relay: &Relay) -> serde_json::Value {
    serde_json::from_str(&relay.get("now.json").await.text()).unwrap()
}

/// Waits until the relay tells what it measured.
async fn measured(relay: &Relay) {
    let told = async {
        while now(relay).await["accuracy"]["source"].as_str() != Some("measured") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("nothing was measured");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_rounds_that_reach_the_goal_end_it_for_good() {
    for topology in BOTH {
        let (mut relay, _folder) = start(topology, WITHIN_REACH).await;
        let tab = Tab::start(&relay, 1).await;
        let [_first, result] = two_rounds(&tab).await;
        let (_records, end) = tab.follow_until(is_end).await;
        assert_eq!(end, Entry::Finished { campaign: tab.campaign, round: SECOND });

        for is_restarted in [false, true] {
            if is_restarted {
                let length = relay.length().await;
                relay.kill_and_restart().await;
                assert_eq!(relay.length().await, length);
                measured(&relay).await;
            }
            let other = Tab::start(&relay, 2).await;
            let finished = Reason::Inadmissible(Refusal::Finished);
            let joined = Entry::Joined { campaign: other.campaign, sequence: 1 };
            assert_eq!(refused(&other.append(&joined).await), finished);
            let tab = Tab::start(&relay, 1).await;
            let cid = tab.put(update(0.03)).await;
            let late = contribution(&tab, SECOND.next(), result, cid);
            assert_eq!(refused(&tab.append(&late).await), finished);
            let now = now(&relay).await;
            assert_eq!((now["finished"].as_bool(), now["goal_reached"].as_bool()), (Some(true), Some(true)));
            assert_eq!(now["checkpoint"].as_str(), Some(result.to_string().as_str()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_killed_on_the_way_to_the_end_comes_to_it_once() {
    for topology in BOTH {
        let (mut relay, _folder) = start(topology, WITHIN_REACH).await;
        two_rounds(&Tab::start(&relay, 1).await).await;
        relay.kill_and_restart().await;
        let tab = Tab::start(&relay, 1).await;
        let (records, _end) = tab.follow_until(is_end).await;
        assert_eq!(relay.length().await, records.len() as u64, "nothing follows");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_relay_measured_is_told_as_measured() {
    let (mut relay, _folder) = start(Topology::Hub, OUT_OF_REACH).await;
    let tab = Tab::start(&relay, 1).await;
    two_rounds(&tab).await;
    wait_for_round(&tab, SECOND.next()).await;
    let told = now(&relay).await;
    let (source, value) = (told["accuracy"]["source"].as_str(), told["accuracy"]["value"].as_f64().unwrap());
    assert_eq!((source, told["finished"].as_bool()), (Some("measured"), Some(false)), "{told}");
    // What its contributors claim is 0.9.
    assert!(value < 0.9, "{told}");
    relay.kill_and_restart().await;
    measured(&relay).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_ends_nothing_ends_nothing() {
    let (relay, _folder) = start(Topology::Hub, GOES_ON).await;
    let tab = Tab::start(&relay, 1).await;
    two_rounds(&tab).await;
    wait_for_round(&tab, SECOND.next()).await;
    assert_eq!(now(&relay).await["accuracy"]["source"].as_str(), Some("claimed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_opens_it_again_by_going_back() {
    let (mut relay, _folder) = start(Topology::Hub, WITHIN_REACH).await;
    let tab = Tab::start(&relay, 1).await;
    let [first, _second] = two_rounds(&tab).await;
    tab.follow_until(is_end).await;
    tab.append_well(&Entry::Left { campaign: tab.campaign, sequence: 2 }).await;

    // The checkpoint that it ended with is no way back.
    for (round, base) in [("2", None), ("1", Some(first))] {
        let length = relay.length().await;
        relay.kill().await;
        assert!(back_to(relay.data.path(), round).status.success());
        relay.restart().await;
        let tab = Tab::start(&relay, 1).await;
        let Some(base) = base else {
            assert_eq!(relay.length().await, length);
            assert!(!relay.data.path().join("back-to").exists());
            continue;
        };
        assert_eq!(wait_for_round(&tab, SECOND.next()).await, (SECOND.next(), base));
        assert_eq!(now(&relay).await["finished"].as_bool(), Some(false));
        tab.join(3).await;
        settle(&tab, (SECOND.next(), base), 0.03).await;
    }
}
