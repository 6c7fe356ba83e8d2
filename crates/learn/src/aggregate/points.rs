//! Updates as points in space: what the rules that look at all of them compute with.

use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;

use super::to_f32;
use crate::Update;

/// An update with its weight.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) weight: f64,
    pub(super) update: Update,
}

/// The sum, added up from 0 in this order.
pub(super) fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |sum, value| sum + value)
}

/// Moves a place by the sum of `share · (point − place)` over the points, divided by `total`.
///
/// With a place of zeros, and the sum of the shares as the total, that is the points' mean.
pub(super) fn shift(place: &mut [f64], points: &[Point], shares: &[f64], total: f64) {
    let mut sums = vec![0.0; place.len()];
    for (point, share) in points.iter().zip(shares).filter(|(_point, share)| **share != 0.0) {
        for ((sum, value), at) in sums.iter_mut().zip(point.update.values()).zip(place.iter()) {
            *sum += share * (f64::from(*value) - at);
        }
    }
    for (at, sum) in place.iter_mut().zip(sums) {
        *at += sum / total;
    }
}

/// The mean of the points, each with its share.
pub(super) fn mean(points: &[Point], shares: &[f64]) -> Vec<f64> {
    let mut place = vec![0.0; points.first().map_or(0, |point| point.update.values().len())];
    shift(&mut place, points, shares, sum(shares.iter().copied()));
    place
}

/// What each point weighs.
pub(super) fn weights(points: &[Point]) -> Vec<f64> {
    points.iter().map(|point| point.weight).collect()
}

/// How far each point is from a place.
pub(super) fn distances_to(place: &[f64], points: &[Point]) -> Vec<f64> {
    let distance = |point: &Point| {
        let values = point.update.values().iter().zip(place);
        libm::sqrt(sum(values.map(|(value, at)| f64::from(*value) - at).map(|apart| apart * apart)))
    };
    points.iter().map(distance).collect()
}

/// The squares of the distances from each point to each.
pub(super) fn square_distances(points: &[Point]) -> Vec<Vec<f64>> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(points.len());
    for (index, point) in points.iter().enumerate() {
        // What is known from the other side has the same bits: squares do not depend on the sign.
        let known = rows.iter().filter_map(|row| row.get(index).copied());
        let row = known.chain(points.iter().skip(index).map(|other| square_distance(point, other)));
        let row = row.collect();
        rows.push(row);
    }
    rows
}

fn square_distance(one: &Point, other: &Point) -> f64 {
    let values = one.update.values().iter().zip(other.update.values());
    sum(values.map(|(one, other)| f64::from(*one) - f64::from(*other)).map(|apart| apart * apart))
}

/// Sorts numbers, `-0` before `0`. The library's other sorts would cost every tab two thousand bytes more.
#[inline(never)]
pub(super) fn sort(values: &mut [f64]) {
    let keys: BinaryHeap<i64> = values.iter().map(|value| turned(value.to_bits())).collect();
    for (value, key) in values.iter_mut().zip(keys.into_sorted_vec()) {
        *value = f64::from_bits(turned(key.cast_unsigned()).cast_unsigned());
    }
}

/// The bits of a number as a whole number that is ordered as the number is, and back again: see [`f64::total_cmp`].
const fn turned(bits: u64) -> i64 {
    let bits = bits.cast_signed();
    bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed()
}

/// Whether each value is among the `count` least. Of equal values, those that come first are.
pub(super) fn least(values: &[f64], count: usize) -> Vec<bool> {
    let mut sorted = values.to_vec();
    sort(&mut sorted);
    sorted.truncate(count);
    let last = sorted.last().copied().unwrap_or(f64::NEG_INFINITY);
    let mut of_last = sorted.iter().filter(|value| **value == last).count();
    let is_least = |value: &f64| {
        let is_last = *value == last && of_last > 0;
        of_last -= usize::from(is_last);
        *value < last || is_last
    };
    values.iter().map(is_least).collect()
}

/// The middle one of the values, or the lower of the two in the middle; 0 if there are none.
pub(super) fn lower_median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sort(&mut sorted);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// What each point weighs, where it is `kept`; others nothing.
pub(super) fn kept_weights(points: &[Point], kept: &[bool]) -> Vec<f64> {
    points.iter().zip(kept).map(|(point, kept)| if *kept { point.weight } else { 0.0 }).collect()
}

/// Calls a function with what the points have in each place, one place after the other.
pub(super) fn each_column(points: &mut [Point], change: &mut dyn FnMut(&mut [f64])) {
    let elements = points.first().map_or(0, |point| point.update.values().len());
    let mut column = vec![0.0; points.len()];
    for index in 0..elements {
        for (value, point) in column.iter_mut().zip(points.iter()) {
            *value = point.update.values().get(index).copied().map_or(0.0, f64::from);
        }
        change(&mut column);
        for (value, point) in column.iter().zip(points.iter_mut()) {
            if let Some(place) = point.update.values_mut().get_mut(index) {
                *place = to_f32(*value);
            }
        }
    }
}
