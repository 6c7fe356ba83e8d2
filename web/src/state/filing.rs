//! What the worker tells of trainings, results and contributions, filed for the page to show.

use super::{Evaluation, MAX_HISTORY, MAX_KEPT, MAX_LISTED, ViewState};
use lichen_bridge::{Contribution, ContributionState, LossPoint, Problem};
use std::rc::Rc;

impl ViewState {
    pub(super) fn trained(&mut self, round: u64, points: &[LossPoint], now: f64) {
        if let Some(last) = points.last() {
            self.own_loss = Some(last.loss);
            self.own_loss_round = round;
            self.stepped(now);
        }
    }

    pub(super) fn stepped(&mut self, now: f64) {
        if let (None, Some(joined_at)) = (self.first_step_ms, self.joined_at) {
            self.first_step_ms = Some(now - joined_at);
        }
    }

    /// Files a result by its round; a round measured again replaces its earlier result.
    pub(super) fn evaluated(&mut self, evaluation: Evaluation) {
        self.best = Some(self.best.map_or(evaluation.accuracy, |best| best.max(evaluation.accuracy)));
        let history = Rc::make_mut(&mut self.history);
        match history.binary_search_by_key(&evaluation.round, |known| known.round) {
            Ok(place) => {
                if let Some(known) = history.get_mut(place) {
                    *known = evaluation;
                }
            }
            Err(place) => history.insert(place, evaluation),
        }
        if history.len() > MAX_HISTORY {
            history.remove(0);
        }
    }

    pub(super) fn contributed(&mut self, contribution: Contribution) {
        let recorded = |one: &Contribution| matches!(one.state, ContributionState::Recorded { .. });
        let now_recorded = recorded(&contribution);
        let before = self.contributions.insert(contribution.round, contribution);
        match (before.as_ref().is_some_and(recorded), now_recorded) {
            (false, true) => self.recorded += 1,
            (true, false) => self.recorded = self.recorded.saturating_sub(1),
            _ => {}
        }
        if self.contributions.len() > MAX_KEPT {
            self.contributions.pop_first();
        }
        self.listed = Rc::new(self.contributions.values().rev().take(MAX_LISTED).cloned().collect());
    }
}

/// What to say where the organiser went back.
pub(super) fn went_back(round: u64, to: u64) -> Problem {
    let checkpoint = match to {
        0 => "the campaign's first checkpoint".to_owned(),
        to => format!("the checkpoint of round {to}"),
    };
    Problem {
        message: format!("The organiser went back to {checkpoint}."),
        remedy: format!("Round {round} continues from there. You need not do anything."),
    }
}

/// What to say of a round that changed nothing.
pub(super) fn set_aside(round: u64, would_be: Option<f64>, stays: Option<f64>) -> Problem {
    let of_hundred = |share: f64| format!("{:.0}", share * 100.0);
    let why = match would_be.zip(stays).map(|(would_be, stays)| (of_hundred(would_be), of_hundred(stays))) {
        Some((would_be, stays)) if would_be != stays => {
            format!("with its updates the model would have got {would_be} of 100 right instead of {stays}")
        }
        _ => "with its updates the model would have become worse".to_owned(),
    };
    Problem {
        message: format!("Round {round} was set aside: {why}."),
        remedy: "Training continues from the previous checkpoint. You need not do anything.".to_owned(),
    }
}
