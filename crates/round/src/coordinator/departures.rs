//! Which members' connections are gone, and when to say so in the log.

use alloc::collections::{BTreeMap, BTreeSet};

use lichen_record::{AccountId, RoundNumber};

use crate::{CampaignState, Change, Stage};

/// How long a connection may be gone before the member is taken for departed, in milliseconds.
///
/// A page that is reloaded, or that changes from one network to another, is back within about a second: it should not
/// fall out of the round for that. Waiting longer would hold the others up, who see a closed tab in each round.
pub(super) const GRACE_MS: u64 = 1_500;

/// Connections that are gone, and members to look at again because of that.
///
/// Each member is looked at when its grace is over, and once in each stage of a round after that: however many are
/// gone, an entry of the log costs no walk over all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Departures {
    /// Since when, in milliseconds.
    gone: BTreeMap<AccountId, u64>,
    /// Members to look at, by the time from which.
    due: BTreeSet<(u64, AccountId)>,
}

impl Departures {
    pub(super) const fn new() -> Self {
        Self { gone: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// The last connection of a member is gone. Others are nothing to anybody.
    pub(super) fn lose(&mut self, now: u64, state: &CampaignState, account: AccountId) {
        if state.is_present(&account) && !self.gone.contains_key(&account) {
            self.gone.insert(account, now);
            self.due.insert((now.saturating_add(GRACE_MS), account));
        }
    }

    /// The account has a connection.
    pub(super) fn find(&mut self, account: &AccountId) {
        if let Some(since) = self.gone.remove(account) {
            self.due.remove(&(since.saturating_add(GRACE_MS), *account));
        }
    }

    /// Takes in what an entry changed.
    pub(super) fn follow(&mut self, state: &CampaignState, change: &Change) {
        match change {
            Change::Left { account } | Change::Departed { account, .. } | Change::Missed { account, .. } => {
                self.find(account);
                // Somebody else may have taken its place.
                if state.rules().cohort.is_some() {
                    self.look_again(state);
                }
            }
            Change::Opened { .. } | Change::Closed { .. } | Change::Extended { .. } => self.look_again(state),
            Change::Published { .. }
            | Change::Joined { .. }
            | Change::WentBack { .. }
            | Change::Contributed { .. }
            | Change::Unavailable { .. }
            | Change::Excluded { .. }
            | Change::Attested { .. }
            | Change::Settled { .. }
            | Change::SetAside { .. }
            | Change::Skipped { .. }
            | Change::AuditDrawn { .. }
            | Change::Audited { .. }
            | Change::Confirmed { .. }
            | Change::AuditLapsed { .. }
            | Change::Faulted(_)
            | Change::GoalReached { .. }
            | Change::Decided(_)
            | Change::SettingsChanged { .. }
            | Change::Finished { .. } => {}
        }
    }

    /// Another stage begins, which may wait for members that the one before did not wait for.
    fn look_again(&mut self, state: &CampaignState) {
        let Some(round) = state.round() else { return };
        let gone = &self.gone;
        let due =
            |account: AccountId| gone.get(&account).map(|since| (since.saturating_add(GRACE_MS), account));
        if round.stage() == Stage::Open {
            self.due.extend(round.awaited().filter_map(due));
        } else {
            self.due.extend(round.contributions().iter().filter_map(|accepted| due(accepted.account)));
        }
    }

    /// The next member to look at and from when, leaving out those that the round does not wait for.
    pub(super) fn next(
        &mut self,
        now: u64,
        is_awaited: impl Fn(RoundNumber, AccountId) -> bool,
        round: Option<RoundNumber>,
    ) -> Option<(u64, AccountId)> {
        loop {
            let first = *self.due.first()?;
            if first.0 > now || round.is_some_and(|round| is_awaited(round, first.1)) {
                return Some(first);
            }
            self.due.remove(&first);
        }
    }
}
