//! Makes a module that cargo built ready for a browser, as Trunk does with the worker.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lichen_testkit::process;

use crate::setup::Tools;
use crate::{names, run};

/// What the worker's build tells wasm-opt.
const WASM_OPT: [&str; 13] = [
    "-O3",
    // The compiler has shared what is worth it. More of it makes less code, but code that compresses worse.
    "--skip-pass=local-cse",
    // The stack is below all data, and grows away from them.
    "--low-memory-unused",
    // Neighbours of one crate and type compress better.
    "--reorder-functions-by-name",
    "--strip-debug",
    "--enable-simd",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Binds a module to JavaScript and optimises it, with further `features` if it has any; gives its place in `folder`.
pub(crate) fn bind(tools: &Tools, built: &Path, folder: &Path, features: &[&str]) -> Result<PathBuf> {
    let mut bindgen = process::command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(folder).arg(built);
    bindgen.env("PATH", tools.path()?);
    run::quietly("Binding it to JavaScript", "", &mut bindgen)?;
    let name = built.file_stem().and_then(|name| name.to_str()).context("the module has no name")?;
    let wasm = folder.join(format!("{name}_bg.wasm"));
    let mut optimise = process::command("wasm-opt");
    optimise.args(WASM_OPT).args(features).arg(&wasm).arg("-o").arg(&wasm).env("PATH", tools.path()?);
    run::quietly("Optimising it", "10 s", &mut optimise)?;
    names::shorten(&wasm, &folder.join(format!("{name}.js")))?;
    Ok(wasm)
}
