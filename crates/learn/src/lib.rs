//! What happens to updates: differences, encodings and aggregation rules, bit-deterministic.
//!
//! A tab turns the checkpoint it started from and the parameters it trained into an [`Update`] ([`difference`]);
//! its bytes are a blob that a contribution in the log names. Whoever aggregates a round takes the round's base and
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
//! The result is held within the finite range of `f32`, so that no set of finite updates can give a checkpoint that
//! nobody may load. This is federated averaging (McMahan et al., 2017) over differences.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod aggregate;
mod dataset;
mod file_kind;
mod soundness;
mod update;

pub use aggregate::{AggregateError, aggregate, aggregate_checkpoint};
pub use dataset::{Dataset, DatasetError};
pub use file_kind::{FileKind, file_kind};
pub use soundness::{ModelSize, SoundnessError, check_campaign, check_model, check_training};
pub use update::{Update, UpdateError, difference};
