//! What must hold of the log that a simulated network has written.

use std::collections::BTreeMap;

use lichen_record::{Entry, Verified};
use lichen_round::{CampaignState, Change, Outcome, Stage};

use super::{World, aggregated, update};
use crate::fixture::{assert_comes_back, campaign, coordinator, initial};

impl World {
    /// What must hold of the log however it came about.
    pub(crate) fn check_log(&self) {
        let mut again = CampaignState::new(campaign(), self.rules);
        let mut settled = BTreeMap::new();
        for (time, entry) in &self.log {
            if let Entry::Contribution { round, base, update: claimed, .. } = entry.get()
                && entry.account() != self.attacker.account()
            {
                let rate = again.learning_rate(*round);
                let honest = update(entry.account(), *round, *base, rate);
                assert_eq!(*claimed, honest, "all train round {round} with the rate {rate}");
            }
            for change in again.apply(*time, entry).unwrap() {
                if let Change::Settled { round, result, .. } = change {
                    assert_eq!(settled.insert(round, result), None, "round {round} settled twice");
                }
            }
        }
        assert_eq!(again, *self.relay.state());
        self.history.iter().step_by(11).for_each(assert_comes_back);
        self.check_end();
        // Settled results are what an honest aggregator computes from the log, whatever attackers attested.
        let mut base = (initial(), None);
        for state in &self.history {
            let Some(round) = state.round() else { continue };
            if let Stage::Settled { result, state: outer } = round.stage() {
                let start = Outcome { result: round.base(), state: round.outer_state() };
                let honest = aggregated(&self.rules, round.number(), start, &round.inputs());
                let is_honest = honest == Outcome { result, state: outer };
                assert!(
                    is_honest || self.is_mesh() && self.is_attackers(state, round),
                    "a false result settled"
                );
                assert!(
                    !self.is_mesh() || self.pinned.contains(&result),
                    "a checkpoint that nobody may have"
                );
                assert!(
                    !self.is_mesh() || outer.is_none_or(|state| self.pinned.contains(&state)),
                    "a state that nobody may have"
                );
                base = (result, outer);
            } else {
                assert_eq!((round.base(), round.outer_state()), base, "a round starts from what settled");
            }
        }
        for fault in again.faults() {
            assert_eq!(fault.account, self.attacker.account(), "an honest account is at fault");
        }
    }

    /// The campaign ends at most once, with a second round that reached the goal, and little is said after that.
    fn check_end(&self) {
        let is_end = |(_time, entry): &(u64, Verified<Entry>)| matches!(entry.get(), Entry::Finished { .. });
        let Some(place) = self.log.iter().position(is_end) else { return };
        let (_time, end) = &self.log[place];
        assert_eq!(end.account(), coordinator().account());
        assert!(end.get().round().is_some_and(|round| round.0 > self.goal_from), "{end:?}");
        for (_time, entry) in &self.log[place + 1..] {
            let entry = entry.get();
            assert!(
                matches!(
                    entry,
                    Entry::Left { .. }
                        | Entry::Attestation { .. }
                        | Entry::Audit { .. }
                        | Entry::Snapshot { .. }
                ),
                "{entry:?} after the end"
            );
        }
    }

    /// Whether nobody but the attacker has a say about the round. In a mesh whoever runs most of the accounts that contributed to
    /// a round, or that were drawn, decides what comes of it.
    fn is_attackers(&self, state: &CampaignState, round: &lichen_round::Round) -> bool {
        let mut others = round.counted().filter(|accepted| accepted.account != self.attacker.account());
        !others.any(|accepted| round.is_drawn(&accepted.account) && state.is_present(&accepted.account))
    }
}
