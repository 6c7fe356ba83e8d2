//! What survives when the relay is killed, and how it ends when it is asked to.

use std::time::Duration;

use lichen_log::Receipt;
use lichen_net::hub::{Records, Reply, Request};
use lichen_net::{Disconnection, Event, MAX_FRAME};
use lichen_record::{CampaignId, Entry, decode, verify};
use tokio::time::timeout;

use crate::PATIENCE;
use crate::campaign::{contribution, join_and_wait_for_round, update, wait_for_round};
use crate::process::Relay;
use crate::tab::{Answer, Tab};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_relay_goes_on_in_the_middle_of_a_round() {
    let mut relay = Relay::start().await;
    let mut tab = Tab::start(&relay, 1).await;
    let other = Tab::start(&relay, 2).await;
    other.join(1).await;
    let (round, base) = wait_for_round(&other, lichen_record::RoundNumber::FIRST).await;
    tab.join(1).await;
    let cid = tab.put(update(0.01)).await;
    tab.append_well(&contribution(&tab, round, base, cid)).await;
    let length = relay.length().await;

    relay.kill_and_restart().await;
    assert_eq!(relay.length().await, length, "an acknowledged entry is lost");
    let lost = tab.wait_for(|event| matches!(event, Event::Disconnected { .. })).await;
    assert!(matches!(lost, Event::Disconnected { reason: Disconnection::Lost, retry_in: Some(_) }));
    tab.wait_for(|event| matches!(event, Event::Connected { .. })).await;

    // A new connection is a new session.
    assert!(matches!(tab.hello().await, Reply::Welcome { .. }));
    assert_eq!(tab.get(cid).await, update(0.01));
    let other = Tab::start(&relay, 2).await;
    let cid = other.put(update(-0.01)).await;
    other.append_well(&contribution(&other, round, base, cid)).await;
    other.follow_until(|entry| matches!(entry, Entry::RoundClosed { .. })).await;
}

/// How often a relay is killed under load; `LICHEN_KILLS=100` for the long form.
fn kills() -> u64 {
    std::env::var("LICHEN_KILLS").map_or(4, |kills| kills.parse().expect("LICHEN_KILLS is a number"))
}

/// The chain's hash up to this record, if it is there.
async fn hash_at(relay: &Relay, campaign: CampaignId, index: u64) -> Option<[u8; 32]> {
    let page = relay.get(&format!("log/{campaign}?from={index}&limit=1")).await;
    let Records { records, .. } = decode(&page.body, MAX_FRAME).unwrap();
    records.first().map(|record| record.hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_entry_is_ever_lost() {
    let mut relay = Relay::start_with(&["--entries-per-minute", "100000"]).await;
    let (mut acknowledged, mut total) = (Vec::new(), 0);
    for turn in 0..kills() {
        let tab = Tab::start(&relay, 1).await;
        let campaign = tab.campaign;
        let append = async {
            let mut sequence = turn * 1_000_000;
            loop {
                sequence += 1;
                let entry = if sequence % 2 == 1 {
                    Entry::Joined { campaign, sequence }
                } else {
                    Entry::Left { campaign, sequence }
                };
                let entry = tab.key.sign(&entry).unwrap();
                let request = Request::Append { campaign, entry }.to_bytes().unwrap();
                match tab.begin(request).recv().await {
                    Some(Answer::Reply(Reply::Receipt { receipt })) => {
                        acknowledged.push(*verify::<Receipt>(&receipt).unwrap().get());
                    }
                    // What the relay said before the kill may leave the account in or out.
                    Some(Answer::Reply(Reply::Refused { .. })) => {}
                    _ => return,
                }
            }
        };
        let kill = async {
            tokio::time::sleep(Duration::from_millis(150 + 70 * (turn % 4))).await;
            relay.kill_and_restart().await;
        };
        tokio::join!(append, kill);
        let since = acknowledged.split_off(0);
        for receipt in &since {
            assert_eq!(hash_at(&relay, campaign, receipt.head.length - 1).await, Some(receipt.head.hash));
        }
        total += since.len() as u64;
    }
    assert!(total > 5 * kills(), "only {total} entries were appended");
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_find_the_relay_that_takes_over_by_themselves() {
    let reserve = lichen_testkit::http::free_port().unwrap();
    let nowhere = "/ip4/127.0.0.1/tcp/1/ws";
    let also = format!("/ip4/127.0.0.1/tcp/{reserve}/ws");
    let mut relay = Relay::start_with(&["--also", nowhere, "--also", &also]).await;
    let peer = relay.info().await.address.rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(relay.info().await.also[1], format!("{also}/p2p/{peer}"));
    let mut tab = Tab::start(&relay, 1).await;
    tab.join(1).await;

    relay.kill_and_take_over(&format!("127.0.0.1:{reserve}")).await;
    let connected = tab.wait_for(|event| matches!(event, Event::Connected { .. })).await;
    assert!(matches!(connected, Event::Connected { address, .. } if address.starts_with(&also)));
    assert!(matches!(tab.hello().await, Reply::Welcome { .. }));
    tab.append_well(&Entry::Left { campaign: tab.campaign, sequence: 2 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_keys_stay_the_same() {
    let mut relay = Relay::start().await;
    let address = relay.info().await.address;
    relay.kill_and_restart().await;
    assert_eq!(relay.info().await.address, address);
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_it_finishes_and_ends_well() {
    let mut relay = Relay::start().await;
    let mut tab = Tab::start(&relay, 1).await;
    let (_, _) = join_and_wait_for_round(&tab).await;
    let follow = Request::Follow { campaign: tab.campaign, from: 0 };
    let mut following = tab.begin(follow.to_bytes().unwrap());
    let first = timeout(PATIENCE, following.recv()).await.expect("the relay answers");
    assert!(matches!(first, Some(Answer::Reply(_))), "the relay serves the stream before it is asked to end");

    let (status, took) = relay.terminate().await;
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let mut last = None;
    while let Some(answer) = timeout(PATIENCE, following.recv()).await.expect("the stream goes on") {
        last = Some(answer);
    }
    assert!(matches!(last, Some(Answer::Ended)), "the stream broke off");
    tab.wait_for(|event| matches!(event, Event::Disconnected { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_in_use_is_refused() {
    let relay = Relay::start().await;
    let second = tokio::process::Command::new(env!("CARGO_BIN_EXE_lichen-relay"))
        .args(["--listen", "127.0.0.1:0", "--data"])
        .arg(relay.data.path())
        .output();
    let second = timeout(PATIENCE, second).await.unwrap().unwrap();
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("relay.redb"), "{said}");
}
