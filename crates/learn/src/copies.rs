//! Finds updates of one round that are copies of each other.

use alloc::vec::Vec;

use lichen_campaign::Encoding;

use crate::Update;

/// Updates that point in one direction to this cosine are one and the same, scaled or with a little noise.
const SAME_DIRECTION: f64 = 0.95;

/// More places than this part in common, and one of two sparse updates took the other's.
const SAME_PLACES: f64 = 0.4;

/// Two updates of a round that are alike, by their places in the round's order, and in what way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alike {
    /// The one that comes first in that order. That says nothing of who copied.
    pub first: usize,
    /// The other one.
    pub second: usize,
    /// How they are alike: the first of the ways that applies.
    pub how: Likeness,
}

/// A way in which two updates are alike.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Likeness {
    /// Value for value.
    Identical,
    /// They point in one direction, and have this cosine.
    Direction(f64),
    /// They name this part of the fewer one's places in common, which only says something of sparse updates.
    Places(f64),
}

/// The pairs of updates that are too much alike for two trainings, in the order of their places. Updates of nothing but zeros
/// are alike only as such.
///
/// Training draws samples and their order by account, so that honest updates differ. How often honest ones are taken for copies
/// is measured by `cargo xtask bench copies`.
#[must_use]
pub fn copies(encoding: Encoding, updates: &[&Update]) -> Vec<Alike> {
    let is_sparse = matches!(encoding, Encoding::Sparse { .. });
    let mut found = Vec::new();
    for (second, copy) in updates.iter().enumerate() {
        for (first, other) in updates.iter().enumerate().take(second) {
            found.extend(likeness(other, copy, is_sparse).map(|how| Alike { first, second, how }));
        }
    }
    found
}

fn likeness(one: &Update, other: &Update, is_sparse: bool) -> Option<Likeness> {
    if one.values().iter().map(|value| value.to_bits()).eq(other.values().iter().map(|value| value.to_bits()))
    {
        return Some(Likeness::Identical);
    }
    let cosine = cosine(one, other);
    if cosine >= SAME_DIRECTION {
        return Some(Likeness::Direction(cosine));
    }
    let overlap = if is_sparse { overlap(one, other) } else { 0.0 };
    (overlap > SAME_PLACES).then_some(Likeness::Places(overlap))
}

/// The cosine of the angle between two updates; 0 if one is nothing.
#[must_use]
pub fn cosine(one: &Update, other: &Update) -> f64 {
    let pairs = one.values().iter().zip(other.values());
    let product =
        pairs.map(|(one, other)| f64::from(*one) * f64::from(*other)).fold(0.0, |sum, part| sum + part);
    let norms = one.norm() * other.norm();
    if norms > 0.0 { product / norms } else { 0.0 }
}

/// How many of the places where there is something the two have in common, as a part of those of the one that has fewer.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
pub fn overlap(one: &Update, other: &Update) -> f64 {
    let count = |update: &Update| update.values().iter().filter(|value| **value != 0.0).count();
    let pairs = one.values().iter().zip(other.values());
    let common = pairs.filter(|(one, other)| **one != 0.0 && **other != 0.0).count();
    let fewer = count(one).min(count(other));
    if fewer > 0 { common as f64 / fewer as f64 } else { 0.0 }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn update(values: &[f32]) -> Update {
        Update::new(values.to_vec()).unwrap()
    }

    fn found(encoding: Encoding, updates: &[Update]) -> Vec<Alike> {
        copies(encoding, &updates.iter().collect::<Vec<_>>())
    }

    #[test]
    fn each_way_to_copy_is_named() {
        let updates = [
            update(&[3.0, 4.0, 0.0, 0.0]),
            update(&[0.0, 0.0, 1.0, 0.0]),
            update(&[3.0, 4.0, 0.0, 0.0]),
            update(&[-3.0, -4.0, 0.0, 0.0]),
            update(&[1.5, 2.0, 0.0, 0.0]),
        ];
        let alike = |first, second, how| Alike { first, second, how };
        let scaled = Likeness::Direction(1.0);
        let dense = [alike(0, 2, Likeness::Identical), alike(0, 4, scaled), alike(2, 4, scaled)];
        assert_eq!(found(Encoding::Dense, &updates), dense);
        // The opposite has the same places.
        let places = Likeness::Places(1.0);
        let sparse =
            [dense[0], alike(0, 3, places), alike(2, 3, places), dense[1], dense[2], alike(3, 4, places)];
        assert_eq!(found(Encoding::Sparse { keep: 2 }, &updates), sparse);
    }

    #[test]
    fn zeros_are_alike_only_as_such() {
        let updates = [update(&[0.0, 0.0]), update(&[1.0, 0.0]), update(&[0.0, 0.0])];
        for encoding in [Encoding::Dense, Encoding::Sparse { keep: 1 }] {
            assert_eq!(found(encoding, &updates), [Alike { first: 0, second: 2, how: Likeness::Identical }]);
        }
    }

    #[test]
    fn places_in_common_are_counted_from_the_fewer() {
        assert_eq!(overlap(&update(&[1.0, 1.0, 1.0, 0.0]), &update(&[0.0, 1.0, 0.0, 1.0])), 0.5);
        assert_eq!(cosine(&update(&[1.0, 0.0]), &update(&[3.0, 4.0])), 0.6);
    }

    proptest! {
        #[test]
        fn a_scaled_copy_is_found_wherever_it_is(values in proptest::collection::vec(proptest::collection::vec(1f32..100.0, 8), 2..6), of: prop::sample::Index, by in 0.01f32..100.0) {
            let mut updates: Vec<Update> = values.iter().map(|values| update(values)).collect();
            let of = of.index(updates.len());
            updates.push(update(&values[of].iter().map(|value| value * by).collect::<Vec<_>>()));
            let last = updates.len() - 1;
            let alike = found(Encoding::Dense, &updates);
            prop_assert!(alike.iter().any(|pair| (pair.first, pair.second) == (of, last)));
        }
    }
}
