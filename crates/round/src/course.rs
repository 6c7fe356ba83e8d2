//! What contributors have reported of the rounds so far, for whoever comes later.

use alloc::vec::Vec;

use lichen_record::RoundNumber;

use crate::Round;
use crate::codec::coded;

/// Rounds told of at most; a curve of more looks the same.
const MAX_ROUNDS: usize = 240;

/// What a round's contributors said of their trainings, in the middle: no single one of them moves that far. Nobody has
/// checked it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reported {
    /// The round.
    pub round: RoundNumber,
    /// Training loss at the end of the local steps.
    pub loss: f64,
    /// Share of samples classified rightly, 0 to 1.
    pub accuracy: f64,
}

/// What contributors have said of the rounds from the first on, evenly spread over them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Course {
    rounds: Vec<Reported>,
    /// One round in so many is kept.
    stride: u64,
}

coded!(struct Reported { round, loss, accuracy } where |it: &Self| it.loss.is_finite() && it.accuracy.is_finite());
coded!(struct Course { rounds, stride } where |it: &Self| it.rounds.len() <= MAX_ROUNDS && it.stride > 0);

impl Course {
    pub(crate) const fn new() -> Self {
        Self { rounds: Vec::new(), stride: 1 }
    }

    /// The rounds that are kept, the first one first.
    pub(crate) fn rounds(&self) -> &[Reported] {
        &self.rounds
    }

    /// A round has settled.
    pub(crate) fn settled(&mut self, round: &Round) {
        let metrics = || round.counted().map(|accepted| accepted.metrics);
        let loss = middle(metrics().map(|metrics| metrics.loss()).collect());
        let accuracy = middle(metrics().map(|metrics| metrics.accuracy()).collect());
        if let (Some(loss), Some(accuracy)) = (loss, accuracy) {
            self.push(Reported { round: round.number(), loss, accuracy });
        }
    }

    fn push(&mut self, reported: Reported) {
        if !self.is_kept(&reported) {
            return;
        }
        if self.rounds.len() == MAX_ROUNDS {
            self.stride = self.stride.saturating_mul(2);
            let rounds = core::mem::take(&mut self.rounds);
            self.rounds = rounds.into_iter().filter(|one| self.is_kept(one)).collect();
        }
        if self.is_kept(&reported) {
            self.rounds.push(reported);
        }
    }

    fn is_kept(&self, reported: &Reported) -> bool {
        reported.round.0.saturating_sub(1).is_multiple_of(self.stride)
    }
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec;

    use super::*;

    fn kept(last: u64) -> Vec<u64> {
        let mut course = Course::new();
        for round in 1..=last {
            course.push(Reported { round: RoundNumber(round), loss: 0.5, accuracy: 0.9 });
        }
        course.rounds().iter().map(|one| one.round.0).collect()
    }

    #[test]
    fn a_long_record_is_told_in_few_rounds_from_the_first_on() {
        assert_eq!(kept(3), [1, 2, 3]);
        assert!(kept(0).is_empty());
        let rounds = kept(100_000);
        assert!((MAX_ROUNDS / 2..=MAX_ROUNDS).contains(&rounds.len()), "{}", rounds.len());
        assert_eq!(rounds.first(), Some(&1));
        assert!(*rounds.last().unwrap() > 99_000, "{rounds:?}");
        let gaps: BTreeSet<u64> = rounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps.len(), 1, "they are evenly spread");
    }

    #[test]
    fn one_liar_does_not_move_the_middle() {
        assert_eq!(middle(vec![0.9, 0.0, 0.92]), Some(0.9));
        assert_eq!(middle(vec![0.9, 1.0, 0.92]), Some(0.92));
        assert_eq!(middle(Vec::new()), None);
    }
}
