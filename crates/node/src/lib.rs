//! The one driver: feeds events to the round machine and carries out its actions.
//!
//! [`run`] takes the page's [`Command`](lichen_bridge::Command)s and gives [`Event`](lichen_bridge::Event)s. Between
//! them it reads and verifies the campaign's log, trains, sends updates, checks receipts, recomputes checkpoints and
//! attests them. It is the same in a tab's worker and in a native program: the swarm is told through
//! `Event::Net` and reports through `Command::Net`, and whatever else lies outside is the [`Platform`].
//!
//! # The way of a round
//!
//! 1. The log reader verifies the chain, every signature and the coordinator's head, in slices.
//! 2. The round machine ([`lichen_round::Participant`]) folds the entries and asks for work.
//! 3. Each piece of work is a future of its own; when it is done, its outcome goes back to the round machine.
//! 4. The view compares what there is to show with what was shown last, and tells the page the difference.
//!
//! What is deliberately absent: threads, clocks, randomness of its own, and any trust in what comes from outside.

mod beginning;
mod blobs;
mod context;
mod contributions;
mod evaluating;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod false_relay;
mod hearsay;
mod history;
mod hub;
mod jobs;
mod log_reader;
mod looking;
mod measure;
mod mesh;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;
mod node;
mod obstacles;
mod opening;
mod packing;
mod platform;
mod progress;
mod session;
mod settling;
mod setup;
mod showing;
mod signing;
#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod standstill;
mod training;
mod view;
mod watchdog;
mod witnessing;

pub use node::run;
pub use platform::{Platform, Unkept};
