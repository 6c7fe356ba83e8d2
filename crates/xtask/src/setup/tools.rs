//! Programs that builds and tests use, each at one version.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lichen_testkit::{Browser, Firefox, process};

use super::toolchain::cache;
use super::{Toolchain, debian};
use crate::run;

/// Must equal the `wasm-bindgen` library's version in `Cargo.toml`.
const WASM_BINDGEN: &str = "0.2.108";
const BINARYEN: &str = "132";

/// The tools that build page and worker.
pub(crate) struct Tools {
    wasm_bindgen: PathBuf,
    wasm_opt: PathBuf,
}

impl Tools {
    /// The tools, installed if need be.
    pub(crate) fn ensure() -> Result<Self> {
        Ok(Self { wasm_bindgen: wasm_bindgen()?, wasm_opt: binaryen()? })
    }

    /// wasm-bindgen.
    pub(crate) fn wasm_bindgen(&self) -> PathBuf {
        self.wasm_bindgen.join("wasm-bindgen")
    }

    /// A search path on which these tools come before others of the same name.
    pub(crate) fn path(&self) -> Result<OsString> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let ours = [&self.wasm_bindgen, &self.wasm_opt].map(PathBuf::from);
        std::env::join_paths(ours.into_iter().chain(std::env::split_paths(&path)))
            .context("the PATH cannot be used")
    }

    /// What versions these are.
    pub(crate) fn versions() -> [&'static str; 2] {
        [WASM_BINDGEN, BINARYEN]
    }
}

/// The runner for in-browser tests, installed if need be.
pub(crate) fn wasm_bindgen_test_runner() -> Result<PathBuf> {
    Ok(wasm_bindgen()?.join("wasm-bindgen-test-runner"))
}

/// Makes sure of Chromium and its WebDriver, and returns the latter.
pub(crate) fn browser() -> Result<PathBuf> {
    if Browser::find().is_none() || process::find_program("chromedriver").is_none() {
        debian::install("a browser for tests", "1 minute", &["chromium", "chromium-driver"])?;
    }
    process::find_program("chromedriver")
        .context("there is no chromedriver, also after installing chromium-driver")
}

/// Makes sure of Firefox, the second browser of the end-to-end tests.
pub(crate) fn firefox() -> Result<()> {
    if Firefox::find().is_none() {
        debian::install("a second browser for tests", "1 minute", &["firefox-esr"])?;
    }
    Ok(())
}

/// Installs a program of crates.io; returns the folder of its binaries.
fn cargo_install(package: &str, binary: &str, version: &str, usually: &str, locked: bool) -> Result<PathBuf> {
    let short = package.trim_end_matches("-cli");
    let place = cache()?.join(format!("{short}-{version}"));
    let folder = place.join("bin");
    if folder.join(binary).is_file() {
        return Ok(folder);
    }
    let partial = partial(&place)?;
    let mut cargo = Toolchain::ensure()?.command("cargo");
    cargo.args(["install", package, "--version", version, "--root"]).arg(&partial).current_dir(&partial);
    if locked {
        cargo.arg("--locked");
    }
    // These tools only build: quick to have beats quick to run.
    cargo.env("CARGO_TARGET_DIR", partial.join("build"));
    for (setting, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "1"), ("DEBUG", "0")] {
        cargo.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
    run::quietly(&format!("Building the tool {package} {version}"), usually, &mut cargo)?;
    fs::remove_dir_all(partial.join("build")).context("removing the tool's build folder")?;
    finish(&partial, &place)?;
    Ok(folder)
}

/// cargo-deny, installed if need be.
pub(crate) fn cargo_deny(version: &str) -> Result<PathBuf> {
    let folder = cargo_install("cargo-deny", "cargo-deny", version, "2 to 5 minutes, once", true)?;
    Ok(folder.join("cargo-deny"))
}

fn wasm_bindgen() -> Result<PathBuf> {
    cargo_install("wasm-bindgen-cli", "wasm-bindgen-test-runner", WASM_BINDGEN, "2 to 4 minutes, once", false)
}

/// Makes sure of Node and npm.
pub(crate) fn node() -> Result<()> {
    if ["node", "npm"].iter().any(|name| process::find_program(name).is_none()) {
        debian::install("Node with npm", "1 to 2 minutes", &["npm", "nodejs"])?;
    }
    Ok(())
}

/// Binaryen comes as an npm package that needs Node and nothing else.
fn binaryen() -> Result<PathBuf> {
    let place = cache()?.join(format!("binaryen-{BINARYEN}"));
    let folder = place.join("node_modules/.bin");
    if folder.join("wasm-opt").is_file() {
        if process::find_program("node").is_none() {
            debian::install("Node, which runs wasm-opt,", "1 minute", &["nodejs"])?;
        }
        return Ok(folder);
    }
    if process::find_program("npm").is_none() {
        debian::install("npm, which gets wasm-opt,", "1 to 2 minutes", &["npm", "nodejs"])?;
    }
    let partial = partial(&place)?;
    let mut npm = process::command("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&partial);
    npm.arg(format!("binaryen@{BINARYEN}")).current_dir(&partial);
    run::quietly(&format!("Getting wasm-opt (binaryen {BINARYEN})"), "10 s", &mut npm)?;
    finish(&partial, &place)?;
    Ok(folder)
}

/// An empty folder beside `place`, so that an interrupted installation is never taken for a whole one.
fn partial(place: &Path) -> Result<PathBuf> {
    let partial = place.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("making {}", partial.display()))?;
    Ok(partial)
}

fn finish(partial: &Path, place: &Path) -> Result<()> {
    if place.exists() {
        fs::remove_dir_all(place).with_context(|| format!("removing {}", place.display()))?;
    }
    fs::rename(partial, place).with_context(|| format!("moving {} into place", place.display()))
}
