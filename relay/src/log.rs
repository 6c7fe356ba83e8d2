//! The campaign's log: ordered and settled here, or followed and checked.

pub(crate) mod back_to;
pub(crate) mod campaign;
pub(crate) mod checkpoints;
mod counting;
pub(crate) mod faults;
pub(crate) mod follower;
pub(crate) mod goal;
pub(crate) mod leader;
pub(crate) mod ledger;
pub(crate) mod newcomers;
pub(crate) mod pinned;
pub(crate) mod presence;
mod repeating;
mod replay;
pub(crate) mod settling;
pub(crate) mod signer;
pub(crate) mod snapshots;
pub(crate) mod watchdog;
pub(crate) mod writer;
