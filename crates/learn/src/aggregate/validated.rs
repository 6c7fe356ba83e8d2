//! Rules that weigh updates by what they do to the model on held-out samples. Somebody else measures that; what is made of it
//! is pure.

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;

use alloc::vec;
use alloc::vec::Vec;

use super::points::{Point, distances_to, least, lower_median, shift, sum};
use crate::Update;

/// What the aggregator's own update counts for beside the others' cosines. In the paper it is a measure only: then two hostile
/// ones that go its way a little decide where no honest one does.
const OWN: f64 = 0.5;

/// What a round's updates count for, as far as is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    /// One for each update, in their order.
    of: Vec<f64>,
    /// Questions answered so far.
    asked: u32,
    /// What whoever aggregates has trained, which counts for as much as this.
    own: Option<(Update, f64)>,
}

impl Shares {
    /// For `zeno`, before the first question: all count as much, none is longer than the middle one.
    pub(super) fn even(points: &[Point]) -> Self {
        let norms = norms(points);
        let most = lower_median(&norms);
        let all = count(points.len());
        let share = |norm: &f64| if *norm > most { most / norm / all } else { 1.0 / all };
        Self { of: norms.iter().map(share).collect(), ..Self::default() }
    }

    /// For `fltrust` (Cao et al., 2021): each update counts for the cosine of its angle to the aggregator's own, nothing if that
    /// is negative, and is made as long as that one. The own one counts for [`OWN`].
    pub(super) fn trusted(points: &[Point], own: Update) -> Self {
        let length = own.norm();
        if length == 0.0 {
            return Self::default();
        }
        let lengthening = |(point, norm): (&Point, &f64)| {
            let product = sum(pairs(point.update.values(), own.values()));
            if *norm > 0.0 && product > 0.0 { (product / (norm * length), length / norm) } else { (0.0, 0.0) }
        };
        let trusted: Vec<(f64, f64)> = points.iter().zip(&norms(points)).map(lengthening).collect();
        let total = sum(trusted.iter().map(|(cosine, _by)| *cosine)) + OWN;
        let of = trusted.into_iter().map(|(cosine, by)| cosine / total * by).collect();
        Self { of, asked: 0, own: Some((own, OWN / total)) }
    }

    /// For `zeno`: `gradient` is the loss's where the updates lead as they count now. Of those that go down it, the better half
    /// counts for more from now on, all others for less: a step of Frank and Wolfe's method (1956).
    ///
    /// A gradient that is not of numbers changes nothing.
    pub(super) fn descend(&mut self, points: &[Point], gradient: &[f32]) {
        if gradient.iter().any(|value| !value.is_finite()) {
            return;
        }
        let Self { of: even, .. } = Self::even(points);
        let slope = |(point, even): (&Point, &f64)| even * sum(pairs(point.update.values(), gradient));
        let slopes: Vec<f64> = points.iter().zip(&even).map(slope).collect();
        let half = points.len().div_ceil(2);
        let is_better = least(&slopes, half);
        // In the better half, every update counts for as much as if it were the mean of that half.
        let most = count(points.len()) / count(half);
        self.asked = self.asked.saturating_add(1);
        let step = 2.0 / (f64::from(self.asked) + 2.0);
        for (((share, even), slope), is_better) in self.of.iter_mut().zip(&even).zip(&slopes).zip(&is_better)
        {
            let aim = if *is_better && *slope < 0.0 { even * most } else { 0.0 };
            *share = (1.0 - step) * *share + step * aim;
        }
    }

    pub(super) fn combined(&self, points: &[Point]) -> Vec<f64> {
        let mut place = vec![0.0; points.first().map_or(0, |point| point.update.values().len())];
        shift(&mut place, points, &self.of, 1.0);
        if let Some((own, share)) = &self.own {
            for (at, value) in place.iter_mut().zip(own.values()) {
                *at += share * f64::from(*value);
            }
        }
        place
    }
}

fn norms(points: &[Point]) -> Vec<f64> {
    distances_to(&vec![0.0; points.first().map_or(0, |point| point.update.values().len())], points)
}

fn pairs<'a>(one: &'a [f32], other: &'a [f32]) -> impl Iterator<Item = f64> + 'a {
    one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other))
}

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
const fn count(updates: usize) -> f64 {
    updates as f64
}
