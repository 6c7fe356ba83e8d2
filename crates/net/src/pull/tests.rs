//! Pulling from peers of every kind: honest ones, liars, stallers, and such that come and go.

#![expect(clippy::cast_possible_truncation, reason = "numbers here are small")]

use proptest::prelude::*;

use super::*;
use crate::peer::MAX_CHUNK;

const PATIENCE_MS: u64 = 2_500;

/// How a peer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Honest,
    Without,
    /// One byte of each window is another.
    Liar,
    /// The length is another.
    WrongLength,
    Stalls,
    /// One chunk of each window, then nothing.
    BreaksOff,
    /// A chunk every two seconds.
    Trickles,
    /// Something that is no message.
    Junk,
    /// Chunks in a wrong order.
    Disorder,
    /// Fails at once.
    Fails,
}

impl Kind {
    const fn may_be_banned(self) -> bool {
        matches!(self, Kind::Liar | Kind::WrongLength | Kind::Junk | Kind::Disorder)
    }
}

struct World {
    now: u64,
    puller: Puller,
    blobs: Vec<Vec<u8>>,
    peers: BTreeMap<PeerKey, Kind>,
    at_relay: BTreeSet<Cid>,
    delay: u64,
    /// What arrives when.
    arriving: BTreeMap<(u64, u64), Arrival>,
    scheduled: u64,
    asks: BTreeMap<AskId, PeerKey>,
    got: BTreeMap<Cid, Source>,
    missing: BTreeSet<Cid>,
    banned: BTreeSet<PeerKey>,
    relay_asked: usize,
}

enum Arrival {
    Frame(AskId, Vec<u8>),
    Ended(AskId),
    Failed(AskId),
    Relay(Cid),
}

fn blob(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + number * 7 + at / 251) as u8).collect()
}

impl World {
    fn new(kinds: &[Kind], lengths: &[usize], delay: u64) -> Self {
        let peers: BTreeMap<PeerKey, Kind> =
            kinds.iter().enumerate().map(|(number, kind)| (vec![number as u8], *kind)).collect();
        let mut puller = Puller::new(PATIENCE_MS);
        puller.connected(0, peers.keys().cloned().collect());
        Self {
            now: 0,
            puller,
            blobs: lengths.iter().enumerate().map(|(number, length)| blob(number, *length)).collect(),
            peers,
            at_relay: BTreeSet::new(),
            delay,
            arriving: BTreeMap::new(),
            scheduled: 0,
            asks: BTreeMap::new(),
            got: BTreeMap::new(),
            missing: BTreeSet::new(),
            banned: BTreeSet::new(),
            relay_asked: 0,
        }
    }

    fn cid(&self, number: usize) -> Cid {
        Cid::of_raw(&self.blobs[number])
    }

    fn want_all(&mut self, until: u64) {
        for number in 0..self.blobs.len() {
            let (cid, length) = (self.cid(number), self.blobs[number].len());
            self.puller.want(self.now, cid, length, until);
        }
        self.carry_out();
    }

    fn schedule(&mut self, after: u64, arrival: Arrival) {
        self.scheduled += 1;
        self.arriving.insert((self.now + after, self.scheduled), arrival);
    }

    fn carry_out(&mut self) {
        while let Some(action) = self.puller.poll() {
            match action {
                Action::Ask { id, peer, request } => self.ask(id, peer, request),
                Action::Cancel { id } => {
                    assert!(self.asks.remove(&id).is_some(), "cancelled twice");
                }
                Action::AskRelay { cid } => {
                    self.relay_asked += 1;
                    self.schedule(self.delay + 1, Arrival::Relay(cid));
                }
                Action::Ban { peer } => {
                    assert!(self.peers[&peer].may_be_banned(), "{:?} was banned", self.peers[&peer]);
                    self.banned.insert(peer);
                }
                Action::Got { cid, bytes, source } => {
                    assert!(cid.matches(&bytes));
                    assert_eq!(self.got.insert(cid, source), None, "got twice");
                }
                Action::Missing { cid } => {
                    self.missing.insert(cid);
                }
            }
        }
        assert!(self.asks.len() <= MAX_ASKS);
        for peer in self.peers.keys() {
            assert!(self.asks.values().filter(|asked| *asked == peer).count() <= MAX_ASKS_OF_PEER);
        }
    }

    fn ask(&mut self, id: AskId, peer: PeerKey, request: Request) {
        assert!(!self.banned.contains(&peer), "asks whom it banned");
        assert_eq!(Request::from_bytes(&request.to_bytes().unwrap()), Ok(request));
        let kind = self.peers[&peer];
        let Request::Pull { cid, offset, credit } = request;
        assert_eq!(self.asks.insert(id, peer), None, "an id used twice");
        let blob = self.blobs.iter().find(|blob| cid.matches(blob)).unwrap().clone();
        let chunks: Vec<Reply> = Reply::chunks(&blob, offset, credit).collect();
        let count = chunks.len();
        match kind {
            Kind::Stalls => return,
            Kind::Fails => return self.schedule(self.delay, Arrival::Failed(id)),
            Kind::Without => self.frame(id, 1, &Reply::Absent),
            Kind::Junk => self.schedule(self.delay, Arrival::Frame(id, vec![0xa1, 0x61])),
            Kind::Disorder => {
                for (at, chunk) in chunks.iter().rev().enumerate() {
                    self.frame(id, at, chunk);
                }
                let beside = Reply::Chunk { total: blob.len() as u64, offset: 0, bytes: vec![1] };
                self.frame(id, count, &beside);
            }
            _ => {
                for (at, chunk) in chunks.into_iter().enumerate() {
                    let Reply::Chunk { mut total, offset, mut bytes } = chunk else { unreachable!() };
                    match kind {
                        Kind::Liar if at == 0 => bytes[0] ^= 1,
                        Kind::WrongLength => total += 1,
                        Kind::BreaksOff if at == 1 => break,
                        _ => {}
                    }
                    let pace = if kind == Kind::Trickles { at * 2_000 } else { at };
                    self.frame(id, pace, &Reply::Chunk { total, offset, bytes });
                }
            }
        }
        let last = if kind == Kind::Trickles { count * 2_000 } else { count + 1 };
        self.schedule(self.delay + last as u64 + 1, Arrival::Ended(id));
    }

    fn frame(&mut self, id: AskId, after: usize, reply: &Reply) {
        self.schedule(self.delay + after as u64, Arrival::Frame(id, reply.to_bytes().unwrap()));
    }

    fn run_until(&mut self, end: u64) {
        while self.now < end && !self.puller.is_idle() {
            let next_tick = (self.now / 200 + 1) * 200;
            match self.arriving.first_key_value().map(|(key, _arrival)| key.0).filter(|at| *at < next_tick) {
                Some(at) => {
                    self.now = self.now.max(at);
                    let (_key, arrival) = self.arriving.pop_first().unwrap();
                    self.arrive(arrival);
                }
                None => {
                    self.now = next_tick;
                    self.puller.tick(self.now);
                }
            }
            self.carry_out();
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            // What is cancelled may still be on its way; the driver lets it through.
            Arrival::Frame(id, bytes) => self.puller.frame(self.now, id, &bytes),
            Arrival::Ended(id) => {
                self.asks.remove(&id);
                self.puller.ended(self.now, id);
            }
            Arrival::Failed(id) => {
                self.asks.remove(&id);
                self.puller.failed(self.now, id);
            }
            Arrival::Relay(cid) => {
                let bytes = self
                    .at_relay
                    .contains(&cid)
                    .then(|| self.blobs.iter().find(|blob| cid.matches(blob)).unwrap().clone());
                self.puller.relay_gave(self.now, cid, bytes);
            }
        }
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Honest),
        Just(Kind::Without),
        Just(Kind::Liar),
        Just(Kind::WrongLength),
        Just(Kind::Stalls),
        Just(Kind::BreaksOff),
        Just(Kind::Trickles),
        Just(Kind::Junk),
        Just(Kind::Disorder),
        Just(Kind::Fails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn one_honest_source_is_enough(
        others in prop::collection::vec(kinds(), 0..7),
        lengths in prop::collection::vec(1..400_000_usize, 1..5),
        delay in 1..300_u64,
        is_relay: bool,
    ) {
        let mut kinds = others.clone();
        if !is_relay {
            kinds.push(Kind::Honest);
        }
        let mut world = World::new(&kinds, &lengths, delay);
        if is_relay {
            world.at_relay = (0..lengths.len()).map(|number| world.cid(number)).collect();
        }
        world.want_all(u64::MAX);
        world.run_until(600_000);
        prop_assert_eq!(world.missing.len(), 0, "{} ms", world.now);
        prop_assert!(world.puller.is_idle(), "still at it: {:?}", world.puller);
        let wanted: BTreeSet<Cid> = (0..lengths.len()).map(|number| world.cid(number)).collect();
        prop_assert_eq!(world.got.keys().copied().collect::<BTreeSet<_>>(), wanted);
        prop_assert!(world.asks.is_empty(), "asks without an end");
    }

    #[test]
    fn what_nobody_gives_is_missing_in_time(
        kinds in prop::collection::vec(kinds().prop_filter("none has it", |kind| {
            !matches!(kind, Kind::Honest | Kind::BreaksOff | Kind::Trickles)
        }), 0..8),
        lengths in prop::collection::vec(20_000..400_000_usize, 1..5),
        delay in 1..300_u64,
    ) {
        let mut world = World::new(&kinds, &lengths, delay);
        world.want_all(20_000);
        world.run_until(60_000);
        prop_assert!(world.puller.is_idle());
        prop_assert!(world.now <= 20_400, "{} ms", world.now);
        prop_assert!(world.got.is_empty());
        prop_assert_eq!(world.missing.len(), world.blobs.len());
        prop_assert!(world.asks.is_empty());
    }

    #[test]
    fn peers_that_come_and_go_lose_nothing(
        comings in prop::collection::vec(prop::collection::btree_set(0..4_u8, 0..4), 1..20),
        length in 1..1_000_000_usize,
        delay in 1..100_u64,
    ) {
        let mut world = World::new(&[Kind::Honest; 4], &[length], delay);
        world.at_relay.insert(world.cid(0));
        world.want_all(u64::MAX);
        for here in comings {
            let end = world.now + 40;
            world.run_until(end);
            let here: BTreeSet<PeerKey> = here.into_iter().map(|number| vec![number]).collect();
            let gone: Vec<AskId> = world.asks.iter().filter(|(_id, peer)| !here.contains(*peer)).map(|(id, _)| *id).collect();
            world.puller.connected(world.now, here);
            world.carry_out();
            prop_assert!(gone.iter().all(|id| !world.asks.contains_key(id)), "asks of who has gone");
        }
        world.run_until(600_000);
        prop_assert_eq!(world.got.len(), 1);
    }
}

#[test]
fn an_honest_peer_spares_the_relay() {
    let mut world = World::new(&[Kind::Without, Kind::Honest, Kind::Without], &[10_000; 20], 50);
    world.at_relay = (0..20).map(|number| world.cid(number)).collect();
    world.want_all(u64::MAX);
    world.run_until(60_000);
    assert_eq!(world.got.len(), 20);
    assert!(world.got.values().all(|source| *source == Source::Peers));
    assert_eq!(world.relay_asked, 0);
}

#[test]
fn without_peers_the_relay_is_asked_at_once_unless_some_are_expected() {
    for (hope, asked) in [(0, 1), (1_000, 0)] {
        let mut world = World::new(&[], &[10_000], 50);
        world.puller.hope_for_peers(0, hope);
        world.want_all(u64::MAX);
        assert_eq!(world.relay_asked, asked);
        world.at_relay.insert(world.cid(0));
        world.run_until(60_000);
        assert_eq!(world.got.len(), 1);
    }
}

#[test]
fn whoever_turns_out_to_be_alone_asks_the_relay_at_once() {
    let mut world = World::new(&[], &[10_000], 50);
    world.at_relay.insert(world.cid(0));
    world.puller.hope_for_peers(0, 4_000);
    world.want_all(u64::MAX);
    world.run_until(400);
    assert_eq!(world.relay_asked, 0);
    world.puller.hope_for_peers(world.now, 0);
    world.carry_out();
    assert_eq!(world.relay_asked, 1);
    world.run_until(500);
    assert_eq!(world.got.len(), 1, "at {} ms", world.now);
}

#[test]
fn a_liar_is_banned_and_the_blob_got_from_another() {
    let mut world = World::new(&[Kind::Liar, Kind::Liar, Kind::Honest], &[10_000; 6], 20);
    world.want_all(u64::MAX);
    world.run_until(60_000);
    assert_eq!(world.got.len(), 6);
    assert_eq!(world.banned.len(), 2, "with six blobs each liar was asked once");
}

#[test]
fn windows_are_pulled_from_several_peers() {
    let mut world = World::new(&[Kind::Honest; 4], &[4_000_000], 50);
    world.want_all(u64::MAX);
    world.run_until(60);
    let asked: BTreeSet<&PeerKey> = world.asks.values().collect();
    assert_eq!(asked.len(), 4, "each has a window once the length is known");
    world.run_until(60_000);
    assert_eq!(world.got.len(), 1);
}

#[test]
fn a_pull_goes_on_where_another_broke_off() {
    let length = 5 * MAX_CHUNK;
    let mut world = World::new(&[Kind::Honest; 2], &[length], 10);
    world.want_all(u64::MAX);
    world.run_until(13);
    let (id, first) = world.asks.iter().next().map(|(id, peer)| (*id, peer.clone())).unwrap();
    let other: PeerKey = vec![1 - first[0]];
    world.puller.connected(world.now, BTreeSet::from([other.clone()]));
    let Some(Action::Cancel { id: cancelled }) = world.puller.poll() else { panic!() };
    assert_eq!(cancelled, id);
    let Some(Action::Ask { peer, request: Request::Pull { offset, .. }, .. }) = world.puller.poll() else {
        panic!()
    };
    assert_eq!(peer, other);
    assert!(offset > 0 && offset < length as u64, "{offset}");
}

#[test]
fn an_announcement_brings_the_next_ask_at_once() {
    let mut world = World::new(&[Kind::Without], &[10_000], 5);
    world.want_all(u64::MAX);
    world.run_until(100);
    assert!(world.asks.is_empty(), "it said that it has nothing");
    world.peers.insert(vec![0], Kind::Honest);
    let cid = world.cid(0);
    world.puller.announced(world.now, &vec![0], &[cid]);
    world.carry_out();
    assert_eq!(world.asks.len(), 1);
    world.run_until(1_000);
    assert_eq!(world.got.len(), 1);
}

#[test]
fn announcements_of_many_peers_take_bounded_room() {
    let mut puller = Puller::new(PATIENCE_MS);
    for number in 0..10_000_u32 {
        puller.announced(0, &number.to_be_bytes().to_vec(), &[Cid::of_raw(b"a")]);
        puller.announced(0, &vec![1], &[Cid::of_raw(&number.to_be_bytes())]);
    }
    assert!(puller.announced.len() <= MAX_PEERS);
    assert!(puller.announced.values().all(|cids| cids.len() <= MAX_ANNOUNCED));
}
