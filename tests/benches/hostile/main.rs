//! A relay under attack: what it takes of memory, what honest tabs feel of it, and what becomes of the model.
//!
//! `cargo xtask bench hostile` runs it. A real relay process with its default limits, honest nodes that train the digits
//! campaign, honest accounts that append an entry each second, and an attacker of our own that comes from another
//! loopback address. Each attack goes on for some seconds; then the relay has a moment to recover. All of it runs on one
//! machine: latencies hold what the training takes of its processors, and what the relay does for the attacker; the
//! attacker's own work stands back behind theirs.

mod attacker;
mod attacks;
mod honest;
mod link;
mod report;
mod target;

#[path = "../../../relay/benches/load/client.rs"]
#[allow(dead_code, reason = "circuits are for the relay's own benchmark")]
mod client;
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

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use tokio::task::LocalSet;

use attacks::Attack;
use honest::Honest;
use node::{network, tab};
use report::{Phase, Report};
use target::Target;

/// How long anything may take that an honest node waits for.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How long honest tabs are alone between two attacks.
const RECOVERY: Duration = Duration::from_secs(5);

/// Attack a relay and print the effect on its memory, honest latency and the model.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench hostile")]
struct Arguments {
    /// Run only these attacks
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<Attack>,
    /// Seconds per attack; by default longer than a round waits for tabs that do not contribute
    #[arg(long, default_value_t = 16, value_name = "SECONDS")]
    seconds: u64,
    /// How updates travel
    #[arg(long, value_enum, default_value_t = Topology::Hub)]
    topology: Topology,
    /// Number of honest nodes that train
    #[arg(long, default_value_t = 3, value_name = "NUMBER")]
    nodes: u8,
    /// Print one JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Topology {
    Hub,
    Mesh,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if !(1..=16).contains(&arguments.nodes) {
        bail!("--nodes is from 1 to 16");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(LocalSet::new().run_until(measure(&arguments)))?;
    if arguments.json {
        println!("{}", report.json());
    } else {
        print!("{report}");
    }
    // What is still connected does not matter any more.
    runtime.shutdown_background();
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measure(arguments: &Arguments) -> Result<Report> {
    let target = Target::start(arguments.topology == Topology::Mesh)?;
    let mut honest = Honest::start(&target, arguments.nodes).await?;
    let time = Duration::from_secs(arguments.seconds);
    let mut report = Report::default();
    eprintln!("hostile: honest tabs alone");
    report.add(quiet("before", &target, &mut honest, time).await?);
    for attack in Attack::value_variants() {
        if !arguments.only.is_empty() && !arguments.only.contains(attack) {
            continue;
        }
        eprintln!("hostile: {attack}");
        target.forget_peak()?;
        honest.begin();
        let done = attacks::run(*attack, &target, time, &mut honest).await;
        let mut phase = Phase::take(attack.to_string(), &target, &mut honest)?;
        phase.remark = done.map_or_else(|error| format!("{error:#}"), |done| done.to_string());
        report.add(phase);
        report.add(quiet("  after it", &target, &mut honest, RECOVERY).await?);
    }
    eprintln!("hostile: honest tabs alone again");
    report.add(quiet("after", &target, &mut honest, time).await?);
    Ok(report)
}

/// A time in which nobody attacks.
async fn quiet(name: &str, target: &Target, honest: &mut Honest, time: Duration) -> Result<Phase> {
    target.forget_peak()?;
    honest.begin();
    honest.go_on(time).await;
    Phase::take(name.to_owned(), target, honest)
}
