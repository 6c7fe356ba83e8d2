//! Nearest-neighbour mixing (Allouah et al., 2023): makes updates alike before a rule combines them.

use alloc::vec::Vec;

use super::points::{Point, each_column, kept_weights, least, square_distances, sum};

/// Replaces each update by the weighted mean of the `n − hostile` nearest to it, itself among them, rounded to `f32`.
///
/// Where honest updates differ much, because their data does, a rule alone takes the unusual for hostile. After mixing, honest
/// ones differ less, and a hostile one is mostly made of honest ones, or far from them.
pub(super) fn mix(points: &mut [Point], hostile: usize) {
    let kept = points.len().saturating_sub(hostile);
    let near = |row: &Vec<f64>| kept_weights(points, &least(row, kept));
    let shares: Vec<Vec<f64>> = square_distances(points).iter().map(near).collect();
    let totals: Vec<f64> = shares.iter().map(|shares| sum(shares.iter().copied())).collect();
    let mut mixed = Vec::with_capacity(points.len());
    each_column(points, &mut |column| {
        mixed.clear();
        for (shares, total) in shares.iter().zip(&totals) {
            mixed.push(sum(shares.iter().zip(column.iter()).map(|(share, value)| share * value)) / total);
        }
        column.copy_from_slice(&mixed);
    });
}
