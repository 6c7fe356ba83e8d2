//! Benchmarks: engines beside each other in a browser, and each crate's own cargo benches by its short name.

mod bundle;
mod contestants;
mod engine;
mod options;
mod page;
mod relay;
mod report;
mod rounds;
mod stage;
mod webrtc;
mod window;

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, ValueExt as _};
use serde_json::Value;

use crate::setup::Toolchain;
use crate::{check, run, say};

/// The benchmark that runs in a browser.
const ENGINE: &str = "engine";

/// Likewise.
const WEBRTC: &str = "webrtc";

/// The benchmark that needs a relay built beforehand.
const HOSTILE: &str = "hostile";

/// What a tab downloads, likewise.
const BYTES: &str = "bytes";

/// What it costs to come late to a long log, likewise.
const JOINING: &str = "joining";

/// How long a tab takes to check a whole record, likewise.
const CHECKING: &str = "checking";

/// The package whose benches are not its own but of the whole.
const TESTS: &str = "lichen-tests";

/// Swarms with hostile peers, by rule of aggregation: a bench of its package that only this name runs.
const ATTACKS: &str = "attacks";

/// What peers learn by each codec, likewise.
const LEARNING: &str = "learning";

/// How often honest updates are taken for copies, likewise.
const COPIES: &str = "copies";

/// The package of these benches.
const SETTLE: &str = "lichen-settle";

/// What the tree over a log costs: a bench of the store on disk.
const TREE: &str = "tree";

/// The package of that bench.
const STORE: &str = "lichen-store";

/// The benchmark of an open page, in a browser.
const PAGE: &str = "page";

/// The benchmark of rounds without a wait between them, in several tabs of a browser.
const ROUNDS: &str = "rounds";

/// The `bench` command.
pub(crate) fn bench(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    let toolchain = Toolchain::ensure()?;
    let Some(argument) = arguments.next()? else {
        say::note("benchmarks:");
        println!("{ENGINE}");
        println!("{WEBRTC}");
        println!("{HOSTILE}");
        println!("{BYTES}");
        println!("{JOINING}");
        println!("{CHECKING}");
        println!("{ATTACKS}");
        println!("{LEARNING}");
        println!("{COPIES}");
        println!("{TREE}");
        println!("{PAGE}");
        println!("{ROUNDS}");
        for name in names(&toolchain)? {
            println!("{name}");
        }
        return Ok(ExitCode::SUCCESS);
    };
    let Arg::Value(name) = argument else { return Err(argument.unexpected().into()) };
    let name = name.string()?;
    if name == ENGINE {
        return engine::engine(&toolchain, arguments);
    }
    if name == WEBRTC {
        return webrtc::webrtc(&toolchain, arguments);
    }
    if name == HOSTILE || name == BYTES {
        return relay::of_relay(&toolchain, &name, arguments);
    }
    if name == CHECKING {
        return relay::checking(&toolchain, arguments);
    }
    if name == JOINING {
        return relay::joining(&toolchain, &name, arguments);
    }
    if [ATTACKS, LEARNING, COPIES].contains(&name.as_str()) {
        return of_package(&toolchain, SETTLE, &["--bench", &name], arguments);
    }
    if name == TREE {
        return of_package(&toolchain, STORE, &["--features", "redb", "--bench", TREE], arguments);
    }
    if name == PAGE {
        return page::page(&toolchain, arguments);
    }
    if name == ROUNDS {
        return rounds::rounds(&toolchain, arguments);
    }
    if !names(&toolchain)?.contains(&name) {
        bail!("there is no benchmark {name:?}; `cargo xtask bench` lists them");
    }
    of_package(&toolchain, &format!("lichen-{name}"), &["--benches"], arguments)
}

/// Runs these benches of a package, with the options that are left.
fn of_package(
    toolchain: &Toolchain,
    package: &str,
    benches: &[&str],
    mut arguments: lexopt::Parser,
) -> Result<ExitCode> {
    let mut cargo = toolchain.cargo();
    cargo.args(["bench", "--package", package]).args(benches).arg("--");
    cargo.args(arguments.raw_args()?);
    let status = run::each_line(&mut cargo, |line| println!("{line}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The short names of the crates that have benches.
fn names(toolchain: &Toolchain) -> Result<Vec<String>> {
    let metadata = check::metadata(toolchain)?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).context("no packages in cargo's metadata")?;
    let has_bench = |package: &&Value| {
        let targets = package.get("targets").and_then(Value::as_array).cloned().unwrap_or_default();
        targets.iter().any(|target| target.pointer("/kind/0").and_then(Value::as_str) == Some("bench"))
    };
    let names = packages.iter().filter(has_bench).filter_map(|package| package.get("name")?.as_str());
    Ok(names
        .filter(|name| ![TESTS, SETTLE, STORE].contains(name))
        .map(|name| name.trim_start_matches("lichen-").to_owned())
        .collect())
}
