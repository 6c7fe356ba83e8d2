//! What tests need from npm, exactly as locked.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use lichen_testkit::process;

use crate::workspace::{self, Stamp};
use crate::{run, setup};

/// Installs what the lock file of a folder in the repository names, unless it is there; the folder of the packages.
pub(super) fn install(folder: &Path, what: &str) -> Result<PathBuf> {
    setup::node()?;
    let modules = folder.join("node_modules");
    let lock = folder.join("package-lock.json");
    let lock = lock.strip_prefix(workspace::root()).unwrap_or(&lock);
    let lock = lock.to_str().context("the path of a lock file is not text")?;
    let stamp = Stamp::new(&lock.replace('/', "-"), &[lock], &[])?;
    let installed = modules.join(".package-lock.json");
    if !stamp.is_fresh(&installed) {
        let mut npm = process::command("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(folder);
        run::quietly(&format!("Installing {what}"), "1 minute, once", &mut npm)?;
        stamp.write(&installed)?;
    }
    Ok(modules)
}
