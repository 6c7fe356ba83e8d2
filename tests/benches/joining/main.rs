//! What it costs to come late: starting a relay on a log of many entries, and joining there as a tab.
//!
//! `cargo xtask bench joining` runs it. The log is made here, entry by entry with real signatures, as members would have made it
//! who train round after round; the relay and the node that joins are the real ones.

mod join;
mod made;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;
use lichen_testkit::{RelayOptions, RelayProcess, campaign, http};
use tokio::task::LocalSet;

use join::Joined;

/// How long anything may take here that is waited for.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

/// Measure what it costs to come late.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench joining")]
struct Arguments {
    /// Entries of the logs with snapshots; 1000000 takes some minutes to make
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000", value_name = "NUMBERS")]
    entries: Vec<u64>,
    /// Entries of the logs without, which are read from the beginning
    #[arg(long, value_delimiter = ',', default_value = "1000,10000", value_name = "NUMBERS")]
    whole: Vec<u64>,
    /// Members who come and go
    #[arg(long, default_value_t = 100, value_name = "NUMBER")]
    members: u16,
    /// Campaigns of the relay, each with a log of its own; a tab joins the first
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    logs: u16,
    /// Times that a tab joins each log: the median is printed
    #[arg(long, default_value_t = 5, value_name = "NUMBER")]
    times: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!("{} logs of rounds by {} members:\n", arguments.logs, arguments.members);
    println!(
        "| entries | snapshots | relay: start, s | again, s | after a kill, s | memory, MiB | most, MiB | tab: s | bytes | \
         of the snapshot | records | rounds before |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let snapshots = arguments.entries.iter().map(|entries| (*entries, true));
    for (entries, has_snapshots) in arguments.whole.iter().map(|entries| (*entries, false)).chain(snapshots) {
        measure(&arguments, entries, has_snapshots)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, entries: u64, has_snapshots: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let every = if has_snapshots { "" } else { "[log]\nsnapshots = 0\n\n" };
    let rounds = format!("{every}[rounds]");
    let changes =
        [("[rounds]", rounds.as_str()), ("quorum = 2", "quorum = 1"), ("limit = 1000", "limit = 1000000000")];
    let data = folder.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut campaigns = Vec::new();
    for number in 1..=arguments.logs {
        let campaign = folder.path().join(format!("campaign-{number}"));
        let seed = format!("seed = {number}");
        campaign::write_changed(&campaign, &[&changes[..], &[("seed = 7", &seed)]].concat())?;
        runtime.block_on(made::write(&campaign, &data, entries, arguments.members))?;
        campaigns.extend(["--campaign".to_owned(), campaign.display().to_string()]);
    }
    let options = RelayOptions {
        program: std::env::var_os("LICHEN_RELAY_BIN").context("run by `cargo xtask bench joining`")?.into(),
        port: http::free_port()?,
        data,
        page: None,
        campaign: None,
        log: Some(folder.path().join("relay.log")),
    };
    let began = Instant::now();
    let mut relay = RelayProcess::start_with(options, campaigns)?;
    let started = began.elapsed();
    let mut joined = Vec::new();
    for time in 0..arguments.times {
        let number = u8::try_from(time % 100)?.saturating_add(100);
        joined.push(runtime.block_on(LocalSet::new().run_until(join::join(&relay, number)))?);
    }
    let (memory, most) = memory(relay.id())?;
    relay.terminate(LIMIT)?;
    let began = Instant::now();
    relay.restart()?;
    let again = began.elapsed();
    relay.kill();
    let began = Instant::now();
    relay.restart()?;
    let restarted = began.elapsed();
    runtime.shutdown_background();
    joined.sort_by_key(|joined| joined.took);
    let Joined { took, bytes, snapshot, records, reported } =
        joined.get(joined.len() / 2).context("--times is at least 1")?;
    println!(
        "| {entries} | {} | {:.2} | {:.2} | {:.2} | {memory} | {most} | {:.3} | {bytes} | {snapshot} | {records} | {reported} |",
        if has_snapshots { "yes" } else { "no" },
        started.as_secs_f64(),
        again.as_secs_f64(),
        restarted.as_secs_f64(),
        took.as_secs_f64(),
    );
    Ok(())
}

/// The memory that a process has, and the most that it had, in MiB.
fn memory(process: u32) -> Result<(u64, u64)> {
    let status = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"))?;
    let of = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024)
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}
