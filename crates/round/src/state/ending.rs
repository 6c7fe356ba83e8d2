//! The end of a campaign at its goal: when the coordinator may say so, and what follows from it.

use alloc::vec;
use alloc::vec::Vec;

use lichen_record::{AccountId, RoundNumber};

use super::Published;
use crate::{Change, Refusal, Rules, Stage};

impl Published {
    /// The fold measures nothing: that the goal is reached is the coordinator's word, which an audit checks.
    pub(super) fn admit_finished(
        &self,
        rules: &Rules,
        signer: AccountId,
        round: RoundNumber,
    ) -> Result<(), Refusal> {
        self.check_coordinator(signer)?;
        if !rules.ends_at_goal {
            return Err(Refusal::GoesOn);
        }
        if self.is_finished(rules) {
            return Err(Refusal::Finished);
        }
        match self.at_round(round)?.stage {
            Stage::Settled { .. } => Ok(()),
            Stage::Open | Stage::Closed { .. } => Err(Refusal::RoundNotSettled),
        }
    }

    pub(super) fn finish(&mut self, round: RoundNumber) -> Vec<Change> {
        self.is_at_goal = true;
        vec![Change::GoalReached { round }, Change::Finished { result: self.checkpoint() }]
    }
}
