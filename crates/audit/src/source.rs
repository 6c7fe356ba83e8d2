//! Where an audit reads.

use std::fmt;

use lichen_net::hub::Records;
use lichen_record::{CampaignId, Cid, RoundNumber, Signable, Verified, VerifyError, verify};

/// Where the log and the blobs come from, of which nothing is believed, and who does the arithmetic of signatures, who is.
#[expect(async_fn_in_trait, reason = "an audit runs on one thread, natively as in a tab's worker")]
pub trait Source {
    /// At most `limit` consecutive records of a campaign's log from an index on, none at its end, with a signed head.
    ///
    /// # Errors
    /// [`SourceError`] if it gives none.
    async fn records(&self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError>;

    /// The bytes that an id names, at most `cap` of them.
    ///
    /// # Errors
    /// [`SourceError`] if it gives none.
    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError>;

    /// Checks an envelope, as [`lichen_record::verify`] does. Several are asked for at a time, so that whoever has somebody faster
    /// for the arithmetic, such as a browser, can have that done ([`lichen_record::verify_by`]).
    ///
    /// # Errors
    /// [`VerifyError`] if it is not rightly signed.
    async fn verify<T: Signable>(&self, envelope: &[u8]) -> Result<Verified<T>, VerifyError> {
        verify(envelope)
    }
}

/// Why a source gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be asked, or answers with an error of its own.
    #[error("{0}")]
    Unreachable(String),
    /// It does not have it.
    #[error("not found")]
    NotFound,
    /// It gave more than allowed.
    #[error("larger than {cap} bytes")]
    TooLarge {
        /// Bytes allowed.
        cap: usize,
    },
    /// What it gave cannot be read.
    #[error("{0}")]
    Malformed(String),
}

/// What a blob is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobRole {
    /// The campaign's manifest.
    Manifest,
    /// The campaign's data.
    Data,
    /// An update that was accepted in this round.
    Update(RoundNumber),
    /// The checkpoint that this round ended with; 0 for the first checkpoint.
    Checkpoint(RoundNumber),
    /// What the outer optimiser carries over from this round.
    OuterState(RoundNumber),
    /// What a training of this round is checked by: its trace, or a state on its way.
    Evidence(RoundNumber),
}

impl fmt::Display for BlobRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlobRole::Manifest => f.write_str("the manifest"),
            BlobRole::Data => f.write_str("the campaign's data"),
            BlobRole::Update(round) => write!(f, "an update of round {round}"),
            BlobRole::Checkpoint(RoundNumber(0)) => f.write_str("the first checkpoint"),
            BlobRole::Checkpoint(round) => write!(f, "the checkpoint of round {round}"),
            BlobRole::Evidence(round) => write!(f, "what a training of round {round} is checked by"),
            BlobRole::OuterState(round) => write!(f, "the outer optimiser's state after round {round}"),
        }
    }
}
