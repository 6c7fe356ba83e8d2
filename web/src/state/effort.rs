//! What taking part costs this device, as far as a page can measure it.

use lichen_bridge::Phase;

/// Time at work since joining.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Effort {
    busy_ms: f64,
    /// Since when it has been at work without a break.
    working_since: Option<f64>,
}

impl Effort {
    /// Takes in what the worker is doing from now on.
    pub(super) fn enter(&mut self, phase: &Phase, now: f64) {
        let works = matches!(phase, Phase::Training { .. } | Phase::Aggregating);
        match (self.working_since, works) {
            (None, true) => self.working_since = Some(now),
            (Some(since), false) => {
                self.busy_ms += (now - since).max(0.0);
                self.working_since = None;
            }
            _ => {}
        }
    }

    /// Nothing works any more.
    pub(super) fn stop(&mut self, now: f64) {
        self.enter(&Phase::Idle, now);
    }

    /// Milliseconds at work until now.
    pub(crate) fn busy_ms(&self, now: f64) -> f64 {
        self.busy_ms + self.working_since.map_or(0.0, |since| (now - since).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_at_work_is_what_training_and_adding_up_take() {
        let mut effort = Effort::default();
        let training = |step| Phase::Training { round: 1, step, steps: 60 };
        effort.enter(&Phase::WaitingForRound, 0.0);
        effort.enter(&training(1), 1_000.0);
        effort.enter(&training(30), 1_500.0);
        assert_eq!(effort.busy_ms(1_700.0), 700.0);
        effort.enter(&Phase::Sending, 2_000.0);
        assert_eq!(effort.busy_ms(9_000.0), 1_000.0);
        effort.enter(&Phase::Aggregating, 9_000.0);
        effort.stop(9_100.0);
        assert_eq!(effort.busy_ms(20_000.0), 1_100.0);
    }
}
