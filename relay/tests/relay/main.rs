//! A real relay process, spoken to over the network as tabs and auditors do.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod campaign;
mod circuits;
mod clock;
mod crowds;
mod departures;
mod disk;
mod ending;
mod follower;
mod gateway;
mod going_back;
mod hostile;
mod http;
#[path = "../../../crates/log/tests/later/mod.rs"]
mod later;
mod memory;
mod mesh;
mod outer;
mod packaging;
mod process;
mod publishing;
mod rendezvous;
mod restart;
mod rounds;
mod several;
mod snapshots;
mod strangers;
mod streams;
mod stun;
mod tab;
mod tls;
mod tree;
mod turn;
mod unpinned;

use std::time::Duration;

/// How long anything may take that happens at once when it works.
const PATIENCE: Duration = Duration::from_secs(20);
