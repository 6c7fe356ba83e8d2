//! Licences, bans and sources of dependencies, by cargo-deny.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::setup::{self, Toolchain};
use crate::{run, say};

const CARGO_DENY: &str = "0.20.2";
/// Where the advisory database cannot be reached, asking may hang rather than fail.
const ADVISORY_LIMIT: Duration = Duration::from_secs(60);

pub(super) fn check(toolchain: &Toolchain) -> Result<()> {
    let deny = setup::cargo_deny(CARGO_DENY)?;
    let command = |arguments: &[&str]| -> Command {
        let mut command = toolchain.command(&deny);
        command.current_dir(crate::workspace::root()).args(["--all-features"]).args(arguments);
        command
    };
    let checks = ["check", "--hide-inclusion-graph", "licenses", "bans", "sources"];
    run::quietly("Checking licences, bans and sources", "", &mut command(&checks))?;
    if !run::within(ADVISORY_LIMIT, &mut command(&["fetch", "db"]))? {
        say::note(
            "NOT CHECKED: security advisories, because the RustSec database cannot be fetched from here",
        );
        return Ok(());
    }
    run::quietly("Checking security advisories", "", &mut command(&["check", "advisories"]))
}
