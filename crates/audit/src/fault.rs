//! What an audit can find wrong, with the place where it is.

use lichen_campaign::ManifestError;
use lichen_log::{ChainError, HeadError, ReplicaError};
use lichen_record::{AccountId, Cid, RoundNumber, VerifyError};
use lichen_round::{Outcome, Refusal};

use crate::source::{BlobRole, SourceError};

/// The first thing found wrong, and where.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The log cannot be read.
    #[error("record {from}: the log cannot be read from here on: {error}")]
    Log {
        /// Index of the first record that cannot be read.
        from: u64,
        /// What went wrong.
        error: SourceError,
    },
    /// A record does not continue the chain, or its signature does not fit.
    #[error("{0}")]
    Chain(ChainError),
    /// An entry that is rightly signed and that only a later version of this program knows.
    #[error(
        "record {index}: its entry is of a later version than this program: nothing is wrong with the log so far; check it \
         with a newer lichen"
    )]
    Later {
        /// Place of the record.
        index: u64,
    },
    /// An entry that is rightly signed but may not stand where it stands.
    #[error("record {index}: the entry may not stand here: {refusal}")]
    Inadmissible {
        /// Place of the record.
        index: u64,
        /// Why it may not.
        refusal: Refusal,
    },
    /// The log is shorter than the coordinator signed.
    #[error("record {found}: missing, though the coordinator signed a log of {signed} records")]
    LogEnds {
        /// Records found.
        found: u64,
        /// Records that the coordinator signed.
        signed: u64,
    },
    /// What is signed about the log's tree cannot be read, or is not by whom it has to be.
    #[error("{0}")]
    Tree(String),
    /// Fewer witnesses have signed than were asked for.
    #[error("{signed} of the witnesses have signed the log's checkpoint, and {quorum} have to")]
    Quorum {
        /// How many have.
        signed: usize,
        /// How many must have.
        quorum: usize,
    },
    /// The log's key signed another history than the coordinator's account did.
    #[error(
        "the log has two histories: its key signed this checkpoint, and the first {size} records, which lead to the head that \
         the coordinator signed, have another root\n\n{checkpoint}{}",
        other.as_ref().map(|other| format!("\nThis one it signed, too:\n\n{other}")).unwrap_or_default()
    )]
    Equivocation {
        /// How many records the checkpoint has.
        size: u64,
        /// The checkpoint that is of another history.
        checkpoint: String,
        /// The relay's own, if that is another one.
        other: Option<String>,
    },
    /// The log has no records.
    #[error("the log is empty")]
    Empty,
    /// The head is not rightly signed.
    #[error("signed head: {0}")]
    HeadSignature(VerifyError),
    /// The signed head is not that of the log.
    #[error("signed head: {0}")]
    Head(HeadError),
    /// A blob cannot be had.
    #[error("blob {cid} ({role}): {error}")]
    Blob {
        /// The blob.
        cid: Cid,
        /// What it is for.
        role: BlobRole,
        /// What went wrong.
        error: SourceError,
    },
    /// A blob's bytes are not those that its id names.
    #[error("blob {cid} ({role}): its bytes are not those that the id names")]
    BlobDiffers {
        /// The blob.
        cid: Cid,
        /// What it is for.
        role: BlobRole,
    },
    /// The manifest is not valid.
    #[error("manifest:\n{0}")]
    Manifest(ManifestError),
    /// The manifest's model or data cannot be used.
    #[error("{0}")]
    Campaign(String),
    /// The first checkpoint is not what the manifest gives.
    #[error("record 0: the manifest gives the first checkpoint {computed}, the log says {published}")]
    Initial {
        /// As computed from the manifest.
        computed: Cid,
        /// As published.
        published: Cid,
    },
    /// A checkpoint, or the outer optimiser's state with it, is not what the accepted updates give.
    #[error("round {round}: the accepted updates give {computed}, the log settled {settled}")]
    Checkpoint {
        /// The round.
        round: RoundNumber,
        /// As computed from the updates.
        computed: Box<Outcome>,
        /// As settled.
        settled: Box<Outcome>,
    },
    /// A training does not give what the log decided that it gives.
    #[error(
        "round {round}: the training of {contributor} gives {computed}, and the log decided that it gives {decided}"
    )]
    Training {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
        /// As computed here.
        computed: Cid,
        /// As decided.
        decided: Cid,
    },
    /// The coordinator ended the campaign before its goal was reached.
    #[error(
        "round {round}: the coordinator ended the campaign as having reached its goal of {goal} in two rounds, and one of \
         their checkpoints gets {accuracy:.4} right"
    )]
    GoalNotReached {
        /// The round after which it did.
        round: RoundNumber,
        /// The lower accuracy.
        accuracy: f64,
        /// The accuracy to be reached.
        goal: f64,
    },
    /// The last checkpoint is broken, and nobody can go on from it.
    #[error(
        "round {round}: everything matches the log, but the model is broken: its loss on the held-out samples is \
            {loss}. \
         No training mends that; {}", way_out(*.best)
    )]
    Broken {
        /// The last settled round.
        round: RoundNumber,
        /// The last checkpoint's loss.
        loss: f64,
        /// The round whose checkpoint was best, if one was of any use.
        best: Option<RoundNumber>,
    },
    /// A round's result cannot be computed.
    #[error("round {round}: {problem}")]
    Round {
        /// The round.
        round: RoundNumber,
        /// Why it cannot.
        problem: String,
    },
}

impl From<ReplicaError> for Fault {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::Chain(ChainError::Later { index }) => Self::Later { index },
            ReplicaError::Chain(error) => Self::Chain(error),
            ReplicaError::Signature(error) => Self::HeadSignature(error),
            ReplicaError::Head(error) => Self::Head(error),
            ReplicaError::Publisher { signer, .. } => Self::Head(HeadError::Signer(signer)),
            ReplicaError::Base { expected, published, .. } => Self::Initial { computed: expected, published },
        }
    }
}

/// What the organiser of a broken campaign can do.
fn way_out(best: Option<RoundNumber>) -> String {
    match best {
        Some(round) => {
            format!(
                "the organiser can go back to the checkpoint of round {round}, which was the best: `lichen-relay back-to --round {round}`"
            )
        }
        None => {
            "the organiser has to begin a new campaign, with a smaller learning rate or other data".into()
        }
    }
}
