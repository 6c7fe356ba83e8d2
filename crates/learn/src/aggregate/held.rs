//! The updates of a round for the rules that look at all of them, and how these rules are applied.

use alloc::vec::Vec;

use lichen_campaign::{AggregationRule, Before, Rule};
use lichen_record::Cid;

use super::bucketing::{Lots, pairs};
use super::clipping::{self, clipped_mean};
use super::geometric::geometric_median;
use super::krum::krum;
use super::mixing::mix;
use super::points::{Point, lower_median, mean, weights};
use super::ranks::{coordinate_median, trimmed_mean};
use super::validated::Shares;
use crate::Update;

/// Values held at most: 256 MiB of them.
const MOST_VALUES: usize = 1 << 26;

/// Updates held at least, however large.
const FEWEST: usize = 3;

/// Shares are decimals, which 64 bits do not hold exactly: 0.29 of 100 is 29, not 28.
const ROUNDING: f64 = 1e-9;

#[derive(Clone, Debug)]
pub(super) struct Held {
    rule: AggregationRule,
    points: Vec<Point>,
    /// Updates held at most.
    most: usize,
    seen: usize,
    lots: Lots,
    /// With a rule that measures updates, what they count for.
    shares: Option<Shares>,
}

impl Held {
    pub(super) fn new(rule: AggregationRule, elements: usize, base: &Cid) -> Self {
        let most = (MOST_VALUES / elements.max(1)).max(FEWEST);
        Self { rule, points: Vec::new(), most, seen: 0, lots: Lots::new(base), shares: None }
    }

    /// Takes in an update; where there is no room, the lot decides which one stays (Vitter, 1985, algorithm R).
    pub(super) fn add(&mut self, samples: u32, update: Update) {
        if samples == 0 {
            return;
        }
        self.seen += 1;
        let point = Point { weight: f64::from(samples), update };
        if self.points.len() < self.most {
            self.points.push(point);
        } else {
            let at = self.lots.below(self.seen);
            if let Some(place) = self.points.get_mut(at) {
                *place = point;
            }
        }
    }

    /// Weighs the updates by the aggregator's own.
    pub(super) fn trust(&mut self, own: Update) {
        self.shares = Some(Shares::trusted(&self.points, own));
    }

    /// Where the updates lead as they count now; none if there are none.
    pub(super) fn heading(&mut self) -> Option<Vec<f64>> {
        if self.points.is_empty() {
            return None;
        }
        Some(self.shares.get_or_insert_with(|| Shares::even(&self.points)).combined(&self.points))
    }

    /// Weighs the updates anew by the loss's gradient there.
    pub(super) fn descend(&mut self, gradient: &[f32]) {
        if let Some(shares) = &mut self.shares {
            shares.descend(&self.points, gradient);
        }
    }

    #[cfg(test)]
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn kept(&self) -> Vec<u32> {
        let first = |point: &Point| point.update.values().first().map_or(0, |value| value.to_bits());
        self.points.iter().map(first).collect()
    }

    /// What becomes of the updates; none if there are none.
    pub(super) fn combined(mut self) -> Option<Vec<f64>> {
        let mut points = self.points;
        if points.is_empty() {
            return None;
        }
        if self.rule.rule.validates() {
            return Some(self.shares?.combined(&points));
        }
        cap_weights(&mut points);
        let AggregationRule { rule, before, hostile } = self.rule;
        let mut hostile = hostile_of(points.len(), hostile);
        match before {
            Some(Before::NearestNeighbours) => mix(&mut points, hostile),
            Some(Before::Bucketing) => {
                points = pairs(points, &mut self.lots);
                hostile = hostile.min((points.len() - 1) / 2);
            }
            None => {}
        }
        // Of one or two, none is in the middle.
        let rule = if points.len() < 3 { Rule::Mean } else { rule };
        Some(match rule {
            Rule::Mean => mean(&points, &weights(&points)),
            Rule::MedianNormClip => clipped_mean(&points, 1),
            Rule::CenteredClip => clipped_mean(&points, clipping::TIMES),
            Rule::Krum => krum(&points, hostile, 1),
            Rule::MultiKrum => krum(&points, hostile, points.len() - hostile),
            Rule::CoordinateMedian => coordinate_median(&mut points),
            Rule::TrimmedMean => trimmed_mean(&mut points, hostile),
            Rule::GeometricMedian => geometric_median(&points),
            // Seen to above.
            Rule::Zeno | Rule::FlTrust => return None,
        })
    }
}

/// How many of so many updates may be hostile: the share, rounded down, and fewer than half.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "at most half of a number of updates"
)]
fn hostile_of(count: usize, share: f64) -> usize {
    let hostile = (count as f64 * share + ROUNDING) as usize;
    hostile.min(count.saturating_sub(1) / 2)
}

/// Nobody's claim of samples weighs more than the middle one's.
fn cap_weights(points: &mut [Point]) {
    let most = lower_median(&weights(points));
    for point in points {
        point.weight = point.weight.min(most);
    }
}
