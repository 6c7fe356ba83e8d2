//! How leaves and nodes are hashed.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

/// A hash of the tree: SHA-256.
pub type Hash = [u8; 32];

/// The root of a tree without leaves: the hash of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27,
    0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// The hash of a leaf, which is an encoded [`Record`](crate::Record).
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(leaf).finalize().into()
}

/// The hash of a node with these two below it.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The root over subtrees that stand side by side, the largest first.
pub(super) fn join(subtrees: &[Hash]) -> Hash {
    subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right)).unwrap_or(EMPTY_ROOT)
}

/// The root over hashes of one level; their number is a power of two.
pub(super) fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut level = hashes.to_vec();
    while level.len() > 1 {
        let (pairs, _odd) = level.as_chunks::<2>();
        level = pairs.iter().map(|[left, right]| node_hash(left, right)).collect::<Vec<_>>();
    }
    level.first().copied().unwrap_or(EMPTY_ROOT)
}
