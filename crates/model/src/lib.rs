//! A typed graph of ONNX operators, differentiated and lowered to a static step program.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod error;
mod parameters;
#[cfg(feature = "train")]
pub mod program;
pub mod safetensors;

pub use error::ModelError;
pub use parameters::{Parameters, Tensor};
