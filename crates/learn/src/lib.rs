//! What happens to updates: differences, encodings and aggregation rules, bit-deterministic.
//!
//! A tab turns the checkpoint it started from and the parameters it trained into an [`Update`] ([`difference`]);
//! its bytes, packed as the manifest says ([`Codec`]), are a blob that a contribution in the log names; what packing leaves
//! out is sent later ([`Residual`]). Whoever aggregates a round takes the round's base and
//! the accepted updates in one order and computes the next checkpoint ([`aggregate_checkpoint`]): the same
//! bytes, and so the same content id, on every machine. What a tab trains and measures on is a [`Dataset`].
//!
//! # The arithmetic
//!
//! For every parameter, with weights `n` (samples) and updates `u` in the order of their accounts, all in 64-bit floating point
//! (IEEE 754, no contraction to fused multiply-add, no reordering):
//!
//! `result = f32(base + (n₁u₁ + n₂u₂ + …) / (n₁ + n₂ + …))`
//!
//! Where a parameter would leave the finite range of `f32`, or come to its very end, the result is the base: no set of
//! updates can give a checkpoint that nobody may load. This is federated averaging (McMahan et al., 2017) over differences.
//!
//! # What no single update may do
//!
//! Accounts cost nothing, so two things stand between a hostile update and the model:
//!
//! - **A bound on its norm** ([`max_norm`]). A tab shortens its own update to it ([`Update::clipped`]), the relay of a hub
//!   refuses longer ones, and every aggregation leaves them out. Unless the manifest has `update.max_norm`, it is
//!
//!   `max(10, √p · min(1, 4 · learning_rate · steps))` with Adam, AdamW or Lion and no batch normalisation, and
//!   `max(10, √p)` otherwise,
//!
//!   `p` being the number of parameters. These optimisers change no parameter by much more than the learning rate in a
//!   step, so that an honest update is no longer than `√p · learning_rate · steps`; SGD's steps and running statistics
//!   have no such measure. `lichen train --json` tells an honest update's norm, and `tests/honest_norms.rs` of
//!   `lichen-cli` holds that those of the digits are at most a quarter of the bound.
//! - **A guard** ([`Judge`]). Whoever computes a round's result measures it and its base on held-out samples. If the
//!   result's loss is no finite number, or more than `guard.loss_factor` times the base's and a little
//!   (0.25 for classes, 0.07 for yes and no, a tenth of the answers' spread for numbers), or if its accuracy lies more than
//!   `guard.accuracy_drop` below, the result is the base: everybody finds the same and attests it, and the round has
//!   changed nothing.
//!
//! The guard sees one round at a time. It does not stop whoever makes the model a little worse in every round, by just
//! less than it looks for; nor updates that leave the held-out samples as they are and teach something else. Whoever has
//! most of a round's accounts decides how much of it is honest. Then `lichen verify` says so, and the campaign's organiser
//! can go back to an earlier checkpoint.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod aggregate;
mod bound;
mod codec;
mod dataset;
mod file_kind;
mod guard;
mod residual;
mod soundness;
mod update;

pub use aggregate::{AggregateError, Aggregation, aggregate, aggregate_checkpoint};
pub use bound::max_norm;
pub use codec::{Codec, Packed};
pub use dataset::{Dataset, DatasetError};
pub use file_kind::{FileKind, file_kind};
pub use guard::{Judge, Quality};
pub use residual::{BaseOf, MAX_RESIDUAL, Residual, ResidualError};
pub use soundness::{ModelSize, SoundnessError, check_campaign, check_model, check_training};
pub use update::{BlockFault, Update, UpdateError, difference};
