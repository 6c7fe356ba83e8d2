//! The campaign manifest: parse, validate, explain in plain words.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

pub mod model_spec;
mod split;

pub use split::{Split, training_seed};
