//! Builds page and worker with Trunk, then the relay and the command line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

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
    // Where in the source something panicked is of no use to visitors, and weighs more than a picture. Cargo adds this
    // to the flags of its configuration.
    trunk.env("RUSTC_BOOTSTRAP", "1");
    trunk.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Zlocation-detail=none");
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
    true_size(&dist)?;
    threads::engine(toolchain, &tools, &dist)?;
    compress::folder(&dist)?;
    stamp.write(&dist)?;
    Ok(dist)
}

/// Tells the page how many bytes of code it is to load. Trunk writes what they were before wasm-opt, so that the bar
/// would end in the middle.
fn true_size(dist: &Path) -> Result<()> {
    let file = dist.join("index.html");
    let page = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
    let size = |name: &str| fs::metadata(dist.join(name)).ok().map(|module| module.len());
    let page = with_size(&page, size).context("Trunk's page does not say how large its module is")?;
    fs::write(&file, page).with_context(|| format!("writing {}", file.display()))
}

/// The page with the true size behind the module's name, in `__trunkInitializer(init, './NAME', SIZE, …)`.
fn with_size(page: &str, size: impl Fn(&str) -> Option<u64>) -> Option<String> {
    let (before, call) = page.split_once("await __trunkInitializer(init, '")?;
    let (name, rest) = call.split_once("', ")?;
    let (_told, rest) = rest.split_once(',')?;
    let size = size(name.trim_start_matches("./"))?;
    Some(format!("{before}await __trunkInitializer(init, '{name}', {size},{rest}"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_told_what_the_module_is_now() {
        let page =
            "a\nconst wasm = await __trunkInitializer(init, './x_bg.wasm', 1999, initializer(), true);\nb";
        let size = |name: &str| (name == "x_bg.wasm").then_some(12);
        let expected = page.replace("1999", "12");
        assert_eq!(with_size(page, size).as_deref(), Some(expected.as_str()));
        assert_eq!(with_size("<html>", size), None);
        assert_eq!(with_size(page, |_| None), None);
    }
}
