//! Everything that the benchmark's page loads: our engine as wasm, the peers from npm, the page.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lichen_testkit::process;

use super::report::Sizes;
use crate::setup::{self, Toolchain, Tools};
use crate::{compress, run, workspace};

const PACKAGE: &str = "lichen-engine-bench";
/// What wasm-bindgen makes of it.
const OUR_WASM: &str = "lichen_engine_bench_bg.wasm";
/// The scripts that run as workers.
const WORKERS: [&str; 5] = ["ours", "jax", "tfjs", "processor_peak", "gpu_peak"];
/// What the worker's build tells wasm-opt.
const WASM_OPT: [&str; 9] = [
    "-O3",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// The folder of sources.
pub(super) fn sources() -> PathBuf {
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
    let sources = built.to_str().context("the path of the build folder is not text")?;
    let stamp = workspace::Stamp::new("bench-engine-wasm", &[sources], &Tools::versions())?;
    if stamp.is_fresh(&wasm) {
        return Ok(());
    }
    let mut bindgen = process::command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(folder).arg(sources);
    bindgen.env("PATH", tools.path()?);
    run::quietly("Binding it to JavaScript", "", &mut bindgen)?;
    let mut optimise = process::command("wasm-opt");
    optimise.args(WASM_OPT).arg(&wasm).arg("-o").arg(&wasm).env("PATH", tools.path()?);
    run::quietly("Optimising it", "10 s", &mut optimise)?;
    stamp.write(&wasm)
}

fn peers(folder: &Path) -> Result<()> {
    setup::node()?;
    let sources = sources();
    let modules = sources.join("node_modules");
    let stamp =
        workspace::Stamp::new("bench-engine-packages", &["crates/engine/bench/package-lock.json"], &[])?;
    let installed = modules.join(".package-lock.json");
    if !stamp.is_fresh(&installed) {
        let mut npm = process::command("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&sources);
        run::quietly("Getting the other engines from npm", "10 s", &mut npm)?;
        stamp.write(&installed)?;
    }
    let mut esbuild = process::command(modules.join(".bin/esbuild"));
    esbuild.current_dir(&sources);
    esbuild.args(WORKERS.map(|name| format!("peers/{name}.js")));
    esbuild.args(["--bundle", "--format=esm", "--target=chrome120", "--minify", "--log-level=warning"]);
    esbuild.arg("--external:./lichen_engine_bench.js").arg(format!("--outdir={}", folder.display()));
    run::quietly("Bundling the other engines", "", &mut esbuild)?;
    let wasm = modules.join("@tensorflow/tfjs-backend-wasm/dist");
    for name in
        ["tfjs-backend-wasm.wasm", "tfjs-backend-wasm-simd.wasm", "tfjs-backend-wasm-threaded-simd.wasm"]
    {
        fs::copy(wasm.join(name), folder.join(name)).with_context(|| format!("copying {name}"))?;
    }
    for name in ["index.html", "page.js"] {
        fs::copy(sources.join("page").join(name), folder.join(name))
            .with_context(|| format!("copying {name}"))?;
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
