//! Builds both peers of the WebRTC transport's referee and runs its tests.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::packages;
use crate::setup::{Toolchain, Tools};
use crate::{build, run, workspace};

/// The tests, over freshly built peers and our relay.
pub(super) fn referee(toolchain: &Toolchain) -> Result<Command> {
    let js = workspace::root().join("tests/interop/js");
    let dist = workspace::target().join("interop");
    fs::create_dir_all(&dist).context("making the folder of the interop peers")?;
    packages::install(&js, "js-libp2p for the interop tests")?;
    for peer in ["peer", "hostile"] {
        js_peer(&js, peer, &dist)?;
    }
    rust_peer(toolchain, &dist)?;
    let programs = build::programs(toolchain, &workspace::dist())?;
    let mut cargo = toolchain.cargo();
    // Of the whole workspace, and so with the libraries that the native tests have built already.
    cargo.args(["test", "--no-fail-fast", "--workspace", "--test", "interop_mesh", "--test", "referee"]);
    cargo.args(["--", "--test-threads=1"]);
    cargo.env("LICHEN_INTEROP_DIST", dist).env("LICHEN_RELAY_BIN", programs.relay);
    Ok(cargo)
}

fn js_peer(js: &Path, name: &str, dist: &Path) -> Result<()> {
    let mut esbuild = Command::new(js.join("node_modules/.bin/esbuild"));
    esbuild.args([
        &format!("{name}.js"),
        "--bundle",
        "--format=esm",
        "--target=chrome120",
        "--minify",
        "--log-level=warning",
    ]);
    esbuild.arg(format!("--outfile={}", dist.join(name).with_extension("js").display())).current_dir(js);
    run::quietly("Bundling a js-libp2p peer", "a second", &mut esbuild)
}

/// Our own peer as a page's module, as small as the page's.
pub(crate) fn rust_peer(toolchain: &Toolchain, dist: &Path) -> Result<()> {
    let mut cargo = toolchain.cargo();
    // Optimised, because ten megabytes each way through an unoptimised peer outlast js-libp2p's patience.
    cargo.args([
        "build",
        "--profile",
        "wasm",
        "--target",
        "wasm32-unknown-unknown",
        "--package",
        "lichen-interop",
    ]);
    run::quietly("Building the Rust peer", "2 minutes the first time", &mut cargo)?;
    let module = workspace::target().join("wasm32-unknown-unknown/wasm/lichen_interop.wasm");
    let mut bindgen = Command::new(Tools::ensure()?.wasm_bindgen());
    bindgen.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(dist).arg(module);
    run::quietly("Binding the Rust peer", "a second", &mut bindgen)
}
