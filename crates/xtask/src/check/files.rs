//! Files stay readable: each says at its head what it is for, and none grows too long.

use std::fs;

use anyhow::{Context as _, Result};

use super::no_faults;
use crate::setup::Toolchain;
use crate::{say, workspace};

/// The point at which to split a file.
const MAX_LINES: usize = 800;

pub(super) fn check(_: &Toolchain) -> Result<()> {
    say::note("Checking heads and lengths of files");
    let mut faults = Vec::new();
    for file in workspace::tracked_files()? {
        if file.extension().is_none_or(|ending| ending != "rs" && ending != "wgsl" && ending != "css") {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        if file.extension().is_some_and(|ending| ending == "rs") && !text.starts_with("//!") {
            faults.push(format!(
                "{} does not begin with a line (`//!`) that says what it is for",
                file.display()
            ));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!("{} has {lines} lines; split it before {MAX_LINES}", file.display()));
        }
    }
    no_faults(&faults)
}
