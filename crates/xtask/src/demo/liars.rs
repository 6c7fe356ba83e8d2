//! Members that lie, beside the demo's windows, and what the log says of them in the end.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use lichen_testkit::process::{self, Guarded};
use lichen_testkit::{RelayProcess, campaign};
use serde_json::Value;

use crate::setup::Toolchain;
use crate::{run, workspace};

/// Trainings are repeated often, so that a demo of a minute shows it.
const AUDITED: (&str, &str) = ("share = 0.1", "share = 0.3");

/// Parameters of the digits model.
pub(super) const PARAMETERS: u32 = 64 * 32 + 32 + 32 * 10 + 10;

/// The digits campaign with trainings that are repeated, its updates going from tab to tab if asked for.
pub(super) fn audited_campaign(is_mesh: bool) -> Result<PathBuf> {
    let folder = workspace::empty_folder("campaign-audited")?;
    let mesh = ("topology = \"hub\"", "topology = \"mesh\"");
    let changes = if is_mesh { vec![AUDITED, mesh] } else { vec![AUDITED] };
    campaign::write_changed(&folder, &changes)?;
    Ok(folder)
}

/// Builds the program that lies.
pub(super) fn build(toolchain: &Toolchain) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--package", "lichen-tests", "--bin", "liar"]);
    run::quietly("Building the members that lie", "2 to 4 minutes the first time", &mut cargo)?;
    let program = workspace::target().join("debug/liar");
    if !program.is_file() {
        bail!("cargo built no {}", program.display());
    }
    Ok(program)
}

/// Members that lie, by turns about their training and about what rounds come to.
pub(super) struct Liars {
    processes: Vec<Guarded>,
}

impl Liars {
    pub(super) fn start(program: &PathBuf, relay: &RelayProcess, count: usize) -> Result<Self> {
        let mut processes = Vec::new();
        for number in 0..count {
            let about = if number % 2 == 0 { "training" } else { "aggregating" };
            let mut command = process::command(program);
            command.args(["--relay", &relay.url(), "--about", about]);
            command.args(["--number", &(100 + number).to_string(), "--parameters", &PARAMETERS.to_string()]);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            processes.push(Guarded::spawn(&mut command).context("starting a member that lies")?);
        }
        Ok(Self { processes })
    }

    /// Whether each that lies about its training is found out: it ends when nothing of it is taken any more.
    pub(super) fn are_found_out(&mut self) -> Result<bool> {
        for trainer in self.processes.iter_mut().step_by(2) {
            if trainer.try_wait()?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What `lichen verify` finds when it repeats every training that others repeated.
pub(super) fn verify(cli: &PathBuf, relay: &RelayProcess) -> Result<Value> {
    let mut command = process::command(cli);
    command.args(["verify", "--json", "--repeat-all", "--relay", &relay.url()]);
    let output = command.output().context("running lichen verify")?;
    if !output.status.success() {
        bail!("lichen verify finds a fault: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    serde_json::from_slice(&output.stdout).context("reading what lichen verify says")
}
