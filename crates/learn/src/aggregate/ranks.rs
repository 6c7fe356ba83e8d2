//! Rules that rank each value by itself: the coordinate-wise median and the trimmed mean.

use alloc::vec::Vec;

use super::points::{Point, each_column, sort, sum};

/// The mean of each value without the `trimmed` largest and the `trimmed` smallest. Every update counts once, whatever it weighs.
pub(super) fn trimmed_mean(points: &mut [Point], trimmed: usize) -> Vec<f64> {
    let mut result = Vec::new();
    let kept = points.len().saturating_sub(2 * trimmed);
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let count = kept as f64;
    each_column(points, &mut |column| {
        sort(column);
        result.push(sum(column.iter().skip(trimmed).take(kept).copied()) / count);
    });
    result
}

/// The median of each value; of an even number, the mean of the two in the middle.
pub(super) fn coordinate_median(points: &mut [Point]) -> Vec<f64> {
    trimmed_mean(points, points.len().saturating_sub(1) / 2)
}
