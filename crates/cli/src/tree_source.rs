//! Where the tree of one log is read.

use lichen_log::tree::TilePath;

use crate::audit::SourceError;

/// Where a log's tree is read, and where signatures go. Nothing that it gives is believed.
pub(crate) trait TreeSource {
    /// What the coordinator signed about the log's key.
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError>;

    /// The newest checkpoint.
    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError>;

    /// The hashes of a tile.
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError>;

    /// Hands in a checkpoint with a witness's signature.
    fn cosign(&mut self, note: &[u8]) -> Result<(), SourceError>;
}
