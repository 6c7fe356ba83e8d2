//! What a tab downloads and uploads in a round, and how that grows with the members.
//!
//! `cargo xtask bench bytes` runs it. A real relay process and nodes that train the digits campaign say what few members
//! move, on the wire. For many, nobody trains: the real messages of one round are made, with real signatures, and measured.

mod live;
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared with the tests of the node, which use more of it"
)]
#[path = "../../node"]
mod node {
    pub(crate) mod network;
    pub(crate) mod tab;
}
mod made;
mod setup;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use tokio::task::LocalSet;

use node::{network, tab};

/// How long anything may take that a node waits for.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// Measure what a tab downloads and uploads in a round.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench bytes")]
struct Arguments {
    /// Members that really train, one campaign for each number; at most 16
    #[arg(long, value_delimiter = ',', default_value = "3,6,12", value_name = "NUMBERS")]
    live: Vec<u8>,
    /// Rounds that are measured with members that train
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    rounds: u64,
    /// Members whose messages are made
    #[arg(long, value_delimiter = ',', default_value = "12,100,1000", value_name = "NUMBERS")]
    made: Vec<u16>,
    /// Members of the committee, of those that train
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    committee: u16,
    /// Members of the committee, of those whose messages are made
    #[arg(long, default_value_t = 8, value_name = "NUMBER")]
    made_committee: u16,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.live.iter().any(|members| !(1..=16).contains(members)) {
        bail!("--live is from 1 to 16");
    }
    println!(
        "Bytes that a tab moves in a round of the digits campaign, on the wire (the most of any tab in brackets):\n"
    );
    println!("| members | campaign | down | up |\n|---|---|---|---|");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for members in &arguments.live {
        for setup in setup::all(arguments.committee) {
            let moved = runtime.block_on(LocalSet::new().run_until(live::measure(
                &setup,
                *members,
                arguments.rounds,
            )))?;
            println!("| {members} | {setup} | {} | {} |", moved.down, moved.up);
        }
    }
    runtime.shutdown_background();
    println!(
        "\nBytes of the messages of one round, each record of the log in a frame of its own, which is the most:\n"
    );
    println!("| parameters | members | campaign | tab | down | up |\n|---|---|---|---|---|---|");
    for parameters in [2_410, 1_000_000] {
        for members in &arguments.made {
            for setup in setup::all(arguments.made_committee) {
                made::round(&setup, *members, parameters)?;
            }
        }
    }
    Ok(())
}
