//! Trees that grow, of which no more is kept than growing takes.

use alloc::vec::Vec;

use super::hash::{Hash, join, node_hash, perfect_root};
use super::tile::{TILE_HEIGHT, TILE_WIDTH};

/// A tree of which only the right edge is kept: one hash for each one in the binary form of its size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    /// Roots of the perfect subtrees, the largest first.
    subtrees: Vec<Hash>,
}

impl Edge {
    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the next leaf's hash.
    pub fn append(&mut self, leaf: Hash) {
        let (mut joined, mut left) = (leaf, self.size);
        while left & 1 == 1
            && let Some(sibling) = self.subtrees.pop()
        {
            joined = node_hash(&sibling, &joined);
            left >>= 1;
        }
        self.subtrees.push(joined);
        self.size = self.size.saturating_add(1);
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        join(&self.subtrees)
    }
}

/// The rightmost tile of each level, as far as it is not full: what is needed to write the next tiles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RightTiles {
    size: u64,
    /// By level; fewer than [`TILE_WIDTH`] hashes each.
    levels: Vec<Vec<Hash>>,
}

impl RightTiles {
    /// The right tiles of a tree of this size, from the hashes of each level's partial tile.
    ///
    /// # Errors
    /// Whatever `partial` fails with.
    pub fn load<E>(size: u64, mut partial: impl FnMut(u8, u64) -> Result<Vec<Hash>, E>) -> Result<Self, E> {
        let mut levels = Vec::new();
        let (mut level, mut hashes) = (0, size);
        while hashes > 0 {
            let is_partial = !hashes.is_multiple_of(TILE_WIDTH as u64);
            levels.push(if is_partial { partial(level, hashes / TILE_WIDTH as u64)? } else { Vec::new() });
            hashes >>= TILE_HEIGHT;
            level += 1;
        }
        Ok(Self { size, levels })
    }

    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the next leaf's hash, and gives out each tile that it fills: its level, its index and its hashes.
    pub fn append(&mut self, leaf: Hash, mut full: impl FnMut(u8, u64, &[Hash])) {
        let (mut hash, mut index) = (leaf, self.size);
        self.size = self.size.saturating_add(1);
        for level in 0.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let Some(tile) = self.levels.get_mut(usize::from(level)) else { return };
            tile.push(hash);
            if tile.len() < TILE_WIDTH {
                return;
            }
            index /= TILE_WIDTH as u64;
            full(level, index, tile);
            hash = perfect_root(tile);
            tile.clear();
        }
    }

    /// The partial tiles: each with its level, its index and its hashes.
    pub fn partial(&self) -> impl Iterator<Item = (u8, u64, &[Hash])> {
        let mut hashes = self.size;
        (0..).zip(&self.levels).filter_map(move |(level, tile)| {
            let index = hashes / TILE_WIDTH as u64;
            hashes >>= TILE_HEIGHT;
            (!tile.is_empty()).then_some((level, index, tile.as_slice()))
        })
    }
}
