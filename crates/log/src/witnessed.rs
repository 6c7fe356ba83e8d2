//! What witnesses have signed of a log, with what shows whether a copy of the log is the one that they saw.

use alloc::borrow::ToOwned;
use alloc::vec::Vec;

use lichen_record::{AccountId, CampaignId, EncodeError, VerifierKey, encode};
use serde::{Deserialize, Serialize};

use crate::log_checkpoint::cosignature;
use crate::tree::{ProofError, check_inclusion, leaf_hash};
use crate::{Ed25519Claim, Head, LogCheckpoint, LogCheckpointError, Note, Record, origin};

/// A checkpoint that witnesses have signed, and its last record.
///
/// Each record's hash covers all that came before it. So whoever finds the last record of the tree that witnesses have seen in
/// its own copy of the log has the history that they have seen, and needs no more than the way from that leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Witnessed {
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
    /// It is no checkpoint of the log.
    #[error(transparent)]
    Checkpoint(#[from] LogCheckpointError),
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
    /// Checks it for the log of this campaign by this coordinator: how long the log was that at least `quorum` of the witnesses
    /// saw, and the hash of its last record. `check` is the arithmetic of signatures. That the log's own key has signed the
    /// checkpoint is for witnesses to check before they sign: whoever takes their word takes it for that, too.
    ///
    /// # Errors
    /// [`WitnessedError`] naming what is wrong.
    pub async fn check_by(
        &self,
        (campaign, coordinator): (CampaignId, &AccountId),
        (witnesses, quorum): (&[VerifierKey], u32),
        check: impl AsyncFn(&Ed25519Claim) -> bool,
    ) -> Result<Head, WitnessedError> {
        let note = Note::from_bytes(&self.checkpoint).map_err(LogCheckpointError::from)?;
        let checkpoint: LogCheckpoint = note.text().parse()?;
        let expected = origin(campaign, coordinator);
        if checkpoint.origin() != expected {
            let found = checkpoint.origin().to_owned();
            return Err(LogCheckpointError::Origin { expected, found }.into());
        }
        let mut count = 0;
        for witness in witnesses {
            // Whoever serves it could add what is not a signature; it counts as none.
            let Ok(Some((_time, claim))) = cosignature(&note, witness) else { continue };
            count += u32::from(check(&claim).await);
        }
        if count < quorum {
            return Err(WitnessedError::Quorum { signed: count, quorum });
        }
        let (size, root) = (checkpoint.size(), checkpoint.root());
        let (proof, rest) = self.proof.as_chunks::<32>();
        if !rest.is_empty() {
            return Err(ProofError::Length.into());
        }
        let Record { index, hash, .. } = self.record;
        if index.checked_add(1) != Some(size) {
            return Err(ProofError::Range(index, size).into());
        }
        check_inclusion(&leaf_hash(&encode(&self.record)?), index, size, proof, root)?;
        Ok(Head { campaign, length: size, hash })
    }
}
