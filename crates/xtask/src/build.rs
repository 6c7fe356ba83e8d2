//! Builds the relay and the command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::setup::Toolchain;
use crate::{page, run, workspace};

/// The optimised programs.
pub(crate) struct Programs {
    /// The relay, with the page in it.
    pub(crate) relay: PathBuf,
    /// The organiser's command line.
    pub(crate) cli: PathBuf,
}

/// The `build` command.
pub(crate) fn build(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    if let Some(argument) = arguments.next()? {
        return Err(argument.unexpected().into());
    }
    let toolchain = Toolchain::ensure()?;
    let dist = page::build(&toolchain, page::Threads::Offered)?;
    let Programs { relay, cli } = programs(&toolchain, &dist)?;
    for made in [dist, relay, cli] {
        println!("{}", made.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the relay in release mode, with whatever page is there or none.
pub(crate) fn relay_without_page(toolchain: &Toolchain) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--package", "lichen-relay"]);
    run::quietly("Building the relay", "3 to 5 minutes the first time, a second later", &mut cargo)?;
    Ok(workspace::target().join("release/lichen-relay"))
}

/// Builds relay and command line in release mode; `dist` goes into the relay.
pub(crate) fn programs(toolchain: &Toolchain, dist: &Path) -> Result<Programs> {
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--package", "lichen-relay", "--package", "lichen-cli"]);
    cargo.env("LICHEN_DIST", dist);
    run::quietly("Building the relay", "3 to 5 minutes the first time, a second later", &mut cargo)?;
    let folder = workspace::target().join("release");
    let programs = Programs { relay: folder.join("lichen-relay"), cli: folder.join("lichen") };
    for program in [&programs.relay, &programs.cli] {
        if !program.is_file() {
            bail!("cargo built no {}", program.display());
        }
    }
    Ok(programs)
}
