//! The campaign manifest: parse, validate, explain in plain words.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod explain;
mod manifest;
pub mod model_spec;
mod reader;
mod split;

pub use explain::Statement;
pub use manifest::{Data, Fault, Manifest, ManifestError, Organiser, Purpose, Rounds, Topology};
pub use split::{Split, training_seed};
