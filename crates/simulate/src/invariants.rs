//! What has to hold, whatever happens: each rule is one function, and each is looked at where what it is about changes.
//!
//! | rule | looked at |
//! |---|---|
//! | equal prefixes give equal states | after every frame that a folding tab takes in, and at every start of a relay |
//! | a settled round never changes | at every settling and every start |
//! | no acknowledged entry is lost | at every start, for all of them, and at the end |
//! | nothing is counted twice | at every closing and settling |
//! | a result is what honest ones compute | at every settling |
//! | rounds end within their bound | at every settling, and every second for the round under way |
//! | evidence names the guilty | at every fault that the log proves, at every peer that is banned, and at every tab that distrusts |
//! | memory and messages are bounded | every second |
//!
//! All but the second-long ones cost about as much as the change that they look at. Comparing states after every frame is linear
//! in the members, and so quadratic in all: where tabs share folds, the folding ones are a few.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lichen_record::{AccountId, Cid, RoundNumber};
use lichen_round::{CampaignState, Fault, Outcome, Round};

/// What did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// How it was broken.
    pub detail: String,
    /// When, in milliseconds of the run.
    pub at: u64,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Equal prefixes of a log fold to equal states.
    EqualStates,
    /// A settled round never changes.
    SettledStays,
    /// No entry that the relay acknowledged is lost.
    NothingLost,
    /// No contribution is counted twice.
    NothingTwice,
    /// A round settles with what an honest peer computes, unless hostile ones have most of the say in a mesh.
    HonestResults,
    /// A round settles, or is skipped, within its bound.
    RoundsEnd,
    /// The campaign goes on.
    Progress,
    /// Evidence names nobody but the guilty.
    OnlyTheGuilty,
    /// Memory and messages are bounded.
    Bounded,
    /// A state read back from a snapshot is the one that the log folds to.
    Snapshots,
    /// The simulated programs do not panic.
    NoPanic,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms: {}", self.rule, self.at, self.detail)
    }
}

/// A rule that was broken, before it is known when.
pub(crate) type Check = Result<(), (Rule, String)>;

/// What is known of the run, to compare with.
#[derive(Default)]
pub(crate) struct Ledger {
    /// What rounds settled with, and how long the log was then.
    settled: BTreeMap<RoundNumber, (Outcome, usize)>,
    /// Entries that somebody was told stand in the log, by place.
    acknowledged: BTreeMap<usize, Cid>,
    pub(crate) hostile: BTreeSet<AccountId>,
    /// Whether a relay has lied or forgotten: then honest tabs may distrust it.
    pub(crate) is_relay_false: bool,
}

impl Ledger {
    pub(crate) fn settle(&mut self, round: RoundNumber, outcome: Outcome, length: usize) -> Check {
        match self.settled.insert(round, (outcome, length)) {
            None => Ok(()),
            Some((before, _length)) if before == outcome => Ok(()),
            Some((before, _length)) => Err((
                Rule::SettledStays,
                format!("round {round} settled with {before}, and then with {outcome}"),
            )),
        }
    }

    /// The state of a relay that starts must say of the last rounds what was said before.
    pub(crate) fn check_settled(&self, state: &CampaignState) -> Check {
        for (round, result) in state.results() {
            let known = self.settled.get(&round).map(|(outcome, _length)| outcome.result);
            if known.is_some_and(|known| known != result) {
                return Err((
                    Rule::SettledStays,
                    format!("after a start, round {round} settled with {result}"),
                ));
            }
        }
        let last = self.settled.keys().next_back().copied().unwrap_or(RoundNumber(0));
        if state.settled() < last.0 {
            let settled = state.settled();
            return Err((
                Rule::SettledStays,
                format!("round {last} was settled, and now {settled} is the last one"),
            ));
        }
        Ok(())
    }

    pub(crate) fn acknowledge(&mut self, index: usize, entry: Cid) {
        self.acknowledged.insert(index, entry);
    }

    /// What was acknowledged stands where it stood.
    pub(crate) fn check_acknowledged(&self, entry_at: impl Fn(usize) -> Option<Cid>) -> Check {
        for (index, entry) in &self.acknowledged {
            if entry_at(*index) != Some(*entry) {
                return Err((Rule::NothingLost, format!("record {index} was acknowledged, and is gone")));
            }
        }
        Ok(())
    }

    /// What was ordered and not written never was.
    pub(crate) fn forget_unwritten(&mut self, length: usize) {
        self.settled.retain(|_round, (_outcome, at)| *at <= length);
    }

    /// A disk has lost what lies behind this: nothing of it can be held against anybody.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.forget_unwritten(length);
        self.acknowledged.retain(|index, _entry| *index < length);
        self.is_relay_false = true;
    }

    pub(crate) fn check_fault(&self, fault: &Fault) -> Check {
        if self.hostile.contains(&fault.account) {
            return Ok(());
        }
        Err((Rule::OnlyTheGuilty, format!("an honest account is at fault: {fault:?}")))
    }
}

/// Equal prefixes give equal states.
pub(crate) fn equal_states(own: &CampaignState, other: &CampaignState, whose: &str) -> Check {
    if own == other {
        return Ok(());
    }
    let length = own.length();
    Err((Rule::EqualStates, format!("{whose} folds {length} records to another state than the relay")))
}

/// Each account has one contribution, each update is aggregated once, and what is excluded is not.
pub(crate) fn nothing_twice(round: &Round) -> Check {
    let number = round.number();
    let mut accounts = BTreeSet::new();
    for accepted in round.contributions() {
        if !accounts.insert(accepted.account) {
            return Err((
                Rule::NothingTwice,
                format!("{} contributed twice to round {number}", accepted.account),
            ));
        }
    }
    let counted: BTreeSet<Cid> = round.counted().map(|accepted| accepted.update).collect();
    let mut updates = BTreeSet::new();
    for input in round.inputs() {
        if !updates.insert(input.update) || !counted.contains(&input.update) {
            let update = input.update;
            return Err((
                Rule::NothingTwice,
                format!("{update} counts twice, or should not, in round {number}"),
            ));
        }
    }
    if !round.is_skipped() && updates.len() != counted.len() {
        return Err((Rule::NothingTwice, format!("an accepted update of round {number} is not aggregated")));
    }
    Ok(())
}

/// The round under way, or one that just settled, has not lasted longer than it may, by the time that has passed and not by the
/// log's, which jumps where a relay's clock does. Who was away gives the others their time anew, so that this is not counted.
pub(crate) fn round_ends(state: &CampaignState, lasted: u64, pardoned: u64) -> Check {
    let rules = state.rules();
    let (Some(round), Some(extensions)) = (state.round(), rules.extensions) else { return Ok(()) };
    let bound = (3 + 2 * u64::from(extensions)) * rules.deadline_ms + SLACK_MS + pardoned;
    if lasted <= bound {
        return Ok(());
    }
    let (number, stage) = (round.number(), round.stage());
    Err((Rule::RoundsEnd, format!("round {number} has lasted {lasted} ms, longer than {bound}: {stage:?}")))
}

/// What entries take on their way into the log, in milliseconds.
const SLACK_MS: u64 = 3_000;

/// A state read back from its snapshot is the one that the log folds to.
pub(crate) fn snapshot_is_the_fold(state: &CampaignState) -> Check {
    let bytes = state.to_bytes();
    match CampaignState::from_bytes(state.campaign(), *state.rules(), &bytes) {
        Ok(read) if read == *state => Ok(()),
        Ok(_other) => Err((Rule::Snapshots, "it is another state".to_owned())),
        Err(error) => Err((Rule::Snapshots, error.to_string())),
    }
}
