//! The ordered, hash-chained log of a campaign.
//!
//! One party, the coordinator, orders the signed entries; everybody else recomputes the chain. It can neither alter
//! an entry, which bears its author's signature, nor reorder, insert or drop one unseen, because each hash covers
//! all that came before:
//!
//! ```text
//! hash_0     = sha256("lichen/log/v1\0" ‖ campaign id (36 bytes))
//! hash_{i+1} = sha256("lichen/log/v1\0" ‖ hash_i ‖ i (u64, big-endian) ‖ time_i (u64, big-endian) ‖ sha256(entry_i))
//! ```
//!
//! A [`Record`] carries `hash_{i+1}` so that damage is found at the record where it is. The coordinator signs the
//! [`Head`] and answers each append with a signed [`Receipt`]: two signed heads of one length with different hashes,
//! or a receipt that the log does not keep, prove that it lied.
//!
//! The same records are the leaves of a Merkle tree ([`tree`]), so that who does not read everything can check a part, and
//! whoever follows C2SP's specifications of transparency logs can check it without any of this code: see the crate's
//! README for the format to the byte.
//!
//! Whether an entry is admissible is for the round protocol to say; here only order and origin are checked.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod chain;
#[cfg(all(feature = "ed25519", not(target_arch = "wasm32")))]
mod ed25519;
#[cfg(all(feature = "ed25519", any(test, target_arch = "wasm32")))]
mod ed25519_portable;
mod equivocation;
mod head;
mod log_checkpoint;
mod note;
mod record;
mod replica;
pub mod tree;
mod witnessed;

pub use chain::{Chain, ChainError};
#[cfg(all(feature = "ed25519", not(target_arch = "wasm32")))]
pub use ed25519::{Ed25519Key, check_ed25519};
#[cfg(all(feature = "ed25519", target_arch = "wasm32"))]
pub use ed25519_portable::check_ed25519;
pub use equivocation::{Equivocation, WitnessError, check_newer};
pub use head::{Head, HeadError, Receipt, ReceiptError, check_receipt};
pub use lichen_record::{KeyKind, VerifierKey, VerifierKeyError};
pub use log_checkpoint::{LogCheckpoint, LogCheckpointError, LogKey, SignedCheckpoint, origin};
pub use note::{CheckEd25519, Ed25519Claim, MAX_NOTE, Note, NoteError, NoteSignature};
pub use record::{Beginning, MAX_RECORD, Record};
pub use replica::{Authority, Replica, ReplicaError};
pub use witnessed::{Witnessed, WitnessedError};
