//! How tabs of a campaign find each other: who is registered is told to the others, within caps.
//!
//! A registration lives as long as its stream, and so no longer than the connection, which dies of unanswered pings.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt, AsyncWriteExt};
use lichen_net::rendezvous::{MAX_LISTED, MAX_REGISTER, Notice, Refusal, Register};
use lichen_net::swarm::frame::{self, FrameError};
use lichen_net::swarm::libp2p::PeerId;
use lichen_net::swarm::libp2p::swarm::Stream;
use lichen_record::{AccountId, CampaignId, Cid};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::fairness::quota::Quota;
use crate::hosting::Campaigns;
use crate::operating::metrics::Metrics;
use crate::peers::hub::Session;

/// Longest time in which no byte of a frame moves, and until a session must have said hello.
const PATIENCE: Duration = Duration::from_secs(20);

/// Least time between two lists to the same tab, so that a class room that joins at once costs a few lists each.
const LIST_INTERVAL: Duration = Duration::from_millis(250);

/// Most registrations, in all, of one account and from one network.
const MAX_REGISTERED: usize = 10_000;
const MAX_PER_ACCOUNT: usize = 8;
const MAX_PER_ADDRESS: usize = 1_000;

/// Registrations in a minute, of one account and from one network.
const PER_MINUTE: u32 = 60;
const PER_MINUTE_AND_ADDRESS: u32 = 3_000;

/// Of a list, how many are neighbours on the ring of all; the rest are drawn from all over it, so that the mesh is not
/// only a ring.
const RING_NEIGHBOURS: usize = MAX_LISTED / 2;

/// The registered tabs of the relay's campaigns.
pub(crate) struct Rendezvous {
    campaigns: Arc<Campaigns>,
    rooms: Mutex<HashMap<CampaignId, Arc<Room>>>,
    attempts: Quota<AccountId>,
    attempts_per_address: Quota<IpAddr>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

/// The registered tabs of one campaign, which find each other.
struct Room {
    registry: Mutex<Registry>,
    changes: watch::Sender<()>,
    registered: Gauge,
}

/// Tabs by their place on the ring: a hash, so that nobody chooses it for the company.
#[derive(Default)]
struct Registry {
    tabs: BTreeMap<Cid, PeerId>,
    by_account: HashMap<AccountId, usize>,
    by_network: HashMap<IpAddr, usize>,
}

/// A registration; ends when dropped.
struct Registered<'a> {
    room: Arc<Room>,
    place: Cid,
    account: AccountId,
    network: IpAddr,
    _only: Only<'a>,
}

/// The one registration of a session.
struct Only<'a>(&'a AtomicUsize);

impl Drop for Only<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Rendezvous {
    pub(crate) fn new(campaigns: Arc<Campaigns>, metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        Self {
            campaigns,
            rooms: Mutex::default(),
            attempts: Quota::per_minute(PER_MINUTE),
            attempts_per_address: Quota::per_minute(PER_MINUTE_AND_ADDRESS),
            metrics,
            stop,
        }
    }

    /// Registers the tab that opened the stream, and tells it of the others until the stream ends.
    pub(crate) async fn serve(&self, session: &Session, stream: Stream) {
        let (mut reader, mut writer) = stream.split();
        let outcome = match self.register(session, &mut reader).await {
            Ok(registered) => {
                self.metrics.rendezvous("registered");
                self.list(&registered, reader, &mut writer).await
            }
            Err(reason) => {
                self.metrics.rendezvous(reason.label());
                send(&mut writer, &Notice::Refused { reason }).await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a registration's stream broke");
        }
        // The tab may be gone already.
        let _closed = tokio::time::timeout(PATIENCE, writer.close()).await;
    }

    async fn register<'a>(
        &'a self,
        session: &'a Session,
        reader: &mut ReadHalf<Stream>,
    ) -> Result<Registered<'a>, Refusal> {
        let bytes =
            frame::read(reader, MAX_REGISTER, PATIENCE).await.map_err(|_broken| Refusal::Malformed)?;
        let register = bytes.and_then(|bytes| Register::from_bytes(&bytes).ok()).ok_or(Refusal::Malformed)?;
        // The tab opens this stream as soon as it can be reached; its hello may still be on the way.
        let introduced = tokio::time::timeout(PATIENCE, session.introduced()).await;
        let account = introduced.map_err(|_late| Refusal::NotIntroduced)?;
        let room = self.room(register.campaign).ok_or(Refusal::UnknownCampaign)?;
        let now = Instant::now();
        if !self.attempts_per_address.take(session.network(), 1, now) || !self.attempts.take(account, 1, now)
        {
            self.metrics.limit("registrations_per_minute");
            return Err(Refusal::TooOften);
        }
        self.enter(session, account, room)
    }

    /// Where the tabs of a campaign meet.
    fn room(&self, campaign: CampaignId) -> Option<Arc<Room>> {
        let hosted = self.campaigns.get(campaign)?;
        // Each change is one call of the map, whatever happened to another thread.
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        let room = rooms.entry(campaign).or_insert_with(|| {
            let registered = hosted.metrics.registered.clone();
            Arc::new(Room { registry: Mutex::default(), changes: watch::Sender::new(()), registered })
        });
        Some(Arc::clone(room))
    }

    fn enter<'a>(
        &self,
        session: &'a Session,
        account: AccountId,
        room: Arc<Room>,
    ) -> Result<Registered<'a>, Refusal> {
        let taken = session.registrations().fetch_add(1, Ordering::Relaxed);
        let only = Only(session.registrations());
        let peer = session.peer();
        let place = Cid::of_raw(&peer.to_bytes());
        let mut registry = room.registry();
        let network = session.network();
        let of_account = registry.by_account.get(&account).copied().unwrap_or(0);
        let of_network = registry.by_network.get(&network).copied().unwrap_or(0);
        // The same peer may still be registered by a connection that is dead and not known to be.
        let is_full = registry.tabs.len() >= MAX_REGISTERED || registry.tabs.contains_key(&place);
        if taken > 0 || of_account >= MAX_PER_ACCOUNT || of_network >= MAX_PER_ADDRESS || is_full {
            self.metrics.limit("registrations");
            return Err(Refusal::TooMany);
        }
        registry.by_account.insert(account, of_account + 1);
        registry.by_network.insert(network, of_network + 1);
        registry.tabs.insert(place, peer);
        room.show(registry);
        Ok(Registered { room, place, account, network, _only: only })
    }

    /// Tells the tab of the others, at once and whenever its list changes.
    async fn list(
        &self,
        registered: &Registered<'_>,
        mut reader: ReadHalf<Stream>,
        writer: &mut WriteHalf<Stream>,
    ) -> Result<(), FrameError> {
        let mut changes = registered.room.changes.subscribe();
        let mut told = None;
        // Nothing more is to come from the tab but the end of its half, or of the connection.
        let mut byte = [0];
        let mut over = std::pin::pin!(reader.read(&mut byte));
        loop {
            changes.mark_unchanged();
            let peers = registered.room.registry().choose(registered.place);
            if told.as_ref() != Some(&peers) {
                send(writer, &notice(&peers)).await?;
                self.metrics.rendezvous("listed");
                told = Some(peers);
            }
            let next = async {
                tokio::time::sleep(LIST_INTERVAL).await;
                changes.changed().await
            };
            tokio::select! {
                changed = next => if changed.is_err() {
                    return Ok(());
                },
                _over = &mut over => return Ok(()),
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }
}

impl Room {
    fn registry(&self) -> MutexGuard<'_, Registry> {
        // Each change leaves the registry whole, whatever happened to another thread.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, registry: MutexGuard<'_, Registry>) {
        self.registered.set(i64::try_from(registry.tabs.len()).unwrap_or(i64::MAX));
        drop(registry);
        self.changes.send_replace(());
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let mut registry = self.room.registry();
        registry.tabs.remove(&self.place);
        count_down(&mut registry.by_account, &self.account);
        count_down(&mut registry.by_network, &self.network);
        self.room.show(registry);
    }
}

/// Counts one less of this key, and forgets it when none is left.
fn count_down<K: Copy + Eq + Hash>(counts: &mut HashMap<K, usize>, whose: &K) {
    match counts.get(whose).copied().unwrap_or(0) {
        0 | 1 => counts.remove(whose),
        count => counts.insert(*whose, count - 1),
    };
}

impl Registry {
    /// Whom to tell the tab at this place of: all while they are few, else a choice that changes little as others
    /// come and go.
    fn choose(&self, place: Cid) -> Vec<PeerId> {
        let mut chosen: BTreeMap<Cid, PeerId> = BTreeMap::new();
        for (other, peer) in self.from(place).take(RING_NEIGHBOURS) {
            chosen.insert(other, peer);
        }
        for draw in 0..RING_NEIGHBOURS {
            let point = Cid::of_raw(format!("{place} {draw}").as_bytes());
            if let Some((other, peer)) = self.from(point).find(|(other, _)| *other != place) {
                chosen.insert(other, peer);
            }
        }
        chosen.remove(&place);
        chosen.into_values().collect()
    }

    /// The tabs after a point on the ring, once around; not the one at the point itself.
    fn from(&self, point: Cid) -> impl Iterator<Item = (Cid, PeerId)> {
        let after = self.tabs.range(point..).filter(move |(place, _)| **place != point);
        after.chain(self.tabs.range(..point)).map(|(place, peer)| (*place, *peer))
    }
}

fn notice(peers: &[PeerId]) -> Notice {
    Notice::Peers { peers: peers.iter().map(|peer| peer.to_bytes().into()).collect() }
}

async fn send(writer: &mut WriteHalf<Stream>, notice: &Notice) -> Result<(), FrameError> {
    let bytes = notice.to_bytes().map_err(|error| FrameError::Stream(std::io::Error::other(error)))?;
    frame::write(writer, &bytes, PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(count: usize) -> Registry {
        let tabs = (0..count).map(|_| PeerId::random()).map(|peer| (Cid::of_raw(&peer.to_bytes()), peer));
        Registry { tabs: tabs.collect(), ..Registry::default() }
    }

    #[test]
    fn few_are_told_of_all_others() {
        for count in 1..=RING_NEIGHBOURS + 1 {
            let registry = registry(count);
            for (place, peer) in &registry.tabs {
                let chosen = registry.choose(*place);
                assert_eq!(chosen.len(), count - 1);
                assert!(!chosen.contains(peer));
            }
        }
    }

    #[test]
    fn many_are_told_of_some_and_everybody_is_reached() {
        let registry = registry(2_000);
        let lists: HashMap<PeerId, Vec<PeerId>> =
            registry.tabs.iter().map(|(place, peer)| (*peer, registry.choose(*place))).collect();
        assert!(lists.values().all(|list| (RING_NEIGHBOURS..=MAX_LISTED).contains(&list.len())));
        // How many steps from one tab to every other.
        let first = *registry.tabs.values().next().unwrap();
        let mut reached = std::collections::HashSet::from([first]);
        let mut edge = vec![first];
        let mut steps = 0;
        while reached.len() < lists.len() {
            edge = edge
                .iter()
                .flat_map(|peer| &lists[peer])
                .copied()
                .filter(|peer| reached.insert(*peer))
                .collect();
            steps += 1;
            assert!(!edge.is_empty(), "the mesh falls apart");
        }
        assert!(steps <= 4, "{steps} steps");
    }

    #[test]
    fn one_that_comes_changes_few_lists() {
        let mut registry = registry(1_000);
        let before: Vec<_> = registry.tabs.keys().map(|place| (*place, registry.choose(*place))).collect();
        let peer = PeerId::random();
        registry.tabs.insert(Cid::of_raw(&peer.to_bytes()), peer);
        let changed = before.iter().filter(|(place, list)| registry.choose(*place) != *list).count();
        assert!(changed < 4 * MAX_LISTED, "{changed} lists changed");
    }
}
