//! Runs simulated campaigns.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::say;
use crate::setup::Toolchain;
use crate::{run, workspace};

/// The `simulate` command: its options are those of the program that it builds and runs.
pub(crate) fn simulate(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut cargo = Toolchain::ensure()?.cargo();
    cargo.args(["build", "--release", "--package", "lichen-simulate"]);
    run::quietly("Building the simulation", "2 minutes, once", &mut cargo)?;
    let program = workspace::target().join("release").join("simulate");
    let status = Command::new(&program)
        .args(arguments.raw_args()?)
        .status()
        .with_context(|| format!("starting {}", program.display()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    if code.is_none() {
        say::note("the simulation was ended");
    }
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
