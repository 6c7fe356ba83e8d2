//! Packages of Debian and its relatives.

use anyhow::{Result, bail};
use lichen_testkit::process;

use crate::run;

/// Installs packages with apt, where that can be done without asking for a password.
pub(crate) fn install(why: &str, usually: &str, packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if process::find_program("apt-get").is_none() {
        bail!(
            "{why} is missing and this system has no apt-get: install what corresponds to Debian's {list}, then try again"
        );
    }
    let root = run::output(std::process::Command::new("id").arg("-u"))?.trim() == "0";
    let sudo = !root && run::output(std::process::Command::new("sudo").args(["-n", "true"])).is_ok();
    if !root && !sudo {
        bail!("{why} is missing: run `sudo apt-get install {list}`, then try again");
    }
    let apt = |arguments: &[&str]| {
        let mut command = process::command(if sudo { "sudo" } else { "apt-get" });
        if sudo {
            command.args(["-n", "apt-get"]);
        }
        command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run::quietly("Updating the package lists", "10 s", &mut apt(&["update"]))?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    run::quietly(&format!("Installing {list}"), usually, &mut apt(&arguments))
}
