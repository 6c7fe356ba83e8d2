//! What tabs fetch where a committee attests and results are told as differences.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lichen_bridge::Event;
use lichen_net::Command;
use lichen_net::{hub, peer};
use lichen_record::Cid;
use tokio::task::LocalSet;

use crate::network::Network;
use crate::relay;
use crate::tab::{Person, Tab};

const TOLD: (&str, &str) = ("[aggregation]", "[aggregation]\ncodec = \"int8\"");

/// Rounds after the one in which everybody had come.
const ROUNDS: u64 = 4;

/// What one tab fetched, from the relay or from others, and what it made.
struct Fetched {
    blobs: BTreeSet<Cid>,
    updates: BTreeMap<Cid, u64>,
    checkpoints: BTreeMap<u64, Cid>,
}

impl Fetched {
    fn of(tab: &mut Tab) -> Self {
        let found = RefCell::new(Self {
            blobs: BTreeSet::new(),
            updates: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
        });
        tab.seen(|event| {
            let mut found = found.borrow_mut();
            match event {
                Event::Net(Command::Request { bytes, .. }) => {
                    if let Ok(hub::Request::GetBlob { cid }) = hub::Request::from_bytes(bytes) {
                        found.blobs.insert(cid);
                    }
                }
                Event::Net(Command::Ask { bytes, .. }) => {
                    if let Ok(peer::Request::Pull { cid, .. }) = peer::Request::from_bytes(bytes) {
                        found.blobs.insert(cid);
                    }
                }
                Event::Contribution(contribution) => {
                    found.updates.insert(contribution.update, contribution.round);
                }
                Event::Evaluated { round: Some(round), checkpoint, .. } => {
                    found.checkpoints.insert(*round, *checkpoint);
                }
                _ => {}
            }
            false
        });
        found.into_inner()
    }
}

/// Four tabs train, until this many rounds have settled that all of them were in: what each fetched, the first of these rounds,
/// and the bytes that a tab received in a round, on the wire and on average.
async fn rounds_of_four(changes: &[(&str, &str)], rounds: u64) -> (Vec<Fetched>, u64, u64) {
    let (relay, folder) = relay(changes);
    let network = Network::default();
    let mut tabs = Vec::new();
    for number in 1..=4 {
        tabs.push(Tab::joined_in(&relay, &Person::new(number), &network).await);
    }
    let mut first = 0;
    for tab in &mut tabs {
        let of_all = |event: &Event| matches!(event, Event::Round { contributions: 4, settled: true, .. });
        let Event::Round { number, .. } = tab.until("a round of four", of_all).await else { unreachable!() };
        first = first.max(number);
    }
    let received = |tabs: &[Tab]| tabs.iter().map(|tab| tab.traffic().0).sum::<u64>();
    let before = received(&tabs);
    for tab in &mut tabs {
        let is_last = |event: &Event| matches!(event, Event::Evaluated { round: Some(of), .. } if *of >= first + rounds);
        tab.until("the last result", is_last).await;
    }
    drop(folder);
    let received = (received(&tabs) - before) / (4 * rounds);
    (tabs.iter_mut().map(Fetched::of).collect(), first, received)
}

/// Everybody comes to the same checkpoints.
fn assert_equal(fetched: &[Fetched], first: u64, rounds: u64) {
    for round in first..=first + rounds {
        let results: BTreeSet<_> = fetched.iter().filter_map(|tab| tab.checkpoints.get(&round)).collect();
        assert_eq!(results.len(), 1, "round {round}");
    }
}

/// Four tabs train where one is drawn: in each round one fetched updates, and the others the difference alone.
async fn one_fetches_updates(changes: &[(&str, &str)]) {
    let (fetched, first, received) = rounds_of_four(changes, ROUNDS).await;
    assert!(received < 25_000, "{received} bytes a round");
    assert_equal(&fetched, first, ROUNDS);
    let updates: BTreeMap<_, _> = fetched.iter().flat_map(|tab| &tab.updates).collect();
    let mut drawn = BTreeMap::new();
    for tab in &fetched {
        let others = tab.blobs.iter().filter(|blob| !tab.updates.contains_key(blob));
        let rounds: BTreeSet<_> = others.filter_map(|blob| updates.get(blob)).collect();
        for round in rounds {
            *drawn.entry(**round).or_insert(0) += 1;
        }
        let is_whole = |round: &u64| tab.checkpoints.get(round).is_some_and(|cid| tab.blobs.contains(cid));
        let whole: Vec<_> = (first..=first + ROUNDS).filter(is_whole).collect();
        assert!(whole.is_empty(), "results of {whole:?} were fetched whole");
    }
    for round in first..=first + ROUNDS {
        assert_eq!(drawn.get(&round), Some(&1), "how many fetched updates in round {round}: {drawn:?}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn who_is_not_drawn_fetches_a_difference_and_no_update() {
    LocalSet::new()
        .run_until(one_fetches_updates(&[("quorum = 2", "quorum = 2\ncommittee = 1"), TOLD]))
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn in_a_mesh_too_who_is_not_drawn_fetches_a_difference() {
    let mesh =
        [("topology = \"hub\"", "topology = \"mesh\""), ("quorum = 2", "quorum = 1\ncommittee = 1"), TOLD];
    LocalSet::new().run_until(one_fetches_updates(&mesh)).await;
}

#[tokio::test(flavor = "current_thread")]
async fn where_everybody_attests_everybody_fetches_all_updates() {
    LocalSet::new()
        .run_until(async {
            let (fetched, first, received) = rounds_of_four(&[], ROUNDS).await;
            assert!(received > 30_000, "{received} bytes a round, by which the others' are measured");
            assert_equal(&fetched, first, ROUNDS);
            let updates: BTreeMap<_, _> = fetched.iter().flat_map(|tab| &tab.updates).collect();
            for tab in &fetched {
                let is_anothers = |blob: &&Cid| !tab.updates.contains_key(blob);
                let others = tab.blobs.iter().filter(is_anothers).filter_map(|blob| updates.get(blob));
                assert_eq!(others.filter(|round| ***round == first).count(), 3);
            }
        })
        .await;
}
