//! Builds the engine for threads: a module whose memory they share, and the scripts that open them.
//!
//! Rust's standard library comes without atomics for wasm, so it is built along, from its source in the toolchain.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::setup::{Toolchain, Tools};
use crate::{bind, run, workspace};

/// The module's package, and the name of its files.
const NAME: &str = "lichen-engine-threads";

/// The scripts of ours, and their names beside the page.
const SCRIPTS: [(&str, &str); 2] =
    [("threads.js", "lichen-worker-threads.js"), ("thread.js", "lichen-engine-thread.js")];

/// Most memory that a worker may grow to, in bytes: all that wasm can address.
const MOST_MEMORY: u64 = 1 << 32;

/// What a module needs so that threads can share its memory, each with a stack and variables of its own.
const LINKED: [&str; 6] = [
    "--shared-memory",
    "--import-memory",
    "--export=__wasm_init_tls",
    "--export=__tls_size",
    "--export=__tls_align",
    "--export=__tls_base",
];

/// Builds the module into `dist`, optimised as the worker is.
pub(crate) fn engine(toolchain: &Toolchain, tools: &Tools, optimise: &[String], dist: &Path) -> Result<()> {
    let target = workspace::target().join("threads");
    let mut cargo = toolchain.with_source()?.cargo();
    cargo.args(["build", "--package", NAME, "--profile", "wasm", "-Zbuild-std=std,panic_abort"]);
    cargo.args(["--target", "wasm32-unknown-unknown", "--config", &flags()]);
    cargo.env("CARGO_TARGET_DIR", &target).env("RUSTC_BOOTSTRAP", "1");
    run::quietly(
        "Building the engine for threads",
        "2 minutes the first time, half a minute later",
        &mut cargo,
    )?;
    let built = target.join("wasm32-unknown-unknown/wasm/lichen_engine_threads.wasm");
    let named = target.join(NAME).with_extension("wasm");
    fs::copy(&built, &named).with_context(|| format!("copying {}", built.display()))?;
    let optimise = [optimise, &["--enable-threads".to_owned()]].concat();
    bind::bind(tools, &named, dist, &optimise)?;
    for (script, name) in SCRIPTS {
        let script = workspace::root().join("worker/js").join(script);
        fs::copy(&script, dist.join(name)).with_context(|| format!("copying {}", script.display()))?;
    }
    Ok(())
}

/// Whether a built page comes with the module.
pub(crate) fn is_in(dist: &Path) -> bool {
    dist.join(NAME).with_extension("js").is_file()
}

/// Whether a file of `dist` is loaded only where more than one thread is to train.
pub(crate) fn is_for_threads(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains("-thread"))
}

/// Compiler flags, in addition to those of the workspace.
fn flags() -> String {
    let memory = format!("--max-memory={MOST_MEMORY}");
    let linked = LINKED.iter().copied().chain([memory.as_str()]);
    let flags: Vec<String> = linked.map(|flag| format!("\"-Clink-arg={flag}\"")).collect();
    format!("target.wasm32-unknown-unknown.rustflags=[\"-Ctarget-feature=+atomics\",{}]", flags.join(","))
}
