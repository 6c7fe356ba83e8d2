//! Where the tree of one log is read.

use lichen_log::tree::TilePath;

use crate::audit::SourceError;

/// What is shown of a log's tree. Nothing of it is believed.
pub(crate) trait Shown {
    /// What the coordinator signed about the log's key.
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError>;

    /// The newest checkpoint.
    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError>;
}

/// Where a log's tree is read, and where signatures go.
pub(crate) trait TreeSource: Shown {
    /// The hashes of a tile.
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError>;

    /// Hands in a checkpoint with a witness's signature.
    fn cosign(&mut self, note: &[u8]) -> Result<(), SourceError>;
}
