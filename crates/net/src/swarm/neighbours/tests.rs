//! Tabs agree on who dials whom, and dial a bounded number of others.

use proptest::prelude::*;

use super::*;

/// Peer ids in ascending order.
fn peers(count: u8) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = (0..count)
        .map(|seed| {
            let keys = libp2p::identity::Keypair::ed25519_from_bytes([seed + 1; 32]).unwrap();
            keys.public().to_peer_id()
        })
        .collect();
    peers.sort();
    peers
}

#[test]
fn of_two_only_the_smaller_dials_at_once() {
    let peers = peers(2);
    let mut smaller = Neighbours::new(peers[0]);
    let mut greater = Neighbours::new(peers[1]);
    smaller.list(peers.clone(), 0);
    greater.list(peers.clone(), 0);
    assert_eq!(smaller.due(0), [peers[1]]);
    assert_eq!(greater.due(0), []);
    assert_eq!(greater.wake_at(), Some(COURTESY));
    assert_eq!(greater.due(COURTESY), [peers[0]]);
}

#[test]
fn no_more_are_dialled_than_wanted_and_no_more_accepted_than_allowed() {
    let peers = peers(40);
    let mut neighbours = Neighbours::new(peers[0]);
    neighbours.list(peers.clone(), 0);
    assert_eq!(neighbours.due(0).len(), WANTED_DEGREE);
    assert_eq!(neighbours.due(0), []);
    assert_eq!(neighbours.wake_at(), None);
    for peer in &peers[1..=MAX_DEGREE] {
        assert!(neighbours.accepts(peer, 0));
        neighbours.connected(*peer);
    }
    assert!(neighbours.accepts(&peers[1], 0), "a second connection of a neighbour is none more");
    assert!(!neighbours.accepts(&peers[MAX_DEGREE + 1], 0));
    neighbours.disconnected(&peers[1], 0, 0);
    assert!(neighbours.accepts(&peers[MAX_DEGREE + 1], 0));
}

#[test]
fn a_peer_that_fails_waits_longer_and_longer() {
    let peers = peers(2);
    let mut neighbours = Neighbours::new(peers[0]);
    neighbours.list(peers.clone(), 0);
    let mut waits = Vec::new();
    let mut now = 0;
    for _ in 0..12 {
        assert_eq!(neighbours.due(now), [peers[1]]);
        neighbours.dial_failed(&peers[1], now, u32::MAX);
        let next = neighbours.wake_at().unwrap();
        waits.push(next - now);
        assert_eq!(neighbours.due(next - 1), []);
        now = next;
    }
    assert_eq!(waits[..4], [1_000, 2_000, 4_000, 8_000]);
    assert_eq!(waits.last(), Some(&300_000));
}

#[test]
fn others_are_tried_before_whoever_failed() {
    let peers = peers(20);
    let mut neighbours = Neighbours::new(peers[0]);
    neighbours.list(peers.clone(), 0);
    let first = neighbours.due(0);
    for peer in &first {
        neighbours.dial_failed(peer, 0, 0);
    }
    let second = neighbours.due(10_000);
    assert!(second.iter().all(|peer| !first.contains(peer)), "{first:?} {second:?}");
}

#[test]
fn a_banned_peer_stays_away_longer_each_time() {
    let peers = peers(2);
    let mut neighbours = Neighbours::new(peers[0]);
    neighbours.list(peers.clone(), 0);
    neighbours.ban(peers[1], 0);
    assert_eq!(neighbours.due(0), []);
    assert!(!neighbours.accepts(&peers[1], 59_999));
    assert!(neighbours.accepts(&peers[1], 60_000));
    assert_eq!(neighbours.wake_at(), Some(60_000));
    neighbours.ban(peers[1], 60_000);
    assert!(!neighbours.accepts(&peers[1], 60_000 + 119_999));
    // Long after, it starts anew.
    neighbours.ban(peers[1], 100_000_000);
    assert!(neighbours.accepts(&peers[1], 100_060_000));
}

#[test]
fn banning_everybody_takes_no_more_memory_than_it_may() {
    let mut neighbours = Neighbours::new(PeerId::random());
    for now in 0..3_000 {
        neighbours.ban(PeerId::random(), now);
    }
    assert_eq!(neighbours.banned.len(), MAX_BANNED);
}

#[derive(Clone, Debug)]
enum Step {
    List(Vec<u8>),
    Connected(u8),
    Disconnected(u8),
    Failed(u8),
    Crossed(u8),
    Ban(u8),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let peer = || 0..30_u8;
    let step = prop_oneof![
        prop::collection::vec(peer(), 0..30).prop_map(Step::List),
        peer().prop_map(Step::Connected),
        peer().prop_map(Step::Disconnected),
        peer().prop_map(Step::Failed),
        peer().prop_map(Step::Crossed),
        peer().prop_map(Step::Ban),
        (0..400_000_u32).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// Whatever happens: dials stay within the degree, nobody is dialled twice at once or while banned, and a free
    /// place with a listed peer left is filled in the end.
    #[test]
    fn whatever_happens_the_rules_hold(steps in steps(), random in any::<u32>()) {
        let peers = peers(30);
        let mut neighbours = Neighbours::new(peers[9]);
        let mut now = 0;
        for step in steps {
            match step {
                Step::List(listed) => {
                    neighbours.list(listed.into_iter().map(|index| peers[usize::from(index)]), now);
                }
                Step::Connected(index) => {
                    let peer = peers[usize::from(index)];
                    if neighbours.accepts(&peer, now) {
                        neighbours.connected(peer);
                    }
                }
                Step::Disconnected(index) => neighbours.disconnected(&peers[usize::from(index)], now, random),
                Step::Failed(index) => neighbours.dial_failed(&peers[usize::from(index)], now, random),
                Step::Crossed(index) => neighbours.dial_crossed(&peers[usize::from(index)], now),
                Step::Ban(index) => neighbours.ban(peers[usize::from(index)], now),
                Step::Wait(time) => now += u64::from(time),
            }
            for peer in neighbours.due(now) {
                prop_assert!(peer != peers[9] && neighbours.accepts(&peer, now));
            }
            prop_assert!(neighbours.count(State::Dialling) <= WANTED_DEGREE);
            prop_assert!(neighbours.count(State::Connected) <= MAX_DEGREE);
        }
        neighbours.list(peers.clone(), now);
        let later = now + 10_000_000;
        neighbours.due(later);
        prop_assert!(neighbours.busy() >= WANTED_DEGREE);
    }
}
