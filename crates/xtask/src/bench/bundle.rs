//! Everything that the benchmark's page loads: our engine as wasm, the peers from npm, the page.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use lichen_testkit::process;

use super::report::Sizes;
use crate::page::Index;
use crate::setup::{self, Toolchain, Tools};
use crate::{bind, compress, run, workspace};

const PACKAGE: &str = "lichen-engine-bench";
/// What wasm-bindgen makes of it.
const OUR_WASM: &str = "lichen_engine_bench_bg.wasm";
/// The scripts that run as workers.
const WORKERS: [&str; 5] = ["ours", "jax", "tfjs", "processor_peak", "gpu_peak"];
/// What TensorFlow.js loads at run time, whichever of them the browser can run.
const TFJS_WASM: [&str; 3] =
    ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"];
fn sources() -> PathBuf {
    workspace::root().join("crates/engine/bench")
}

/// Builds all of it into one folder.
pub(super) fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let folder = workspace::target().join("xtask/bench-engine");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    our_engine(toolchain, &folder)?;
    peers(&folder)?;
    Ok(folder)
}

fn our_engine(toolchain: &Toolchain, folder: &Path) -> Result<()> {
    let tools = Tools::ensure()?;
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--package", PACKAGE, "--profile", "wasm", "--target", "wasm32-unknown-unknown"]);
    run::quietly("Building our engine for the browser", "2 minutes the first time", &mut cargo)?;
    let built = workspace::target().join("wasm32-unknown-unknown/wasm/lichen_engine_bench.wasm");
    let wasm = folder.join(OUR_WASM);
    let source = built.to_str().context("the path of the build folder is not text")?;
    let stamp = workspace::Stamp::new("bench-engine-wasm", &[source], &Tools::versions())?;
    if stamp.is_fresh(&wasm) {
        return Ok(());
    }
    bind::bind(&tools, &built, folder, &Index::read()?.worker()?.optimise)?;
    stamp.write(&wasm)
}

fn peers(folder: &Path) -> Result<()> {
    let modules = packages()?;
    let sources = sources();
    let mut esbuild = esbuild();
    esbuild.current_dir(&sources).env("NODE_PATH", &modules);
    esbuild.args(WORKERS.map(|name| format!("peers/{name}.js")));
    esbuild.args(["--bundle", "--format=esm", "--target=chrome120", "--minify", "--log-level=warning"]);
    esbuild.arg("--external:./lichen_engine_bench.js").arg(format!("--outdir={}", folder.display()));
    run::quietly("Bundling the other engines", "", &mut esbuild)?;
    let wasm = modules.join("@tensorflow/tfjs-backend-wasm/dist");
    copy(&wasm, folder, &TFJS_WASM)?;
    copy(&sources.join("page"), folder, &["index.html", "page.js"])
}

/// The other engines with all they need, as npm's lock file has them; kept out of the sources.
fn packages() -> Result<PathBuf> {
    setup::node()?;
    let place = packages_folder();
    let modules = place.join("node_modules");
    let installed = modules.join(".package-lock.json");
    let stamp = workspace::Stamp::new("bench-engine-lock", &["crates/engine/bench/package-lock.json"], &[])?;
    if stamp.is_fresh(&installed) {
        return Ok(modules);
    }
    fs::create_dir_all(&place).with_context(|| format!("making {}", place.display()))?;
    copy(&sources(), &place, &["package.json", "package-lock.json"])?;
    let mut npm = process::command("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&place);
    run::quietly("Getting the other engines from npm", "10 s", &mut npm)?;
    stamp.write(&installed)?;
    Ok(modules)
}

fn packages_folder() -> PathBuf {
    workspace::target().join("xtask/bench-engine-packages")
}

/// The bundler, which is also the page's server.
pub(super) fn esbuild() -> Command {
    process::command(packages_folder().join("node_modules/.bin/esbuild"))
}

fn copy(from: &Path, to: &Path, names: &[&str]) -> Result<()> {
    for name in names {
        fs::copy(from.join(name), to.join(name)).with_context(|| format!("copying {name}"))?;
    }
    Ok(())
}

/// What the engines weigh.
pub(super) fn sizes(folder: &Path) -> Result<Sizes> {
    let gzipped = |name: &str| -> Result<usize> {
        let file = folder.join(name);
        let bytes = fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
        Ok(compress::gzip(&bytes)?.len())
    };
    Ok(Sizes {
        ours: gzipped(OUR_WASM)?,
        glue: gzipped("lichen_engine_bench.js")?,
        jax: gzipped("jax.js")?,
        tfjs: gzipped("tfjs.js")?,
        tfjs_wasm: gzipped("tfjs-backend-wasm-simd.wasm")?,
    })
}
