//! What witnesses have signed of a log, with what shows whether a copy of the log is the one that they saw.

use alloc::vec::Vec;

use lichen_record::{EncodeError, Verified, VerifierKey, VerifierKeyError, encode};
use serde::{Deserialize, Serialize};

use crate::tree::{ProofError, check_inclusion, leaf_hash};
use crate::{Ed25519Claim, Head, LogCheckpointError, LogKey, Record, SignedCheckpoint};

/// A checkpoint that witnesses have signed, and its last record.
///
/// Each record's hash covers all that came before it. So whoever finds the last record of the tree that witnesses have seen in
/// its own copy of the log has the history that they have seen, and needs no more than the way from that leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Witnessed {
    /// What the coordinator has signed of the log's key: an envelope.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// The checkpoint, with the signatures below it.
    #[serde(with = "serde_bytes")]
    pub checkpoint: Vec<u8>,
    /// The last record of the checkpoint's tree.
    pub record: Record,
    /// That it stands there (RFC 6962): hash after hash, each of 32 bytes.
    #[serde(with = "serde_bytes")]
    pub proof: Vec<u8>,
}

/// Why a checkpoint is not one that enough witnesses have seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessedError {
    /// The log's key cannot be one.
    #[error("the log's key: {0}")]
    Key(#[from] VerifierKeyError),
    /// It is no checkpoint of the log.
    #[error(transparent)]
    Checkpoint(#[from] LogCheckpointError),
    /// The log's key did not sign it.
    #[error("the log's key has not signed the checkpoint")]
    Forged,
    /// Too few witnesses signed it.
    #[error("{signed} of the witnesses that it takes have signed the checkpoint, not {quorum}")]
    Quorum {
        /// How many did.
        signed: u32,
        /// How many have to.
        quorum: u32,
    },
    /// The record is not the tree's last one.
    #[error("the record is not the tree's last one: {0}")]
    Proof(#[from] ProofError),
    /// The record has no form in bytes.
    #[error("the record: {0}")]
    Record(#[from] EncodeError),
}

impl Witnessed {
    /// Checks it for the log whose key this is: how long the log was that at least `quorum` of the witnesses saw, and the hash of
    /// its last record. `check` is the arithmetic of signatures.
    ///
    /// # Errors
    /// [`WitnessedError`] naming what is wrong.
    pub async fn check_by(
        &self,
        log: &Verified<LogKey>,
        (witnesses, quorum): (&[VerifierKey], u32),
        check: impl AsyncFn(&Ed25519Claim) -> bool,
    ) -> Result<Head, WitnessedError> {
        let (signed, claim) = SignedCheckpoint::read(&self.checkpoint, &LogKey::verifier(log)?)?;
        if !check(&claim).await {
            return Err(WitnessedError::Forged);
        }
        let mut count = 0;
        for witness in witnesses {
            // Whoever serves it could add what is not a signature; it counts as none.
            let Ok(Some((_time, claim))) = signed.cosignature(witness) else { continue };
            count += u32::from(check(&claim).await);
        }
        if count < quorum {
            return Err(WitnessedError::Quorum { signed: count, quorum });
        }
        let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
        let (proof, rest) = self.proof.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(ProofError::Length.into());
        }
        let Record { index, hash, .. } = self.record;
        if index.checked_add(1) != Some(size) {
            return Err(ProofError::Range(index, size).into());
        }
        check_inclusion(&leaf_hash(&encode(&self.record)?), index, size, proof, root)?;
        Ok(Head { campaign: log.get().campaign, length: size, hash })
    }
}
