//! Runs step programs on the CPU and on WebGPU, the faster one chosen by measuring.

mod backend;
mod batch;
#[cfg(any(test, feature = "bench"))]
pub mod bench;
mod choice;
mod cosine;
mod error;
mod evaluator;
#[cfg(test)]
mod golden;
#[cfg(feature = "gpu")]
pub mod gpu;
mod per_sample;
mod predict;
mod proximal;
mod schedule;
mod slots;
#[cfg(test)]
mod testing;
mod trainer;
#[cfg(any(test, feature = "bench"))]
pub mod workloads;

pub use lichen_engine_cpu as cpu;

pub use backend::Executor;
pub use choice::measure_engine;
pub use error::EngineError;
pub use evaluator::{Evaluation, Evaluator};
pub use lichen_model::Targets;
pub use lichen_record::{EngineKind, EngineVersion};
pub use predict::Predictor;
pub use trainer::{Trainer, for_one_thread, snapshot_length, step_program, version};
