//! Where the tree of one log is read.

use lichen_audit::SourceError;
use lichen_log::tree::TilePath;

/// What could not be had, where [`Shown::signed_root`] fails.
pub(crate) const SIGNED_ROOT: &str = "the signed root of the log's tree";

/// The root of a log's tree, as its coordinator shows it.
pub(crate) struct SignedRoot {
    /// What the coordinator signed about the log's key.
    pub(crate) certificate: Vec<u8>,
    /// What that key signed.
    pub(crate) checkpoint: Vec<u8>,
}

/// What is shown of a log's tree. Nothing of it is believed.
pub(crate) trait Shown {
    /// What the coordinator signed about the log's key.
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError>;

    /// The newest checkpoint.
    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError>;

    /// Both; none if nothing is shown.
    fn signed_root(&mut self) -> Result<Option<SignedRoot>, SourceError> {
        let certificate = self.log_key();
        match certificate
            .and_then(|certificate| Ok(SignedRoot { certificate, checkpoint: self.log_checkpoint()? }))
        {
            Ok(shown) => Ok(Some(shown)),
            Err(SourceError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Where a log's tree is read, and where signatures go.
pub(crate) trait TreeSource: Shown {
    /// The hashes of a tile.
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError>;

    /// Hands in a checkpoint with a witness's signature.
    fn cosign(&mut self, note: &[u8]) -> Result<(), SourceError>;
}
