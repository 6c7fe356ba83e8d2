//! Roots and proofs, from the nodes of a tree wherever they are kept.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::hash::{EMPTY_ROOT, Hash, join, perfect_root};
use super::tile::{TILE_HEIGHT, TILE_WIDTH, TileKind, TilePath};

/// Where the roots of perfect subtrees come from.
pub trait Nodes {
    /// Why one could not be had.
    type Error;

    /// The root over the leaves from `index << height` on, `1 << height` of them.
    ///
    /// # Errors
    /// If there is no such node, or it cannot be read.
    fn node(&mut self, height: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the tree's first `size` leaves.
///
/// # Errors
/// If a node cannot be had.
pub fn tree_root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(EMPTY_ROOT) } else { subtree(nodes, 0, size) }
}

/// The proof that a leaf is in a tree of this size, as [`check_inclusion`](super::check_inclusion) takes it. Empty for a
/// leaf that is not.
///
/// # Errors
/// If a node cannot be had.
pub fn inclusion_proof<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut start, mut end, mut proof) = (0, if index < size { size } else { 0 }, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            proof.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(nodes, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that a tree of `new` leaves begins with its first `old` ones, as
/// [`check_consistency`](super::check_consistency) takes it. Empty where nothing has to be proven, or nothing can be.
///
/// # Errors
/// If a node cannot be had.
pub fn consistency_proof<N: Nodes>(nodes: &mut N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let mut proof = Vec::new();
    if old == 0 || old >= new {
        return Ok(proof);
    }
    let (mut start, mut end) = (0, new);
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(subtree(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(subtree(nodes, start, middle)?);
            start = middle;
        }
    }
    if start > 0 {
        proof.push(subtree(nodes, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below the size of a tree, which is at least 2.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

/// The root over some leaves, which begin where a perfect subtree of that size can.
fn subtree<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Hash, N::Error> {
    let (mut at, mut subtrees) = (start, Vec::new());
    while at < end {
        let height = (end - at).ilog2();
        // Below 64, as a logarithm of 64 bits is.
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of 64 bits")]
        subtrees.push(nodes.node(height as u8, at >> height)?);
        at += 1 << height;
    }
    Ok(join(&subtrees))
}

/// Where tiles come from.
pub trait TileSource {
    /// Why one could not be had.
    type Error;

    /// The hashes of a tile, one after the other: [`TilePath::width`] of them.
    ///
    /// # Errors
    /// If it cannot be had.
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, Self::Error>;
}

/// Why a node cannot be had from tiles.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError<E> {
    /// The tile cannot be had.
    #[error("{0}")]
    Source(E),
    /// It has more or fewer hashes than it has to.
    #[error("a tile of {found} bytes in place of {expected}")]
    Width {
        /// Bytes that it has to have.
        expected: usize,
        /// Bytes that it has.
        found: usize,
    },
    /// The tree has no such node.
    #[error("the tree has no such node")]
    NotInTree,
}

/// The nodes of a tree of a certain size, from its tiles. Each tile is asked for once.
///
/// Nothing is checked here: what a proof that was made of them proves says whether they were right.
#[derive(Debug)]
pub struct TileNodes<S> {
    source: S,
    size: u64,
    tiles: BTreeMap<(u8, u64), Vec<u8>>,
}

impl<S: TileSource> TileNodes<S> {
    /// The nodes of a tree of this size.
    #[must_use]
    pub const fn new(source: S, size: u64) -> Self {
        Self { source, size, tiles: BTreeMap::new() }
    }

    fn tile(&mut self, level: u8, index: u64) -> Result<&[u8], TileError<S::Error>> {
        if !self.tiles.contains_key(&(level, index)) {
            let path = TilePath::in_tree(TileKind::Hashes(level), index, self.size);
            let path = path.ok_or(TileError::NotInTree)?;
            let bytes = self.source.tile(&path).map_err(TileError::Source)?;
            let (expected, found) = (path.width() * size_of::<Hash>(), bytes.len());
            if found != expected {
                return Err(TileError::Width { expected, found });
            }
            self.tiles.insert((level, index), bytes);
        }
        self.tiles.get(&(level, index)).map(Vec::as_slice).ok_or(TileError::NotInTree)
    }
}

impl<S: TileSource> Nodes for TileNodes<S> {
    type Error = TileError<S::Error>;

    fn node(&mut self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        let (level, above) = (height / TILE_HEIGHT, height % TILE_HEIGHT);
        let (first, count) = (index << above, 1_usize << above);
        let offset = usize::try_from(first % TILE_WIDTH as u64).map_err(|_large| TileError::NotInTree)?;
        let (hashes, _rest) = self.tile(level, first / TILE_WIDTH as u64)?.as_chunks::<32>();
        hashes.get(offset..offset + count).map(perfect_root).ok_or(TileError::NotInTree)
    }
}
