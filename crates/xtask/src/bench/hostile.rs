//! A relay under attack: builds it as it is shipped, then has it attacked by a program of our own.

use std::process::ExitCode;

use anyhow::Result;

use crate::setup::Toolchain;
use crate::{build, page, run};

/// The `bench hostile` command: its options are those of the program it runs.
pub(super) fn hostile(toolchain: &Toolchain, mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let dist = page::build(toolchain, page::Threads::Offered)?;
    let relay = build::programs(toolchain, &dist)?.relay;
    let mut cargo = toolchain.cargo();
    cargo.args(["bench", "--package", super::TESTS, "--bench", super::HOSTILE, "--"]);
    cargo.args(arguments.raw_args()?).env("LICHEN_RELAY_BIN", relay);
    let status = run::each_line(&mut cargo, |line| println!("{line}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
