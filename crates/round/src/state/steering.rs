//! What the organiser decided: pauses, ends, and settings that change.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::ChangeFault;
use lichen_record::{AccountId, Decision, RoundNumber, Settings};

use super::Published;
use crate::codec::coded;
use crate::{Change, Refusal, Rules, Stage};

/// Changes of settings that are remembered. Each took effect in a round of its own, and no audit waits for so many rounds.
const REMEMBERED: usize = 64;

/// How the organiser has the campaign go on.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Steering {
    /// That of the last decision; 0 before the first.
    pub(super) sequence: u64,
    pub(super) is_paused: bool,
    pub(super) is_retired: bool,
    /// The campaign's last round, where the organiser finished it.
    last_round: Option<u64>,
    /// All settings that were changed until now.
    in_effect: Settings,
    /// Settings that change with the next opening.
    pub(super) planned: Settings,
    /// The last changes that took effect.
    pub(super) applied: Vec<Applied>,
}

/// Settings that changed with a round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Applied {
    /// The round, the first one with these settings.
    pub round: RoundNumber,
    /// Log time of its opening, in milliseconds.
    pub time: u64,
    /// What changed.
    pub settings: Settings,
    /// The learning rate of the rounds before.
    former_rate: f64,
}

coded!(struct Applied { round, time, settings, former_rate } where |it: &Self| it.former_rate.is_finite());
coded!(struct Steering { sequence, is_paused, is_retired, last_round, in_effect, planned, applied }
    where |it: &Self| it.applied.len() <= REMEMBERED);

impl Steering {
    /// Planned settings take effect with this round.
    pub(super) fn take_effect(&mut self, round: RoundNumber, time: u64, rules: &Rules) -> Option<Change> {
        let settings = core::mem::take(&mut self.planned);
        if settings.is_empty() {
            return None;
        }
        if self.applied.len() == REMEMBERED {
            self.applied.remove(0);
        }
        self.applied.push(Applied { round, time, settings, former_rate: rules.learning_rate });
        self.in_effect = settings.or(self.in_effect);
        Some(Change::SettingsChanged { round, settings })
    }

    /// Puts what holds now into the rules.
    pub(super) fn steer(&self, rules: &mut Rules) {
        let Settings { deadline_ms, target_accuracy, learning_rate } = self.in_effect;
        rules.deadline_ms = deadline_ms.unwrap_or(rules.deadline_ms);
        rules.target = target_accuracy.or(rules.target);
        rules.learning_rate = learning_rate.unwrap_or(rules.learning_rate);
        rules.limit = self.last_round.unwrap_or(rules.limit).min(rules.limit);
    }

    /// The learning rate of a round: of one that was opened, or of the next one to open.
    pub(super) fn learning_rate(&self, rules: &Rules, round: RoundNumber, is_opened: bool) -> f64 {
        if !is_opened {
            return self.planned.learning_rate.unwrap_or(rules.learning_rate);
        }
        let since = self.applied.iter().find(|applied| applied.round > round);
        since.map_or(rules.learning_rate, |applied| applied.former_rate)
    }
}

impl Published {
    pub(super) fn admit_decided(
        &self,
        rules: &Rules,
        account: AccountId,
        sequence: u64,
        decision: Decision,
    ) -> Result<(), Refusal> {
        if rules.organiser != Some(account) {
            return Err(Refusal::NotOrganiser);
        }
        if sequence <= self.steering.sequence {
            return Err(Refusal::StaleSequence);
        }
        let has_last_round = self.steering.last_round.is_some() || self.settled() >= rules.limit;
        match decision {
            Decision::Retire => Ok(()),
            _ if has_last_round => Err(Refusal::Finished),
            // It may be opened again on an earlier checkpoint until the organiser says this, too.
            Decision::Finish => Ok(()),
            _ if self.is_at_goal => Err(Refusal::Finished),
            Decision::Pause if self.steering.is_paused => Err(Refusal::Duplicate),
            Decision::Resume if !self.steering.is_paused => Err(Refusal::NotPaused),
            Decision::Pause | Decision::Resume => Ok(()),
            Decision::Change(settings) => rules.changes.check(&settings).map_err(|fault| match fault {
                ChangeFault::Fixed => Refusal::NotChangeable,
                ChangeFault::OutOfBounds => Refusal::OutOfBounds,
            }),
        }
    }

    pub(super) fn decide_course(&mut self, rules: &Rules, sequence: u64, decision: Decision) -> Vec<Change> {
        let was_finished = self.is_finished(rules);
        let result = self.checkpoint();
        let (settled, running) = (self.settled(), self.running());
        let steering = &mut self.steering;
        steering.sequence = sequence;
        let mut is_over = false;
        match decision {
            Decision::Pause => steering.is_paused = true,
            Decision::Resume => steering.is_paused = false,
            Decision::Finish => {
                steering.last_round = Some(running.unwrap_or(settled));
                is_over = running.is_none();
            }
            Decision::Retire => {
                steering.is_retired = true;
                is_over = true;
            }
            Decision::Change(settings) => steering.planned = settings.or(steering.planned),
        }
        let mut changes = vec![Change::Decided(decision)];
        if is_over && !was_finished {
            changes.push(Change::Finished { result });
        }
        changes
    }

    /// The round that is open, or closed and not settled.
    fn running(&self) -> Option<u64> {
        let round = self.round.as_ref()?;
        (!matches!(round.stage, Stage::Settled { .. })).then_some(round.number.0)
    }
}
