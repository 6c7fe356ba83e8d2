//! Capacity of a relay: a real relay process, and tabs in this process that are real except for the browser.
//!
//! `cargo xtask bench relay` runs it. Three figures: the relay's memory per connected idle tab, signalling sessions
//! between tabs over the relay's circuits in a second, and verified entries appended to the log in a second. The tabs
//! compute too, on the same cores unless `--relay-cores` gives the relay some of its own; the relay's own processor
//! time per piece of work, and that of the load, are beside each figure. What an entry cannot cost less than is measured
//! first.

mod appends;
mod client;
mod floor;
mod memory;
mod process;
mod report;
mod signalling;
#[path = "../../src/log/signer.rs"]
#[allow(unused_imports, reason = "its tests run with the relay's")]
mod signer;

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use crate::report::Report;

/// Put a relay under load and print its capacity.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench relay")]
struct Arguments {
    /// Take only these measurements
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<Measurement>,
    /// Number of idle tabs to connect
    #[arg(long, default_value_t = 5_000, value_name = "NUMBER")]
    connections: usize,
    /// Number of pairs of tabs that signal, each pair one session at a time
    #[arg(long, default_value_t = 64, value_name = "NUMBER")]
    pairs: usize,
    /// Number of tabs that append, each one entry at a time
    #[arg(long, default_value_t = 256, value_name = "NUMBER")]
    authors: usize,
    /// Seconds for which to measure rates
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    seconds: u64,
    /// Processors reserved for the relay, as for `taskset --cpu-list`
    #[arg(long, value_name = "LIST")]
    relay_cores: Option<String>,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Measurement {
    Memory,
    Signalling,
    Appends,
    Floor,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    process::raise_file_limit()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(measure(&arguments))?;
    if arguments.json {
        println!("{}", report.json())
    } else {
        print!("{report}")
    }
    // What is still connected does not matter any more.
    runtime.shutdown_background();
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let wanted = |one| arguments.only.is_empty() || arguments.only.contains(&one);
    let time = Duration::from_secs(arguments.seconds);
    let cores = arguments.relay_cores.as_deref();
    let mut report = Report::new(cores);
    if wanted(Measurement::Floor) {
        report.floor = Some(floor::measure().await?);
    }
    if wanted(Measurement::Appends) {
        report.appends = Some(appends::measure(cores, arguments.authors, time).await?);
    }
    if wanted(Measurement::Signalling) {
        report.signalling = Some(signalling::measure(cores, arguments.pairs, time).await?);
    }
    if wanted(Measurement::Memory) {
        report.memory = Some(memory::measure(cores, arguments.connections).await?);
    }
    Ok(report)
}
