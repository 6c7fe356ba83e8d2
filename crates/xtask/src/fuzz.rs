//! Fuzzes the decoders with libFuzzer, on the compiler at hand.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, ValueExt as _};

use crate::setup::Toolchain;
use crate::{run, say, workspace};

const SECONDS: u64 = 60;
/// What cargo-fuzz would say to the compiler for coverage-guided fuzzing without a sanitizer: the code is safe
/// Rust, so panics are what is looked for.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Coverflow-checks=yes \
    -Ccodegen-units=1";

/// The `fuzz` command.
pub(crate) fn fuzz(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut seconds = SECONDS;
    let mut only = Vec::new();
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("seconds") => seconds = arguments.value()?.parse()?,
            Arg::Value(target) => only.push(target.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let targets = build(&only)?;
    let each = (seconds / targets.len() as u64).max(1);
    let mut failed = Vec::new();
    for (name, program) in &targets {
        if !run_target(name, program, each)? {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        say::note(&format!("{} targets, {each} s each, found nothing", targets.len()));
        return Ok(ExitCode::SUCCESS);
    }
    say::note(&format!("failed: {}; inputs in tests/fuzz/artifacts/", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// Builds the fuzz targets and returns their programs by name.
fn build(only: &[String]) -> Result<BTreeMap<String, PathBuf>> {
    let folder = workspace::root().join("tests/fuzz");
    let sources = workspace::files_under(&folder.join("targets"))?;
    let names = sources.keys().filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()));
    let names: Vec<String> = names.filter(|name| only.is_empty() || only.contains(name)).collect();
    if names.is_empty() || only.iter().any(|name| !names.contains(name)) {
        bail!("no such fuzz target in tests/fuzz/targets/");
    }
    let toolchain = Toolchain::ensure()?;
    let host = run::output(toolchain.command("rustc").args(["--print", "host-tuple"]))?.trim().to_owned();
    let target = workspace::target().join("fuzz");
    let mut cargo = toolchain.cargo();
    cargo
        .args(["build", "--release", "--bins", "--target", &host])
        .arg("--manifest-path")
        .arg(folder.join("Cargo.toml"));
    cargo.env("RUSTFLAGS", COVERAGE).env("CARGO_TARGET_DIR", &target);
    run::quietly("Building the fuzz targets", "2 minutes the first time", &mut cargo)?;
    let program = |name: String| {
        let file = target.join(&host).join("release").join(&name);
        (name, file)
    };
    Ok(names.into_iter().map(program).collect())
}

fn run_target(name: &str, program: &PathBuf, seconds: u64) -> Result<bool> {
    let folder = workspace::root().join("tests/fuzz");
    let corpus = folder.join("corpus").join(name);
    let artifacts = folder.join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let mut command = lichen_testkit::process::command(program);
    command.arg(&corpus);
    let seeds = folder.join("seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    command.arg(format!("-max_total_time={seconds}")).arg("-rss_limit_mb=2048").arg("-timeout=10");
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    match run::quietly(&format!("Fuzzing {name}"), &format!("{seconds} s"), &mut command) {
        Ok(()) => Ok(true),
        Err(error) => {
            say::error(&error);
            Ok(false)
        }
    }
}
