//! Whether a later checkpoint keeps all that an earlier one had, and what proves that it does not.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use base64ct::{Base64, Encoding};

use crate::log_checkpoint::SignedCheckpoint;
use crate::tree::{Hash, Nodes, check_consistency, consistency_proof, tree_root};

/// Two checkpoints by one key that cannot both be true: the log shows different histories to different people.
///
/// Anybody can check it: both are signed, and the tree of the second one begins with other records than the first one's, as
/// the proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    first: SignedCheckpoint,
    second: SignedCheckpoint,
    /// The root of as many leaves of the second as the first has.
    prefix: Hash,
    /// That the second one's tree begins so.
    proof: Vec<Hash>,
}

/// Why a checkpoint is not one to go on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WitnessError<E> {
    /// It has fewer records than the one before, which may be a relay that lags behind.
    #[error("the checkpoint has {found} records, an earlier one had {known}")]
    Older {
        /// How many the earlier one has.
        known: u64,
        /// How many this one has.
        found: u64,
    },
    /// The tree's nodes cannot be had.
    #[error("{0}")]
    Nodes(E),
    /// The nodes are not those of the tree that is signed. Nothing is proven by that, and nothing can be believed.
    #[error("the tiles are not those of the signed tree")]
    Tiles,
    /// The log has two histories.
    #[error("{0}")]
    Equivocation(Box<Equivocation>),
}

/// Checks that a log's tree begins with all that an earlier checkpoint of the same log had. `nodes` are those of the later
/// tree; they are not believed.
///
/// # Errors
/// [`WitnessError`] saying why that is not so, or not known.
pub fn check_newer<N: Nodes>(
    known: &SignedCheckpoint,
    new: &SignedCheckpoint,
    nodes: &mut N,
) -> Result<(), WitnessError<N::Error>> {
    let (old_size, new_size) = (known.checkpoint().size(), new.checkpoint().size());
    if new_size < old_size {
        return Err(WitnessError::Older { known: old_size, found: new_size });
    }
    let (prefix, proof) = if new_size == old_size {
        (*new.checkpoint().root(), Vec::new())
    } else {
        let prefix = tree_root(nodes, old_size).map_err(WitnessError::Nodes)?;
        let proof = consistency_proof(nodes, old_size, new_size).map_err(WitnessError::Nodes)?;
        (prefix, proof)
    };
    // Only what leads to the signed root is known of its tree.
    check_consistency((old_size, &prefix), (new_size, new.checkpoint().root()), &proof)
        .map_err(|_other| WitnessError::Tiles)?;
    if prefix == *known.checkpoint().root() {
        return Ok(());
    }
    let (first, second) = (known.clone(), new.clone());
    Err(WitnessError::Equivocation(Box::new(Equivocation { first, second, prefix, proof })))
}

impl Equivocation {
    /// The two checkpoints.
    #[must_use]
    pub const fn checkpoints(&self) -> [&SignedCheckpoint; 2] {
        [&self.first, &self.second]
    }

    /// Whether it proves what it says, given that the log's key signed both.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        let (first, second) = (self.first.checkpoint(), self.second.checkpoint());
        let begins_so =
            check_consistency((first.size(), &self.prefix), (second.size(), second.root()), &self.proof);
        first.origin() == second.origin() && begins_so.is_ok() && self.prefix != *first.root()
    }
}

impl fmt::Display for Equivocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, second) = (self.first.checkpoint(), self.second.checkpoint());
        writeln!(
            f,
            "the log {} has two histories: its key signed both of these checkpoints, and they cannot both be true\n",
            first.origin()
        )?;
        writeln!(f, "{}\n{}", self.first.note(), self.second.note())?;
        write!(
            f,
            "The first {} records of the second one have the root {}, not that of the first one.",
            first.size(),
            Base64::encode_string(&self.prefix)
        )?;
        if !self.proof.is_empty() {
            write!(f, " The consistency proof from {} to {}:", first.size(), second.size())?;
        }
        self.proof.iter().try_for_each(|hash| write!(f, "\n{}", Base64::encode_string(hash)))
    }
}
