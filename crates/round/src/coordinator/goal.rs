//! Whether settled checkpoints reach the campaign's goal, as far as the coordinator had them measured.

use alloc::collections::VecDeque;

use lichen_record::{Cid, RoundNumber};

use crate::{CampaignState, Round, Stage};

/// Measurements remembered: of a round's base and of its result, and of two before.
const REMEMBERED: usize = 4;

/// What settled checkpoints turned out to be.
///
/// The campaign ends when two rounds, one built on the other, reach the goal: one alone may be luck. Both are measured anew
/// after a restart.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    /// Whether these reach a target, the latest last. The target may change.
    known: VecDeque<(Cid, f64, bool)>,
    /// What is being measured.
    asked: Option<Cid>,
}

/// What is known of the last settled round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It ends the campaign.
    Reached,
    /// It does not.
    Missed,
    /// That depends on what is being measured.
    Pending,
}

impl Goal {
    pub(super) const fn new() -> Self {
        Self { known: VecDeque::new(), asked: None }
    }

    /// A checkpoint that is to be measured now, and the round that it came out of: one at a time, and the older one first.
    pub(super) fn ask(&mut self, state: &CampaignState) -> Option<(RoundNumber, Cid, f64)> {
        let target = state.rules().target.filter(|_target| state.rules().ends_at_goal)?;
        if self.asked.is_some() || state.is_retired() {
            return None;
        }
        let round = state.round()?;
        let is_initial = |cid: &Cid| state.initial() == Some(*cid);
        let base =
            Some(round.base()).filter(|base| !is_initial(base) && self.reaches(base, target).is_none());
        let result =
            result(round).filter(|result| !is_initial(result) && self.reaches(result, target).is_none());
        let asked = base.or(result)?;
        self.asked = Some(asked);
        let mut results = state.results();
        // A base that was gone back to may just have been forgotten.
        let number = results.find(|(_round, settled)| *settled == asked).map(|(number, _settled)| number);
        Some((number.unwrap_or(RoundNumber(0)), asked, target))
    }

    /// A checkpoint was measured.
    pub(super) fn take_in(&mut self, checkpoint: Cid, target: f64, reaches: bool) {
        self.asked.take_if(|asked| *asked == checkpoint);
        if self.known.len() == REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back((checkpoint, target, reaches));
    }

    /// Whether the campaign is to end with this round, which is settled.
    pub(super) fn verdict(&self, state: &CampaignState, round: &Round) -> Verdict {
        let (base, result) = (round.base(), result(round));
        // The initial checkpoint came out of no round, and a round that was set aside shows nothing new.
        let is_second = Some(base) != state.initial() && Some(base) != result;
        let target = state.rules().target.filter(|_target| state.rules().ends_at_goal && is_second);
        let (Some(result), Some(target)) = (result, target) else { return Verdict::Missed };
        match (self.reaches(&base, target), self.reaches(&result, target)) {
            (Some(false), _) | (_, Some(false)) => Verdict::Missed,
            (Some(true), Some(true)) => Verdict::Reached,
            (None, _) | (_, None) => Verdict::Pending,
        }
    }

    #[expect(clippy::float_cmp, reason = "the same target or another one")]
    fn reaches(&self, checkpoint: &Cid, target: f64) -> Option<bool> {
        let mut known = self.known.iter().rev();
        let is_it =
            |(measured, against, _reaches): &&(Cid, f64, bool)| measured == checkpoint && *against == target;
        known.find(is_it).map(|(_measured, _target, reaches)| *reaches)
    }
}

fn result(round: &Round) -> Option<Cid> {
    match round.stage() {
        Stage::Settled { result, .. } => Some(result),
        Stage::Open | Stage::Closed { .. } => None,
    }
}
