//! Nodes whose updates go from tab to tab.

use std::collections::BTreeMap;

use lichen_bridge::{Command, Event};
use lichen_record::Cid;
use lichen_testkit::RelayProcess;
use tokio::task::LocalSet;

use crate::network::Network;
use crate::relay;
use crate::tab::{Person, Tab};

const MESH: (&str, &str) = ("topology = \"hub\"", "topology = \"mesh\"");

/// Waits for a round with so many contributions, and for what the tab makes of its result.
async fn settled(tab: &mut Tab, contributions: u32) {
    let closed = |event: &Event| matches!(event, Event::Round { contributions: all, closed: true, .. } if *all == contributions);
    let Event::Round { number, .. } = tab.until("a closed round", closed).await else { unreachable!() };
    let is_evaluation =
        |event: &Event| matches!(event, Event::Evaluated { round: Some(round), .. } if *round >= number);
    tab.until("its result", is_evaluation).await;
}

async fn joined(relay: &RelayProcess, network: &Network, count: u8) -> Vec<Tab> {
    let mut tabs = Vec::new();
    for number in 1..=count {
        tabs.push(Tab::joined_in(relay, &Person::new(number), network).await);
    }
    tabs
}

/// Checkpoints by the rounds that settled them, as far as the tab has measured them.
fn checkpoints(tab: &mut Tab) -> BTreeMap<u64, Cid> {
    let found = std::cell::RefCell::new(BTreeMap::new());
    tab.seen(|event| {
        if let Event::Evaluated { round: Some(round), checkpoint, .. } = event {
            found.borrow_mut().insert(*round, *checkpoint);
        }
        false
    });
    found.into_inner()
}

/// Bytes got from peers, and through the relay, as last told.
fn transfers(tab: &mut Tab) -> (u64, u64) {
    let last = std::cell::Cell::new((0, 0));
    tab.seen(|event| {
        if let Event::Transfers { direct, relayed, .. } = event {
            last.set((*direct, *relayed));
        }
        false
    });
    last.get()
}

#[tokio::test(flavor = "current_thread")]
async fn updates_go_from_tab_to_tab() {
    let (relay, _folder) = relay(&[MESH]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut tabs = joined(&relay, &network, 3).await;
            for tab in &mut tabs {
                settled(tab, 3).await;
                settled(tab, 3).await;
            }
            let all: Vec<_> = tabs.iter_mut().map(checkpoints).collect();
            let known = all[0].keys().filter(|round| all.iter().all(|of| of.contains_key(round)));
            let same: Vec<_> =
                known.map(|round| (round, all.iter().all(|of| of[round] == all[0][round]))).collect();
            assert!(!same.is_empty() && same.iter().all(|(_round, is_same)| *is_same), "{same:?}");
            for tab in &mut tabs {
                tab.until("the count of bytes", |event| matches!(event, Event::Transfers { .. })).await;
                let (direct, relayed) = transfers(tab);
                assert!(
                    direct > 0 && relayed * 20 < direct,
                    "{direct} bytes directly, {relayed} by the relay"
                );
            }
            assert!(network.carried() > 0);
            // What is at the relay: the data, the initial checkpoint, and about one checkpoint for each round.
            let metrics = relay.metrics().unwrap();
            let (stored, rounds) = (metrics["lichen_blobs_stored_total"], metrics["lichen_log_length"] / 9.0);
            assert!(stored <= 3.0 * rounds + 6.0, "{stored} blobs were put for about {rounds} rounds");
        })
        .await;
}

/// Two rounds settle, and what the tab got of others came through the relay.
async fn settled_by_the_relay(tab: &mut Tab) {
    settled(tab, 2).await;
    let by_the_relay = |event: &Event| matches!(event, Event::Transfers { direct: 0, relayed: 1.., .. });
    tab.until("bytes by the relay", by_the_relay).await;
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_direct_path_updates_go_by_the_relay() {
    let (relay, _folder) = relay(&[MESH]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            network.set_apart();
            let mut tabs = joined(&relay, &network, 2).await;
            for tab in &mut tabs {
                settled_by_the_relay(tab).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_uses_the_relay_only_takes_part() {
    let (relay, _folder) = relay(&[MESH]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut shy = Tab::open_in(&relay, &Person::new(1), &network);
            shy.start(lichen_bridge::EnginePreference::Cpu).await;
            shy.send(|id| Command::RelayOnly { id, on: true });
            shy.join().await;
            let mut other = Tab::joined_in(&relay, &Person::new(2), &network).await;
            for tab in [&mut shy, &mut other] {
                settled_by_the_relay(tab).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_serves_wrong_bytes_is_banned() {
    let (relay, _folder) = relay(&[MESH]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut tabs = joined(&relay, &network, 3).await;
            for tab in &mut tabs {
                settled(tab, 3).await;
            }
            network.set_liar(tabs[2].peer());
            for tab in &mut tabs[..2] {
                tab.until("the liar to be banned", |event| {
                    matches!(event, Event::Transfers { banned: 1.., .. })
                })
                .await;
                settled(tab, 3).await;
            }
            let mut honest = tabs.drain(..2);
            let (mut one, mut other) = (honest.next().unwrap(), honest.next().unwrap());
            let (one, other) = (checkpoints(&mut one), checkpoints(&mut other));
            assert!(one.iter().all(|(round, cid)| other.get(round).is_none_or(|same| same == cid)));
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_tab_killed_in_mid_round_does_not_stop_the_others() {
    let (relay, _folder) = relay(&[MESH, ("deadline_seconds = 10", "deadline_seconds = 4")]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut tabs = joined(&relay, &network, 3).await;
            for tab in &mut tabs {
                settled(tab, 3).await;
            }
            drop(tabs.pop());
            for tab in &mut tabs {
                settled(tab, 2).await;
                settled(tab, 2).await;
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_late_joiner_gets_the_checkpoint_from_peers() {
    let (relay, _folder) = relay(&[MESH]);
    LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut tabs = joined(&relay, &network, 2).await;
            for tab in &mut tabs {
                settled(tab, 2).await;
            }
            let mut late = Tab::joined_in(&relay, &Person::new(3), &network).await;
            late.until("its first evaluation", |event| {
                matches!(event, Event::Evaluated { round: Some(_), .. })
            })
            .await;
            late.until("the count of bytes", |event| matches!(event, Event::Transfers { .. })).await;
            let (direct, relayed) = transfers(&mut late);
            assert!(direct > 0 && relayed == 0, "{direct} bytes directly, {relayed} by the relay");
        })
        .await;
}

/// The first checkpoints of so many fixed people who all contribute to every round, in whatever order they come.
async fn of_all(people: u8, changes: &[(&str, &str)]) -> BTreeMap<u64, Cid> {
    let mut changes = changes.to_vec();
    let minimum = format!("minimum = {people}");
    changes.extend([("minimum = 1", minimum.as_str()), ("deadline_seconds = 10", "deadline_seconds = 600")]);
    let (relay, _folder) = relay(&changes);
    let mut found = LocalSet::new()
        .run_until(async {
            let network = Network::default();
            let mut tabs = joined(&relay, &network, people).await;
            let fourth = |event: &Event| matches!(event, Event::Evaluated { round: Some(4), .. });
            tabs[0].until("the fourth round's evaluation", fourth).await;
            checkpoints(&mut tabs[0])
        })
        .await;
    found.retain(|round, _checkpoint| *round <= 4);
    found
}

#[tokio::test(flavor = "current_thread")]
async fn hub_and_mesh_give_the_same_checkpoints() {
    for people in [2, 4, 5] {
        let hub = of_all(people, &[]).await;
        let mesh = of_all(people, &[MESH]).await;
        assert_eq!(hub.keys().copied().collect::<Vec<_>>(), [1, 2, 3, 4], "{people} people");
        assert_eq!(hub, mesh, "{people} people");
    }
}
