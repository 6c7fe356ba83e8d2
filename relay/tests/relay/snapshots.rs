//! Snapshots of what the log comes to: who writes them, what is kept of them, and that the relay begins with them.

use std::fs;

use lichen_log::{Authority, Replica};
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{Cid, Entry, verify};
use lichen_round::{CampaignState, Rules};

use crate::campaign::changed;
use crate::process::Relay;
use crate::tab::{Tab, refused};

const EVERY: &str = "[log]\nsnapshots = 4\n\n[rounds]";

/// A relay whose log has a snapshot every few entries, and a folder that has to stay.
async fn start() -> (Relay, tempfile::TempDir) {
    let folder = changed("[rounds]", EVERY);
    (Relay::start_with(&["--campaign", folder.path().to_str().unwrap()]).await, folder)
}

/// Joins and leaves this often.
async fn come_and_go(tab: &Tab, from: u64, times: u64) {
    for sequence in (from..).take(usize::try_from(times).unwrap()).map(|number| 2 * number) {
        tab.join(sequence).await;
        tab.append_well(&Entry::Left { campaign: tab.campaign, sequence: sequence + 1 }).await;
    }
}

/// The states that the log's snapshots name, by place.
async fn snapshots(tab: &Tab, length: u64) -> Vec<(u64, Cid)> {
    let (records, _last) = tab.read(length).await;
    let named = records.iter().filter_map(|record| match verify::<Entry>(&record.entry).unwrap().get() {
        Entry::Snapshot { state, .. } => Some((record.index, *state)),
        _ => None,
    });
    named.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_writes_snapshots_keeps_two_and_begins_with_the_newest() {
    let (mut relay, folder) = start().await;
    let tab = Tab::start(&relay, 1).await;
    come_and_go(&tab, 1, 12).await;
    let length = relay.length().await;
    let all = snapshots(&tab, length).await;
    assert!(all.len() >= 4, "{all:?}");
    let [.., dropped, _, newest] = all[..] else { unreachable!() };
    assert_eq!(refused(&tab.ask(Request::GetBlob { cid: dropped.1 }).await), Reason::NotFound);

    // Whoever begins there gets to the same head, and to the same state as whoever reads everything.
    let text = fs::read(folder.path().join("campaign.toml")).unwrap();
    let rules = Rules::from(&lichen_campaign::Manifest::from_bytes(&text).unwrap());
    let Reply::Snapshot(beginning) = tab.ask(Request::Snapshot { campaign: tab.campaign }).await else {
        panic!("there is one")
    };
    assert_eq!(beginning.record.index, newest.0);
    let bytes = tab.get(newest.1).await;
    let mut begun = CampaignState::from_bytes(tab.campaign, rules, &bytes).unwrap();
    let (coordinator, initial) = (begun.coordinator().unwrap(), begun.initial().unwrap());
    let mut replica = Replica::beginning(tab.campaign, coordinator, initial, &beginning);
    let mut whole = Replica::new(tab.campaign, Authority::Account(coordinator), initial);
    let mut folded = CampaignState::new(tab.campaign, rules);
    let (records, head) = tab.read(length).await;
    whole.believe(&head, records.len()).unwrap();
    replica.believe(&head, 0).unwrap();
    for record in &records {
        folded.apply(record.time, &whole.take(record).unwrap()).unwrap();
        if record.index >= newest.0 {
            begun.apply(record.time, &replica.take(record).unwrap()).unwrap();
        }
    }
    assert!(replica.is_complete());
    assert_eq!(begun, folded);

    let state = begun.to_bytes();
    let own = Entry::Snapshot { campaign: tab.campaign, state: Cid::of_raw(&state) };
    let refusal = refused(&tab.append(&own).await);
    assert!(matches!(refusal, Reason::Inadmissible(lichen_round::Refusal::NotCoordinator)), "{refusal:?}");

    relay.kill_and_restart().await;
    let tab = Tab::start(&relay, 1).await;
    assert!(relay.length().await >= length);
    come_and_go(&tab, 100, 6).await;
    let later = snapshots(&tab, relay.length().await).await;
    assert!(later.len() > all.len() && later.starts_with(&all), "{later:?}");
    // What was kept before the restart has gone by now.
    assert_eq!(refused(&tab.ask(Request::GetBlob { cid: newest.1 }).await), Reason::NotFound);
    let kept = later.last().unwrap().1;
    assert!(!tab.get(kept).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_makes_its_own_copies_and_a_damaged_one_is_no_hindrance() {
    let (leader, _folder) = start().await;
    let tab = Tab::start(&leader, 1).await;
    come_and_go(&tab, 1, 12).await;
    let mut follower = Relay::start_with(&["--follow", &leader.url]).await;
    let length = leader.length().await;
    follower.metric_reaches("lichen_log_length", length).await;
    let info = follower.info().await;
    let reader = Tab::connect_to(&follower, &info.also[0], 3).await;
    assert!(matches!(reader.hello().await, Reply::Welcome { .. }));
    let Reply::Snapshot(at_leader) = tab.ask(Request::Snapshot { campaign: tab.campaign }).await else {
        panic!("there is one")
    };
    let reply = reader.ask(Request::Snapshot { campaign: tab.campaign }).await;
    assert_eq!(reply, Reply::Snapshot(at_leader.clone()));
    let Entry::Snapshot { state, .. } = *verify::<Entry>(&at_leader.record.entry).unwrap().get() else {
        panic!()
    };
    assert_eq!(reader.get(state).await, tab.get(state).await);

    let blob = follower.data().join("blobs").join(state.to_string());
    let mut bytes = fs::read(&blob).unwrap();
    bytes[20] ^= 1;
    fs::write(&blob, bytes).unwrap();
    follower.kill_and_restart().await;
    assert_eq!(follower.length().await, length, "the log is there, and read as a whole");
    assert!(follower.log().contains("the newest snapshot cannot be used"));
}
