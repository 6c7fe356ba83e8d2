//! Files stay readable: each says at its head what it is for, and none grows too long.

use std::fs;

use anyhow::{Context as _, Result};

use super::no_faults;
use crate::setup::Toolchain;
use crate::{say, workspace};

/// The point at which to split a file.
const MAX_LINES: usize = 500;

/// Files that may be longer, up to so many lines, and why.
const LONGER: [(&str, usize, &str); 5] = [
    ("crates/audit/src/tests.rs", 600, "tests of one audit, on one fixture"),
    ("crates/record/tests/canonical.rs", 600, "a table of byte sequences and what becomes of them"),
    ("crates/round/tests/network/mod.rs", 800, "the simulated network that all tests of rounds run in"),
    ("crates/round/tests/participant.rs", 650, "tests of one state machine, event by event"),
    ("web/src/state/tests.rs", 750, "tests of one reducer, event by event"),
];

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
        let longer = LONGER.iter().find(|(path, _most, _why)| file.ends_with(path));
        let most = longer.map_or(MAX_LINES, |(_path, most, _why)| *most);
        if lines > most {
            faults.push(format!("{} has {lines} lines; split it before {most}", file.display()));
        }
        if longer.is_some() && lines <= MAX_LINES {
            faults.push(format!("{} is no longer than others; take it off the list", file.display()));
        }
    }
    no_faults(&faults)
}
