//! All tests: quick checks, native, in the browser, end to end; ends with one line of sums.

pub(crate) mod interop;
mod packages;
mod tally;

use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, Result};
use lexopt::ValueExt as _;
use serde_json::{Value, json};

use crate::setup::{self, Toolchain};
use crate::{build, check, page, run, say, workspace};
use tally::Tally;

/// A part of the tests, by the name that `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Native,
    Browser,
    EndToEnd,
    Interop,
}

impl Part {
    const ALL: [Self; 4] = [Self::Native, Self::Browser, Self::EndToEnd, Self::Interop];

    const fn option(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Browser => "browser",
            Self::EndToEnd => "end-to-end",
            Self::Interop => "interop",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::Native => "native tests",
            Self::Browser => "tests in the browser",
            Self::EndToEnd => "end-to-end tests",
            Self::Interop => "interop tests with js-libp2p",
        }
    }

    /// Whether the tests wait for several programs at once, so that a machine that stands still can fail them.
    ///
    /// A test of code alone that fails now and then has found something, and is never run again.
    const fn is_timed(self) -> bool {
        matches!(self, Self::EndToEnd | Self::Interop)
    }

    /// Builds what the tests need; the command that runs them.
    fn prepare(self, toolchain: &Toolchain) -> Result<Command> {
        match self {
            Self::Native => Ok(native(toolchain)),
            Self::Browser => in_browser(toolchain, &setup::browser()?),
            Self::EndToEnd => end_to_end(toolchain),
            Self::Interop => interop::referee(toolchain),
        }
    }
}

/// What to run: everything, or one part, or in it the tests whose name contains a text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Selection {
    only: Option<Part>,
    name: Option<String>,
}

impl Selection {
    fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut selection = Self::default();
        while let Some(argument) = arguments.next()? {
            match argument {
                lexopt::Arg::Long("only") => {
                    let value = arguments.value()?;
                    let part = Part::ALL.into_iter().find(|part| value == part.option());
                    selection.only = Some(part.with_context(|| {
                        let names = Part::ALL.map(Part::option).join(", ");
                        format!("--only {}: it has to be one of {names}", value.display())
                    })?);
                }
                lexopt::Arg::Long("name") => selection.name = Some(arguments.value()?.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(selection)
    }

    fn parts(&self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(|part| self.only.is_none_or(|only| only == *part))
    }
}

/// The `test` command.
pub(crate) fn test(arguments: lexopt::Parser) -> Result<ExitCode> {
    let selection = Selection::parse(arguments)?;
    let start = Instant::now();
    let toolchain = Toolchain::ensure()?;
    setup::browser()?;
    let mut tally = Tally::default();
    if selection == Selection::default() {
        for (name, quick) in check::QUICK {
            tally.count(name, quick(&toolchain));
        }
    }
    for part in selection.parts() {
        match part.prepare(&toolchain) {
            Ok(mut command) => {
                if let Some(name) = &selection.name {
                    if !command.get_args().any(|argument| argument == "--") {
                        command.arg("--");
                    }
                    command.arg(name);
                }
                tally.add(attempts(part, &mut command));
            }
            Err(error) => tally.count(&format!("building for {}", part.title()), Err(error)),
        }
    }
    say::note(&format!("all tests took {:.0} s", start.elapsed().as_secs_f64()));
    for name in &tally.unsteady {
        say::note(&format!("unsteady: {name} failed, and passed when run again; see above why it failed"));
    }
    for fault in &tally.faults {
        say::note(&format!("failed: {fault}"));
    }
    println!("{} passed, {} failed", tally.passed, tally.failed);
    Ok(if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a part's tests, and the few that failed a second time where a slow machine can be why.
fn attempts(part: Part, command: &mut Command) -> Tally {
    let mut tally = cargo_test(part.title(), command);
    let Some(names) = tally.few_failed(part.title()).filter(|_| part.is_timed()) else {
        return tally;
    };
    say::note(&format!("Running again what failed: {}", names.join(", ")));
    command.arg("--exact").args(names);
    tally.try_again(cargo_test(part.title(), command));
    tally
}

/// Runs one `cargo test` and passes its output on; its sums.
fn cargo_test(name: &str, command: &mut Command) -> Tally {
    say::note(&format!("Running {name}"));
    let start = Instant::now();
    let mut tally = Tally::default();
    let status = run::each_line(command, |line| {
        println!("{line}");
        tally.read(name, line);
    });
    let outcome = status.and_then(|status| status.success().then_some(()).context("did not end well"));
    if outcome.is_err() && tally.failed == 0 {
        // It did not compile, or died without a result of its own.
        tally.count(name, outcome);
    }
    say::note(&format!("  {name} took {:.0} s", start.elapsed().as_secs_f64()));
    tally
}

/// All but the tests that need to be told where the built page and programs are.
fn native(toolchain: &Toolchain) -> Command {
    let mut cargo = toolchain.cargo();
    cargo.args(["test", "--workspace", "--no-fail-fast"]);
    for package in ["lichen-tests", "lichen-interop"] {
        cargo.args(["--exclude", package]);
    }
    cargo
}

/// The packages with tests for the browser: those that use wasm-bindgen-test.
fn browser_packages(toolchain: &Toolchain) -> Result<Vec<String>> {
    let metadata = check::metadata(toolchain)?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("no packages in cargo's metadata")?;
    let has_tests = |package: &&Value| {
        let dependencies = package.get("dependencies").and_then(Value::as_array).cloned().unwrap_or_default();
        dependencies.iter().any(|one| one.get("name").and_then(Value::as_str) == Some("wasm-bindgen-test"))
    };
    let names = packages.iter().filter(has_tests).filter_map(|package| package.get("name")?.as_str());
    Ok(names.map(str::to_owned).collect())
}

fn in_browser(toolchain: &Toolchain, chromedriver: &Path) -> Result<Command> {
    let mut cargo = toolchain.cargo();
    // All in one go, so that what they have in common is built once.
    cargo.args(["test", "--no-fail-fast", "--target", "wasm32-unknown-unknown", "--all-features"]);
    for package in browser_packages(toolchain)? {
        cargo.args(["--package", &package]);
    }
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER", setup::wasm_bindgen_test_runner()?);
    cargo.env("CHROMEDRIVER", chromedriver);
    cargo.env("WASM_BINDGEN_TEST_TIMEOUT", "180");
    let capabilities = workspace::target().join("xtask/webdriver.json");
    fs::create_dir_all(workspace::target().join("xtask"))?;
    fs::write(&capabilities, capabilities_text()).context("writing the browser's capabilities")?;
    cargo.env("WASM_BINDGEN_TEST_WEBDRIVER_JSON", capabilities);
    Ok(cargo)
}

fn capabilities_text() -> String {
    let flags = [
        "headless",
        "no-sandbox",
        "enable-unsafe-webgpu",
        "use-webgpu-adapter=swiftshader",
        "disable-quic",
        "disable-dev-shm-usage",
        "disable-background-networking",
    ];
    json!({ "goog:chromeOptions": { "args": flags } }).to_string()
}

/// The end-to-end tests, over the page and the programs that `cargo xtask demo` would start.
fn end_to_end(toolchain: &Toolchain) -> Result<Command> {
    setup::firefox()?;
    let dist = page::build(toolchain, page::Threads::Offered)?;
    let programs = build::programs(toolchain, &dist)?;
    let axe =
        packages::install(&workspace::root().join("tests/axe"), "axe-core, the referee of accessibility")?;
    let helia = workspace::root().join("tests/helia");
    packages::install(&helia, "Helia, the referee of the gateway")?;
    let mut cargo = toolchain.cargo();
    // Of the whole workspace, and so with the libraries that the native tests have built already.
    cargo.args(["test", "--no-fail-fast", "--workspace", "--test", "end_to_end", "--test", "node"]);
    cargo
        .env("LICHEN_RELAY_BIN", programs.relay)
        .env("LICHEN_CLI_BIN", programs.cli)
        .env("LICHEN_DIST", dist)
        .env("LICHEN_AXE", axe.join("axe-core/axe.min.js"))
        .env("LICHEN_HELIA", helia);
    // Each test trains in several windows; more of them at once would measure this machine, not the code.
    cargo.args(["--", "--test-threads=1"]);
    Ok(cargo)
}
