//! The geometric median: the point with the least sum of distances to the updates.

use alloc::vec::Vec;

use super::clipping::clipped_mean;
use super::points::{Point, distances_to, lower_median, shift, sum};

/// How often the estimate is improved.
const TIMES: u32 = 8;

/// Updates nearer than this part of the median distance count as being so near: where the estimate meets an update,
/// a division by nothing would keep it there.
const SMOOTHING: f64 = 1e-3;

/// Weiszfeld's method, smoothed (Pillutla et al., 2022), from the clipped mean: each update pulls with its weight divided by
/// its distance.
pub(super) fn geometric_median(points: &[Point]) -> Vec<f64> {
    let mut place = clipped_mean(points, 1);
    for _ in 0..TIMES {
        let distances = distances_to(&place, points);
        let least = SMOOTHING * lower_median(&distances);
        if least == 0.0 {
            return place;
        }
        let share = |(point, distance): (&Point, &f64)| point.weight / distance.max(least);
        let shares: Vec<f64> = points.iter().zip(&distances).map(share).collect();
        shift(&mut place, points, &shares, sum(shares.iter().copied()));
    }
    place
}
