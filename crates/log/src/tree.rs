//! The log as a Merkle tree: the hashes of RFC 6962, in the tiles of C2SP's `tlog-tiles`.

mod bundle;
mod check;
mod edge;
mod hash;
mod nodes;
mod tile;

pub use bundle::{BundleError, MAX_BUNDLE, bundle, unbundle};
pub use check::{MAX_PROOF, ProofError, check_consistency, check_inclusion};
pub use edge::{Edge, RightTiles};
pub use hash::{EMPTY_ROOT, Hash, leaf_hash, node_hash};
pub use nodes::{Nodes, TileError, TileNodes, TileSource, consistency_proof, inclusion_proof, tree_root};
pub use tile::{TILE_WIDTH, TileKind, TilePath, TilePathError, hashes_at_level};
