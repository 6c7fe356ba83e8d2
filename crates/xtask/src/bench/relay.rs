//! Benchmarks of a relay as a whole: builds it as it is shipped, then has a program of our own attack or use it.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::setup::Toolchain;
use crate::{build, page, run};

/// The `bench joining` command: the relay is built without a page, which nobody looks at.
pub(super) fn joining(toolchain: &Toolchain, bench: &str, arguments: lexopt::Parser) -> Result<ExitCode> {
    let relay = build::relay_without_page(toolchain)?;
    with_relay(toolchain, bench, arguments, &relay)
}

/// The `bench checking` command: its browser needs the page, and the command line is measured beside it.
pub(super) fn checking(toolchain: &Toolchain, arguments: lexopt::Parser) -> Result<ExitCode> {
    let dist = page::build(toolchain, page::Threads::Unasked)?;
    let build::Programs { relay, cli } = build::programs(toolchain, &dist)?;
    let mut cargo = bench(toolchain, super::CHECKING, arguments)?;
    cargo.env("LICHEN_RELAY_BIN", relay).env("LICHEN_CLI_BIN", cli).env("LICHEN_DIST", dist);
    run_to_end(&mut cargo)
}

/// The `bench hostile` and `bench bytes` commands: their options are those of the program that they run.
pub(super) fn of_relay(toolchain: &Toolchain, bench: &str, arguments: lexopt::Parser) -> Result<ExitCode> {
    let dist = page::build(toolchain, page::Threads::Offered)?;
    let relay = build::programs(toolchain, &dist)?.relay;
    with_relay(toolchain, bench, arguments, &relay)
}

fn with_relay(
    toolchain: &Toolchain,
    name: &str,
    arguments: lexopt::Parser,
    relay: &Path,
) -> Result<ExitCode> {
    run_to_end(bench(toolchain, name, arguments)?.env("LICHEN_RELAY_BIN", relay))
}

/// What runs a bench of the whole, with the options that are left.
fn bench(toolchain: &Toolchain, name: &str, mut arguments: lexopt::Parser) -> Result<Command> {
    let mut cargo = toolchain.cargo();
    cargo.args(["bench", "--package", super::TESTS, "--bench", name, "--"]).args(arguments.raw_args()?);
    Ok(cargo)
}

fn run_to_end(bench: &mut Command) -> Result<ExitCode> {
    let status = run::each_line(bench, |line| println!("{line}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
