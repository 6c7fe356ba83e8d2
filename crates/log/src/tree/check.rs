//! Checks proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2, which are those of RFC 6962).

use super::hash::{EMPTY_ROOT, Hash, node_hash};

/// Most hashes that a proof can have.
pub const MAX_PROOF: usize = 63;

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// It is for another place or another size: it has too many hashes, or too few.
    #[error("the proof is not of the length that it has to be")]
    Length,
    /// The leaf is outside the tree, or the later tree is the smaller one.
    #[error("there is no such proof: {0} of {1}")]
    Range(u64, u64),
    /// It does not lead to the roots.
    #[error("the proof does not lead to the root")]
    Root,
}

/// Checks that a leaf with this hash stands at this place in the tree of this size and root.
///
/// # Errors
/// [`ProofError`] if the proof does not show it.
pub fn check_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range(index, size));
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            skip_alone(&mut place, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root { Ok(()) } else { Err(ProofError::Root) }
}

/// Checks that a tree begins with all of an earlier one.
///
/// # Errors
/// [`ProofError`] if the proof does not show it.
pub fn check_consistency(
    (old, old_root): (u64, &Hash),
    (new, new_root): (u64, &Hash),
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Range(old, new));
    }
    if old == 0 || old == new {
        let expected = if old == 0 { &EMPTY_ROOT } else { new_root };
        return match (proof.is_empty(), old_root == expected) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        (place, last) = (place >> 1, last >> 1);
    }
    // A tree of a power of two is a node of the later one, and the proof begins with it unsaid.
    let (first, proof) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some((first, rest)) => (first, rest),
        None => return Err(ProofError::Length),
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length);
        }
        if place & 1 == 1 || place == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_alone(&mut place, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        (place, last) = (place >> 1, last >> 1);
    }
    if last != 0 {
        return Err(ProofError::Length);
    }
    if old_hash == *old_root && new_hash == *new_root { Ok(()) } else { Err(ProofError::Root) }
}

/// A node at the right edge that has no sibling stands for itself on the levels above.
const fn skip_alone(place: &mut u64, last: &mut u64) {
    while *place & 1 == 0 && *place != 0 {
        *place >>= 1;
        *last >>= 1;
    }
}
