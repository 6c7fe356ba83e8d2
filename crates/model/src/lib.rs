//! A typed graph of ONNX operators, differentiated and lowered to a static step program.
#![no_std]
#![deny(missing_docs)]

extern crate alloc;

mod error;
pub mod graph;
mod initial;
pub mod layers;
#[cfg(feature = "train")]
pub mod lower;
pub mod op;
mod parameters;
pub mod program;
pub mod safetensors;
mod shapes;
mod targets;

pub use error::ModelError;
pub use initial::{initial_parameters, parameter_shapes};
pub use parameters::{Parameters, Tensor};
pub use targets::{Answers, Targets, answers_per_sample, pick};
