//! Builds page and worker with Trunk, then the relay and the command line.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::setup::{Toolchain, Tools};
use crate::workspace::{self, Stamp};
use crate::{compress, names, run, threads};

/// What page and worker are made from.
const PAGE_SOURCES: [&str; 20] = [
    "index.html",
    "Trunk.toml",
    "Cargo.toml",
    "Cargo.lock",
    ".cargo/config.toml",
    "web",
    "worker",
    "crates/record",
    "crates/campaign",
    "crates/model",
    "crates/learn",
    "crates/engine",
    "crates/round",
    "crates/log",
    "crates/webrtc",
    "crates/store",
    "crates/net",
    "crates/bridge",
    "crates/node",
    "relay/campaigns",
];

/// The optimised programs.
pub(crate) struct Programs {
    /// The relay, with the page in it.
    pub(crate) relay: PathBuf,
    /// The organiser's command line.
    pub(crate) cli: PathBuf,
}

/// Builds `dist/` with page and worker, compressed, unless it is up to date.
pub(crate) fn page(toolchain: &Toolchain) -> Result<PathBuf> {
    let tools = Tools::ensure()?;
    let dist = workspace::dist();
    let mut settings = Tools::versions().to_vec();
    let version = toolchain.version()?;
    settings.push(&version);
    let stamp = Stamp::new("page", &PAGE_SOURCES, &settings)?;
    if stamp.is_fresh(&dist) {
        return Ok(dist);
    }
    let mut trunk = toolchain.command(tools.trunk());
    trunk.args(["build", "--release", "--offline", "--color", "never"]).current_dir(workspace::root());
    trunk.env("PATH", tools.path()?).env("CARGO_TARGET_DIR", workspace::target());
    // A backtrace of Trunk would push the compiler's words out of sight.
    trunk.env("RUST_BACKTRACE", "0");
    // Trunk reads NO_COLOR as a boolean and stops at its usual value `1`.
    trunk.env_remove("NO_COLOR");
    run::quietly(
        "Building page and worker",
        "3 to 5 minutes the first time, half a minute later",
        &mut trunk,
    )?;
    names::folder(&dist)?;
    threads::engine(toolchain, &tools, &dist)?;
    compress::folder(&dist)?;
    stamp.write(&dist)?;
    Ok(dist)
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
