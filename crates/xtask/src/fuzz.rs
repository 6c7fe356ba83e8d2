//! Throws changed bytes at every decoder that meets bytes from outside.

use std::process::ExitCode;

use anyhow::Result;

use crate::run;
use crate::setup::Toolchain;

/// The `fuzz` command: its options are those of the program it runs.
pub(crate) fn fuzz(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut cargo = Toolchain::ensure()?.cargo();
    // Not optimised as a release is: overflow checks and debug assertions find more.
    cargo.args(["run", "--package", "lichen-tests", "--bin", "fuzz", "--"]).args(arguments.raw_args()?);
    let status = run::each_line(&mut cargo, |line| println!("{line}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
