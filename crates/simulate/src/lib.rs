//! A whole campaign in one process, from one seed: tabs, relays, their network and everything that goes wrong.
#![doc = include_str!("../README.md")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a simulation ends where something is wrong with itself; tabs are named by their places in a list that never shrinks"
)]

mod campaign;
mod hostile;
mod invariants;
mod learning;
mod mesh;
mod plan;
mod prefix;
mod random;
mod relay;
mod report;
mod runs;
mod settings;
mod shrink;
mod tab;
mod world;

pub use invariants::{Rule, Violation};
pub use plan::Mishap;
pub use report::{Outcome, PerRound, Tally};
pub use runs::{run, run_quietly};
pub use settings::{FAULTS, Fault, Faults, Sabotage, Settings};
pub use shrink::shrink;
pub use world::World;
