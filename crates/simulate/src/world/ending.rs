//! When a run is over, and what is looked at meanwhile and then.

use std::collections::BTreeSet;

use lichen_record::Cid;
use lichen_round::Stage;

use super::{BEGINNING_MS, Event, World};
use crate::campaign::DEADLINE_MS;
use crate::invariants::{Check, Rule, round_ends};
use crate::report::Outcome;

/// Rounds that have to end after everything has come to rest.
const CALM_ROUNDS: u64 = 2;

/// How long tabs take to find back after everything has come to rest, in milliseconds.
const RETURN_MS: u64 = 60_000;

/// Requests that may wait at the relay for each tab, and besides.
const MOST_WAITING: usize = 16;

/// Messages of a tab in each second, on the whole, besides those that carry blobs.
const MOST_MESSAGES: u64 = 60;

impl World {
    /// Looks at the world, and whether the run is over.
    pub(super) fn second(&mut self) {
        self.schedule(self.now + 1_000, Event::Second);
        if self.relay.is_up {
            let state = self.relay.coordinator.state();
            if !state.round().is_some_and(|round| matches!(round.stage(), Stage::Settled { .. })) {
                let check = round_ends(state, self.now - self.opened_at, self.pardoned);
                self.expect(check);
            }
        }
        let check = self.check_bounds();
        self.expect(check);
        self.tally.most_blobs = self.tally.most_blobs.max(self.blobs.count());
        self.collect();
        if self.now < self.calm_from {
            return;
        }
        let settled = self.relay.state().settled();
        let Some(at_calm) = self.settled_at_calm else {
            self.settled_at_calm = Some(settled);
            self.target = self.target.max(settled + CALM_ROUNDS);
            // Whoever left comes back, so that as many are there as a round needs.
            for peer in 0..self.peers.len() {
                self.open(peer);
            }
            return;
        };
        if settled >= self.target {
            self.is_over = true;
            return;
        }
        let rules = self.campaign.rules;
        let longest = (3 + 2 * u64::from(rules.extensions.unwrap_or(0))) * DEADLINE_MS;
        let limit = self.calm_from + RETURN_MS + (self.target - at_calm) * (longest + 5_000);
        if self.now > limit {
            let (round, here) =
                (self.relay.state().round().map(|round| round.stage()), self.relay.state().here_count());
            let detail = format!(
                "{settled} rounds of {} settled, {at_calm} before the calm; {here} members are there, {round:?}",
                self.target
            );
            self.fail(Rule::Progress, detail);
        }
    }

    /// Blobs that nobody holds any more are forgotten.
    fn collect(&mut self) {
        if self.blobs.count() < 4 * self.peers.len() + 1_000 {
            return;
        }
        let state = self.relay.coordinator.state();
        let results: BTreeSet<Cid> = state.results().map(|(_round, result)| result).collect();
        let round = state.round();
        let updates: BTreeSet<Cid> =
            round.iter().flat_map(|round| round.contributions()).map(|accepted| accepted.update).collect();
        let outer = [state.outer_state(), round.and_then(|round| round.outer_state())];
        let is_kept =
            |cid: &Cid| results.contains(cid) || updates.contains(cid) || outer.contains(&Some(*cid));
        let mut held: BTreeSet<Cid> = self.peers.iter().flat_map(|peer| peer.shelf.keys()).copied().collect();
        // Only what rounds may still need stays at the relay.
        self.relay.pinned.retain(|cid| is_kept(cid) || held.contains(cid));
        self.relay.checked.retain(|cid, _is_sound| updates.contains(cid));
        held.extend(self.relay.pinned.iter());
        self.blobs.retain(|cid| held.contains(cid));
        self.learning.forget();
    }

    fn check_bounds(&self) -> Check {
        let waiting = self.relay.inbox.len();
        let most = MOST_WAITING * (self.peers.len() + 64);
        if waiting > most {
            return Err((Rule::Bounded, format!("{waiting} requests wait at the relay, more than {most}")));
        }
        let seconds = (self.now - BEGINNING_MS) / 1_000 + 30;
        let each =
            if self.settings.is_mesh { MOST_MESSAGES + 4 * self.peers.len() as u64 } else { MOST_MESSAGES };
        let most = seconds * (each + 2 * self.peers.len() as u64);
        for (number, peer) in self.peers.iter().enumerate() {
            let messages = peer.traffic.messages;
            if messages > most {
                return Err((
                    Rule::Bounded,
                    format!("tab {number} has {messages} messages, more than {most}"),
                ));
            }
            let shelf = peer.shelf.len();
            // A round's updates where they are pulled, some checkpoints, and what an auditor needs.
            let most = 24 + if self.settings.is_mesh { 3 * self.peers.len() } else { 0 };
            if shelf > most {
                return Err((Rule::Bounded, format!("tab {number} keeps {shelf} blobs, more than {most}")));
            }
        }
        Ok(())
    }

    pub(super) fn check_end(&mut self) -> Check {
        self.fold_again();
        let branch = &self.relay.branch;
        self.ledger.check_acknowledged(|index| branch.get(index).map(|item| item.entry.id()))
    }

    pub(super) fn outcome(&mut self) -> Outcome {
        let state = self.relay.state();
        let checkpoint = state.checkpoint();
        let (settled, faults) = (state.settled(), state.faults().len());
        let accuracy = checkpoint.and_then(|cid| self.learning.accuracy(&self.blobs, &cid));
        let traffic = self.peers.iter().map(|peer| peer.traffic).collect();
        Outcome {
            settled,
            faults,
            simulated_ms: self.now - BEGINNING_MS,
            records: self.relay.branch.len(),
            log_bytes: self.relay.shown.as_ref().map_or(0, |shown| shown.bytes),
            head: self.relay.chain.head().hash,
            checkpoint,
            accuracy,
            parameters: self.campaign.parameters,
            tally: self.tally,
            traffic,
        }
    }
}
