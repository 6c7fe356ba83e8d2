//! What the log's own key signs about the tree (C2SP `tlog-checkpoint`), and how witnesses sign that again
//! (`tlog-cosignature`).

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use base64ct::{Base64, Encoding};
use lichen_record::{
    AccountId, CampaignId, KeyKind, Signable, Verified, VerifierKey, VerifierKeyError, is_key_name,
};
use serde::{Deserialize, Serialize};

use crate::note::{CheckEd25519, Ed25519Claim, Note, NoteError, NoteSignature};
use crate::tree::{EMPTY_ROOT, Hash};

/// Longest text of a checkpoint, in bytes.
const MAX_TEXT: usize = 512;

/// A tree's size and root, and whose tree it is. Not to be confused with a model's checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogCheckpoint {
    origin: String,
    size: u64,
    root: Hash,
}

/// Why something is not the checkpoint that it has to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogCheckpointError {
    /// It is no signed note, or not signed as it has to be.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The note is not about a tree.
    #[error("the note is not a log's checkpoint")]
    Malformed,
    /// It is about another log's tree.
    #[error("a checkpoint of {found}, not of {expected}")]
    Origin {
        /// Whose it has to be.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// A signature's time is later than there can be.
    #[error("the cosignature's time makes no sense")]
    Time,
}

/// The name of a campaign's log in checkpoints, which is the name of its key as well: who orders it is part of it, as
/// several may run the same campaign.
#[must_use]
pub fn origin(campaign: CampaignId, coordinator: &AccountId) -> String {
    format!("lichen/{campaign}/{coordinator}")
}

/// Signed by the coordinator: "the checkpoints of my log of this campaign are signed by this Ed25519 key".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogKey {
    /// Whose log.
    pub campaign: CampaignId,
    /// The public key.
    #[serde(with = "serde_bytes")]
    pub key: [u8; 32],
}

impl Signable for LogKey {
    const DOMAIN: &'static str = "log-key";
}

impl LogKey {
    /// The key by which the checkpoints are checked, from what the coordinator certified.
    ///
    /// # Errors
    /// Never: the name of a log can be that of a key.
    pub fn verifier(certificate: &Verified<Self>) -> Result<VerifierKey, VerifierKeyError> {
        let Self { campaign, key } = certificate.get();
        VerifierKey::new(&origin(*campaign, &certificate.account()), KeyKind::Note, *key)
    }
}

impl LogCheckpoint {
    /// The checkpoint of a log whose name is its key's.
    #[must_use]
    pub fn new(key: &VerifierKey, size: u64, root: Hash) -> Self {
        Self { origin: key.name().to_owned(), size, root }
    }

    /// Which log it is about.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many leaves the tree has.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The tree's root.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }
}

impl fmt::Display for LogCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, Base64::encode_string(&self.root))
    }
}

impl FromStr for LogCheckpoint {
    type Err = LogCheckpointError;

    fn from_str(text: &str) -> Result<Self, LogCheckpointError> {
        let read = || {
            let (origin, rest) = text.split_once('\n').filter(|_short| text.len() <= MAX_TEXT)?;
            let (size, rest) = rest.split_once('\n')?;
            let root = Base64::decode_vec(rest.strip_suffix('\n')?).ok()?;
            let origin = is_key_name(origin).then(|| origin.to_owned())?;
            let checkpoint = Self { origin, size: read_size(size)?, root: root.try_into().ok()? };
            (checkpoint.size > 0 || checkpoint.root == EMPTY_ROOT).then_some(checkpoint)
        };
        // Extension lines are not read: our logs have none, and nobody could check what they say. So each checkpoint has one form.
        read().ok_or(LogCheckpointError::Malformed)
    }
}

/// A tree's size, written in the one way that it is written.
fn read_size(text: &str) -> Option<u64> {
    let is_plain =
        text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_size| is_plain)
}

/// A checkpoint that the log's key has signed, with all that is signed below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: LogCheckpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Signs a checkpoint.
    #[must_use]
    pub fn sign(checkpoint: LogCheckpoint, key: &VerifierKey, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Self {
        let text = checkpoint.to_string();
        let signature = NoteSignature::new(key, sign(text.as_bytes()).to_vec());
        Self { checkpoint, note: Note::new(text, signature) }
    }

    /// Reads a checkpoint and checks that this key has signed it, which has the log's name.
    ///
    /// # Errors
    /// [`LogCheckpointError`] naming what is wrong.
    pub fn open(bytes: &[u8], key: &VerifierKey, check: CheckEd25519) -> Result<Self, LogCheckpointError> {
        let note = Note::from_bytes(bytes)?;
        let checkpoint: LogCheckpoint = note.text().parse()?;
        if checkpoint.origin != key.name() || key.kind() != KeyKind::Note {
            let (expected, found) = (key.name().to_owned(), checkpoint.origin);
            return Err(LogCheckpointError::Origin { expected, found });
        }
        let signature = note.signature_by(key).ok_or_else(|| NoteError::Unsigned(key.name().to_owned()))?;
        let is_signed = <&[u8; 64]>::try_from(signature.bytes())
            .is_ok_and(|signature| check(key.key(), note.text().as_bytes(), signature));
        if !is_signed {
            return Err(NoteError::Forged(key.name().to_owned()).into());
        }
        Ok(Self { checkpoint, note })
    }

    /// What is signed.
    #[must_use]
    pub const fn checkpoint(&self) -> &LogCheckpoint {
        &self.checkpoint
    }

    /// The note, with the signatures.
    #[must_use]
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Whether both say the same of the same log.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.checkpoint == other.checkpoint
    }

    /// Adds a witness's signature to it, made at this time, in seconds of Unix time.
    pub fn cosign(&mut self, witness: &VerifierKey, time: u64, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> bool {
        let signature = sign(cosigned(self.note.text(), time).as_bytes());
        self.note.sign(NoteSignature::new(witness, [&time.to_be_bytes()[..], &signature].concat()))
    }

    /// When a witness signed it, in seconds of Unix time; none if it did not.
    ///
    /// # Errors
    /// [`NoteError::Forged`] if it says so and is wrong, [`LogCheckpointError::Time`] for a time that is none.
    pub fn cosigned_by(
        &self,
        witness: &VerifierKey,
        check: CheckEd25519,
    ) -> Result<Option<u64>, LogCheckpointError> {
        let Some((time, claim)) = cosignature(&self.note, witness)? else { return Ok(None) };
        if claim.is_true(check) {
            Ok(Some(time))
        } else {
            Err(NoteError::Forged(witness.name().to_owned()).into())
        }
    }

    /// Takes over what a witness signed below the same checkpoint.
    ///
    /// # Errors
    /// As [`SignedCheckpoint::cosigned_by`].
    pub fn take_cosignature(
        &mut self,
        from: &Self,
        witness: &VerifierKey,
        check: CheckEd25519,
    ) -> Result<bool, LogCheckpointError> {
        if !self.is_same(from) || from.cosigned_by(witness, check)?.is_none() {
            return Ok(false);
        }
        let signature = from.note.signature_by(witness).cloned();
        Ok(signature.is_some_and(|signature| self.note.sign(signature)))
    }

    /// Its bytes, as they are served.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.note.to_string().into_bytes()
    }
}

/// When a witness says that it signed a checkpoint, and that it did, which is yet to be checked; none if it does not say so.
///
/// # Errors
/// As [`SignedCheckpoint::cosigned_by`].
pub(crate) fn cosignature(
    note: &Note,
    witness: &VerifierKey,
) -> Result<Option<(u64, Ed25519Claim)>, LogCheckpointError> {
    let signature = note.signature_by(witness).filter(|_key| witness.kind() == KeyKind::Cosignature);
    let Some(signature) = signature else { return Ok(None) };
    let forged = || NoteError::Forged(witness.name().to_owned());
    let (time, signature) = signature.bytes().split_first_chunk().ok_or_else(forged)?;
    let time = u64::from_be_bytes(*time);
    if i64::try_from(time).is_err() {
        return Err(LogCheckpointError::Time);
    }
    let signature = signature.try_into().map_err(|_length| forged())?;
    let message = cosigned(note.text(), time).into_bytes();
    Ok(Some((time, Ed25519Claim { key: *witness.key(), message, signature })))
}

/// What a witness signs.
fn cosigned(text: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{text}")
}
