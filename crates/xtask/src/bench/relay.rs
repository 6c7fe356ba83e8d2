//! Benchmarks of a relay as a whole: builds it as it is shipped, then has a program of our own attack or use it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use crate::setup::Toolchain;
use crate::{build, page, run};

/// The `bench joining` command: the relay is built without a page, which nobody looks at.
pub(super) fn joining(toolchain: &Toolchain, bench: &str, arguments: lexopt::Parser) -> Result<ExitCode> {
    let relay = build::relay_without_page(toolchain)?;
    with_relay(toolchain, bench, arguments, &relay)
}

/// The `bench hostile` and `bench bytes` commands: their options are those of the program that they run.
pub(super) fn of_relay(toolchain: &Toolchain, bench: &str, arguments: lexopt::Parser) -> Result<ExitCode> {
    let dist = page::build(toolchain, page::Threads::Offered)?;
    let relay = build::programs(toolchain, &dist)?.relay;
    with_relay(toolchain, bench, arguments, &relay)
}

fn with_relay(
    toolchain: &Toolchain,
    bench: &str,
    mut arguments: lexopt::Parser,
    relay: &Path,
) -> Result<ExitCode> {
    let mut cargo = toolchain.cargo();
    cargo.args(["bench", "--package", super::TESTS, "--bench", bench, "--"]);
    cargo.args(arguments.raw_args()?).env("LICHEN_RELAY_BIN", relay);
    let status = run::each_line(&mut cargo, |line| println!("{line}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
