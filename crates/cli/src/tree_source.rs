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
    /// The newest of what that key signed that enough of the campaign's witnesses have signed, too.
    pub(crate) witnessed: Option<Vec<u8>>,
}

/// What is shown of a log's tree. Nothing of it is believed.
pub(crate) trait Shown {
    /// What the coordinator signed about the log's key.
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError>;

    /// The newest checkpoint.
    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError>;

    /// The newest checkpoint that enough of the campaign's witnesses have signed.
    fn witnessed_checkpoint(&mut self) -> Result<Vec<u8>, SourceError>;

    /// All of it; none if nothing is shown.
    fn signed_root(&mut self) -> Result<Option<SignedRoot>, SourceError> {
        let Some(certificate) = found(self.log_key())? else { return Ok(None) };
        // First, so that the newest one is not older.
        let witnessed = found(self.witnessed_checkpoint())?;
        let Some(checkpoint) = found(self.log_checkpoint())? else { return Ok(None) };
        Ok(Some(SignedRoot { certificate, checkpoint, witnessed }))
    }
}

/// What was asked for, unless there is no such thing.
fn found(answer: Result<Vec<u8>, SourceError>) -> Result<Option<Vec<u8>>, SourceError> {
    match answer {
        Ok(bytes) => Ok(Some(bytes)),
        Err(SourceError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where a log's tree is read, and where signatures go.
pub(crate) trait TreeSource: Shown {
    /// The hashes of a tile.
    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError>;

    /// Hands in a checkpoint with a witness's signature.
    fn cosign(&mut self, note: &[u8]) -> Result<(), SourceError>;
}
