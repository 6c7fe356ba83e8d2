//! What contributors have reported of the rounds before this tab came, for the page's curve.

use lichen_bridge::{Event, Reported};
use lichen_round::Round;

/// Rounds told of at most; a curve of more looks the same.
const MAX_ROUNDS: usize = 240;

/// What contributors have said of the rounds before this tab came. Nobody has checked it: of each round the middle is
/// taken, which no single one of them moves far.
pub(crate) struct Before {
    rounds: Vec<Reported>,
    /// One round in so many is kept.
    stride: u64,
}

impl Before {
    pub(crate) fn new() -> Self {
        Self { rounds: Vec::new(), stride: 1 }
    }

    /// A round has settled.
    pub(crate) fn settled(&mut self, round: &Round) {
        let metrics = || round.counted().map(|accepted| accepted.metrics);
        let loss = middle(metrics().map(|metrics| metrics.loss()).collect());
        let accuracy = middle(metrics().map(|metrics| metrics.accuracy()).collect());
        if let (Some(loss), Some(accuracy)) = (loss, accuracy) {
            self.push(Reported { round: round.number().0, loss, accuracy });
        }
    }

    fn push(&mut self, reported: Reported) {
        if !self.is_kept(reported.round) {
            return;
        }
        if self.rounds.len() == MAX_ROUNDS {
            self.stride = self.stride.saturating_mul(2);
            let rounds = std::mem::take(&mut self.rounds);
            self.rounds = rounds.into_iter().filter(|one| self.is_kept(one.round)).collect();
        }
        if self.is_kept(reported.round) {
            self.rounds.push(reported);
        }
    }

    fn is_kept(&self, round: u64) -> bool {
        round.saturating_sub(1).is_multiple_of(self.stride)
    }

    /// What the page hears of it, if there is anything.
    pub(crate) fn told(self) -> Option<Event> {
        (!self.rounds.is_empty()).then_some(Event::Reported(self.rounds))
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;

    fn told(last: u64) -> Vec<u64> {
        let mut before = Before::new();
        for round in 1..=last {
            before.push(Reported { round, loss: 0.5, accuracy: 0.9 });
        }
        match before.told() {
            Some(Event::Reported(rounds)) => rounds.iter().map(|one| one.round).collect(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_long_record_is_told_in_few_rounds_from_the_first_on() {
        assert_eq!(told(3), [1, 2, 3]);
        assert!(told(0).is_empty());
        let rounds = told(100_000);
        assert!((MAX_ROUNDS / 2..=MAX_ROUNDS).contains(&rounds.len()), "{}", rounds.len());
        assert_eq!(rounds.first(), Some(&1));
        assert!(*rounds.last().unwrap() > 99_000, "{rounds:?}");
        let gaps: std::collections::BTreeSet<u64> = rounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps.len(), 1, "they are evenly spread");
    }

    #[test]
    fn one_liar_does_not_move_the_middle() {
        assert_eq!(middle(vec![0.9, 0.0, 0.92]), Some(0.9));
        assert_eq!(middle(vec![0.9, 1.0, 0.92]), Some(0.92));
        assert_eq!(middle(Vec::new()), None);
    }
}
