//! Whom to connect to, and when: pure, time in milliseconds and randomness are arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use libp2p::PeerId;

use super::backoff;
use crate::{MAX_DEGREE, WANTED_DEGREE};

/// How long the peer with the greater id waits for the other one to dial, so that not both do.
const COURTESY: u64 = 2_000;

/// Waits between attempts to reach a peer: from the first to the longest.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5 * 60));

/// How long a misbehaving peer is kept away: from the first time to the longest.
const BAN: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(60 * 60));

/// Banned peers remembered; past it, whoever is let in again first is forgotten. New names cost nothing, so a
/// longer list would keep nobody away either.
const MAX_BANNED: usize = 1024;

/// The peers that a tab knows of.
pub(super) struct Neighbours {
    local: PeerId,
    known: BTreeMap<PeerId, Neighbour>,
    banned: BTreeMap<PeerId, Banned>,
}

#[derive(Debug)]
struct Neighbour {
    /// Whether the relay lists it.
    is_listed: bool,
    state: State,
    failures: u32,
    /// When it may be dialled.
    not_before: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Dialling,
    Connected,
}

#[derive(Clone, Copy)]
struct Banned {
    times: u32,
    until: u64,
}

impl Neighbours {
    pub(super) fn new(local: PeerId) -> Self {
        Self { local, known: BTreeMap::new(), banned: BTreeMap::new() }
    }

    /// Replaces the relay's list.
    pub(super) fn list(&mut self, peers: impl IntoIterator<Item = PeerId>, now: u64) {
        for neighbour in self.known.values_mut() {
            neighbour.is_listed = false;
        }
        for peer in peers {
            if peer == self.local {
                continue;
            }
            let wait = if self.local < peer { 0 } else { COURTESY };
            self.known.entry(peer).or_insert(Neighbour::idle(now + wait)).is_listed = true;
        }
        self.known.retain(|_, neighbour| neighbour.is_listed || neighbour.state != State::Idle);
    }

    /// Whom to dial now; each counts as being dialled from here on.
    pub(super) fn due(&mut self, now: u64) -> Vec<PeerId> {
        self.forgive(now);
        let free = WANTED_DEGREE.saturating_sub(self.busy());
        // From our own place on and around, so that not all tabs choose the same few.
        let after = self.known.range(self.local..).map(|(peer, _)| *peer);
        let mut around: Vec<PeerId> =
            after.chain(self.known.range(..self.local).map(|(peer, _)| *peer)).collect();
        around.retain(|peer| self.may_dial(peer).is_some_and(|not_before| not_before <= now));
        around.sort_by_key(|peer| self.known.get(peer).map(|neighbour| neighbour.failures));
        around.truncate(free);
        for peer in &around {
            self.set(peer, State::Dialling);
        }
        around
    }

    /// When [`Neighbours::due`] has something to say, if nothing else happens.
    pub(super) fn wake_at(&self) -> Option<u64> {
        if self.busy() >= WANTED_DEGREE {
            return None;
        }
        self.known.keys().filter_map(|peer| self.may_dial(peer)).min()
    }

    /// Whether a connection with this peer may stand.
    pub(super) fn accepts(&self, peer: &PeerId, now: u64) -> bool {
        if self.banned.get(peer).is_some_and(|banned| now < banned.until) {
            return false;
        }
        self.is(peer, State::Connected) || self.count(State::Connected) < MAX_DEGREE
    }

    pub(super) fn connected(&mut self, peer: PeerId) {
        let neighbour = self.known.entry(peer).or_insert(Neighbour::idle(0));
        neighbour.state = State::Connected;
        neighbour.failures = 0;
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId, now: u64, random: u32) {
        if self.is(peer, State::Connected) {
            self.retry_later(peer, now, random);
        }
    }

    pub(super) fn dial_failed(&mut self, peer: &PeerId, now: u64, random: u32) {
        if self.is(peer, State::Dialling) {
            self.retry_later(peer, now, random);
        }
    }

    /// The dial ended because the peer's own goes on instead.
    pub(super) fn dial_crossed(&mut self, peer: &PeerId, now: u64) {
        if let Some(neighbour) = self.known.get_mut(peer).filter(|known| known.state == State::Dialling) {
            neighbour.state = State::Idle;
            neighbour.not_before = now + COURTESY;
        }
    }

    /// Keeps a peer away for a while, longer each time.
    pub(super) fn ban(&mut self, peer: PeerId, now: u64) {
        self.forgive(now);
        let times = self.banned.get(&peer).map_or(1, |banned| banned.times.saturating_add(1));
        let wait = backoff::between(BAN, times, u32::MAX);
        self.banned.insert(peer, Banned { times, until: now + millis(wait) });
        if self.banned.len() > MAX_BANNED
            && let Some(first) =
                self.banned.iter().min_by_key(|(_, banned)| banned.until).map(|(peer, _)| *peer)
        {
            self.banned.remove(&first);
        }
    }

    /// Forgets the relay's list.
    #[cfg(target_arch = "wasm32")]
    pub(super) fn forget(&mut self) {
        self.known.retain(|_, neighbour| neighbour.state == State::Connected);
        for neighbour in self.known.values_mut() {
            neighbour.is_listed = false;
        }
    }

    /// Forgets who was banned once it has been let in again for as long as it was kept away.
    fn forgive(&mut self, now: u64) {
        self.banned.retain(|_, banned| {
            now < banned.until.saturating_add(millis(backoff::between(BAN, banned.times, u32::MAX)))
        });
    }

    fn retry_later(&mut self, peer: &PeerId, now: u64, random: u32) {
        let Some(neighbour) = self.known.get_mut(peer) else { return };
        neighbour.state = State::Idle;
        neighbour.failures = neighbour.failures.saturating_add(1);
        neighbour.not_before = now + millis(backoff::between(RETRY, neighbour.failures, random));
        if !neighbour.is_listed {
            self.known.remove(peer);
        }
    }

    /// From when on a peer may be dialled, if at all.
    fn may_dial(&self, peer: &PeerId) -> Option<u64> {
        let neighbour = self.known.get(peer)?;
        if neighbour.state != State::Idle || !neighbour.is_listed {
            return None;
        }
        let until = self.banned.get(peer).map_or(0, |banned| banned.until);
        Some(neighbour.not_before.max(until))
    }

    fn set(&mut self, peer: &PeerId, state: State) {
        if let Some(neighbour) = self.known.get_mut(peer) {
            neighbour.state = state;
        }
    }

    fn is(&self, peer: &PeerId, state: State) -> bool {
        self.known.get(peer).is_some_and(|neighbour| neighbour.state == state)
    }

    fn count(&self, state: State) -> usize {
        self.known.values().filter(|neighbour| neighbour.state == state).count()
    }

    fn busy(&self) -> usize {
        self.count(State::Connected) + self.count(State::Dialling)
    }
}

impl Neighbour {
    const fn idle(not_before: u64) -> Self {
        Self { is_listed: false, state: State::Idle, failures: 0, not_before }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
