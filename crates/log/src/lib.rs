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
//! Whether an entry is admissible is for the round protocol to say; here only order and origin are checked.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod chain;
mod head;
mod record;
mod replica;

pub use chain::{Chain, ChainError};
pub use head::{Head, HeadError, Receipt, ReceiptError, check_receipt};
pub use record::{MAX_RECORD, Record};
pub use replica::{Authority, Replica, ReplicaError};
