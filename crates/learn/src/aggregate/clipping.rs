//! Clipping: the mean of updates of which no one may pull farther than the middle one.

use alloc::vec;
use alloc::vec::Vec;

use super::points::{Point, distances_to, lower_median, shift, sum, weights};

/// How often CenteredClip moves its centre.
pub(super) const TIMES: u32 = 5;

/// Beginning with the base, goes to the mean of the updates, each shortened (as seen from where it is) to their median
/// distance, so many times.
///
/// Once, this is the clipping of `SparseLoCo`: `min(1, median norm / own norm)`. Several times, it is `CenteredClip` (Karimireddy
/// et al., 2021), with a radius that follows from the updates instead of one that somebody would have to guess. The base is a
/// centre that no update of the round can move.
pub(super) fn clipped_mean(points: &[Point], times: u32) -> Vec<f64> {
    let mut center = vec![0.0; points.first().map_or(0, |point| point.update.values().len())];
    let total = sum(weights(points).into_iter());
    for _ in 0..times {
        let distances = distances_to(&center, points);
        let radius = lower_median(&distances);
        let share = |(point, distance): (&Point, &f64)| {
            if *distance > radius { point.weight * (radius / distance) } else { point.weight }
        };
        let shares: Vec<f64> = points.iter().zip(&distances).map(share).collect();
        shift(&mut center, points, &shares, total);
    }
    center
}
