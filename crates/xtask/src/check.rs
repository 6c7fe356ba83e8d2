//! Format, lints, dependency rules, bare-metal build, licences.

mod arrows;
mod circles;
mod files;
mod layers;
mod licences;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::setup::Toolchain;
use crate::{run, say};

/// Crates that are programs of the developer's or the operator's machine only.
const NATIVE_ONLY: [&str; 6] =
    ["lichen-relay", "lichen-cli", "lichen-simulate", "lichen-testkit", "lichen-tests", "xtask"];
/// Crates that build without an operating system.
const BARE: [&str; 7] = [
    "lichen-bucket",
    "lichen-record",
    "lichen-campaign",
    "lichen-model",
    "lichen-learn",
    "lichen-round",
    "lichen-log",
];

type Check = fn(&Toolchain) -> Result<()>;

/// Checks that take seconds; `cargo xtask test` runs them too.
pub(crate) const QUICK: [(&str, Check); 5] = [
    ("format", format),
    ("heads and lengths of files", files::check),
    ("arrows between crates", arrows::check),
    ("circles between modules", circles::check),
    ("forbidden dependencies", layers::check),
];

const SLOW: [(&str, Check); 4] = [
    ("lints, native", lint_native),
    ("lints, browser", lint_browser),
    ("bare-metal build", build_bare_metal),
    ("licences and advisories", licences::check),
];

/// The `check` command.
pub(crate) fn check(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    if let Some(argument) = arguments.next()? {
        return Err(argument.unexpected().into());
    }
    let toolchain = Toolchain::ensure()?;
    let mut failed = Vec::new();
    for (name, check) in QUICK.into_iter().chain(SLOW) {
        if let Err(error) = check(&toolchain) {
            say::error(&error.context(name));
            failed.push(name);
        }
    }
    if failed.is_empty() {
        say::note("all checks passed");
        return Ok(ExitCode::SUCCESS);
    }
    say::note(&format!("failed: {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// What cargo knows of the workspace's own packages.
pub(crate) fn metadata(toolchain: &Toolchain) -> Result<Value> {
    let mut cargo = toolchain.cargo();
    cargo.args(["metadata", "--format-version", "1", "--no-deps"]);
    serde_json::from_str(&run::output(&mut cargo)?).context("reading cargo's metadata")
}

fn format(toolchain: &Toolchain) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo.args(["fmt", "--all", "--check"]);
    run::quietly("Checking the format", "", &mut cargo)
}

fn lint_native(toolchain: &Toolchain) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--keep-going", "--", "-Dwarnings"]);
    run::quietly("Linting native code", "2 minutes the first time", &mut cargo)
}

fn lint_browser(toolchain: &Toolchain) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo.args(["clippy", "--workspace", "--all-targets", "--all-features", "--keep-going"]);
    cargo.args(["--target", "wasm32-unknown-unknown"]);
    for package in NATIVE_ONLY {
        cargo.args(["--exclude", package]);
    }
    cargo.args(["--", "-Dwarnings"]);
    run::quietly("Linting the browser's code", "2 minutes the first time", &mut cargo)
}

fn build_bare_metal(toolchain: &Toolchain) -> Result<()> {
    let mut cargo = toolchain.cargo();
    cargo.arg("build").args(toolchain.bare_metal()?).arg("--no-default-features").env("RUSTC_BOOTSTRAP", "1");
    for package in BARE {
        cargo.args(["--package", package]);
    }
    run::quietly("Building the core for a machine without an operating system", "1 minute", &mut cargo)
}

/// Fails with all of the faults, one a line, if there are any.
fn no_faults(faults: &[String]) -> Result<()> {
    if faults.is_empty() {
        return Ok(());
    }
    bail!("\n  {}", faults.join("\n  "))
}
