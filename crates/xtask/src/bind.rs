//! Makes a module that cargo built ready for a browser.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lichen_testkit::process;

use crate::dense::dense;
use crate::setup::Tools;
use crate::{names, run};

/// Binds a module to JavaScript, and optimises it as `optimise` tells wasm-opt; gives its place in `folder`.
pub(crate) fn bind(tools: &Tools, built: &Path, folder: &Path, optimise: &[String]) -> Result<PathBuf> {
    let mut bindgen = process::command("wasm-bindgen");
    bindgen.args(["--target", "web", "--no-typescript", "--out-dir"]).arg(folder).arg(built);
    bindgen.env("PATH", tools.path()?);
    run::quietly("Binding it to JavaScript", "", &mut bindgen)?;
    let name = built.file_stem().and_then(|name| name.to_str()).context("the module has no name")?;
    let wasm = folder.join(format!("{name}_bg.wasm"));
    let mut wasm_opt = process::command("wasm-opt");
    wasm_opt.args(optimise).arg(&wasm).arg("-o").arg(&wasm).env("PATH", tools.path()?);
    run::quietly("Optimising it", "10 s", &mut wasm_opt)?;
    let script = folder.join(format!("{name}.js"));
    names::shorten(&wasm, &script)?;
    let read = std::fs::read_to_string(&script).with_context(|| format!("reading {}", script.display()))?;
    std::fs::write(&script, dense(&read)).with_context(|| format!("writing {}", script.display()))?;
    Ok(wasm)
}
