//! Krum and Multi-Krum: the updates that are nearest to their neighbours.

use alloc::vec::Vec;

use super::points::{Point, kept_weights, least, mean, sort, square_distances, sum};

/// The mean of the `kept` updates whose nearest neighbours are nearest, of which `hostile` may be hostile.
///
/// An update's score is the sum of its squared distances to the `n − hostile − 1` others that are nearest to it: one more than
/// in the first paper (Blanchard et al., 2017), as in Farhadkhani et al. (2022), so that the score of three updates is that of
/// something.
pub(super) fn krum(points: &[Point], hostile: usize, kept: usize) -> Vec<f64> {
    let others = points.len().saturating_sub(hostile);
    let score = |mut distances: Vec<f64>| {
        sort(&mut distances);
        // The first one is its own, 0.
        sum(distances.into_iter().take(others))
    };
    let scores: Vec<f64> = square_distances(points).into_iter().map(score).collect();
    mean(points, &kept_weights(points, &least(&scores, kept)))
}
