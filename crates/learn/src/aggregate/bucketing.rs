//! Bucketing (Karimireddy et al., 2022): pairs of updates, drawn by lot, instead of single ones.

use alloc::vec::Vec;

use lichen_record::Cid;

use super::points::Point;
use super::to_f32;

/// Numbers that follow from a round's base, which is settled before anybody makes an update of the round: SplitMix64 from the
/// first eight bytes of the base's digest, big-endian. So nobody chooses whom an update is paired with.
#[derive(Clone, Debug)]
pub(super) struct Lots(u64);

impl Lots {
    pub(super) fn new(base: &Cid) -> Self {
        Self(base.digest().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }

    /// A number below `bound`, each about equally likely.
    #[expect(clippy::cast_possible_truncation, reason = "the number is below a usize")]
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % (bound.max(1) as u64)) as usize
    }
}

/// Shuffles the updates (Fisher and Yates, from the first place on), and puts the weighted means of pairs, rounded to `f32`, in
/// their place; one that is left over stays.
pub(super) fn pairs(mut points: Vec<Point>, lots: &mut Lots) -> Vec<Point> {
    for at in 0..points.len() {
        let rest = points.len() - at;
        points.swap(at, at + lots.below(rest));
    }
    let mut points = points.into_iter();
    let mut pairs = Vec::with_capacity(points.len().div_ceil(2));
    while let Some(mut pair) = points.next() {
        if let Some(other) = points.next() {
            let weight = pair.weight + other.weight;
            for (value, with) in pair.update.values_mut().iter_mut().zip(other.update.values()) {
                let sum = pair.weight * f64::from(*value) + other.weight * f64::from(*with);
                *value = to_f32(sum / weight);
            }
            pair.weight = weight;
        }
        pairs.push(pair);
    }
    pairs
}
