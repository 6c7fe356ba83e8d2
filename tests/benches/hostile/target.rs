//! The relay that is attacked, as a process with its default limits.

use std::path::Path;

use anyhow::{Context, Result};
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_record::CampaignId;
use lichen_testkit::{RelayOptions, RelayProcess, http};
use serde::Deserialize;
use tempfile::TempDir;

/// A running relay with the digits campaign.
pub(crate) struct Target {
    pub(crate) relay: RelayProcess,
    pub(crate) port: u16,
    pub(crate) address: Multiaddr,
    pub(crate) campaign: CampaignId,
    process: u32,
    _folder: TempDir,
}

#[derive(Deserialize)]
struct Info {
    address: String,
    campaign: CampaignId,
}

impl Target {
    pub(crate) fn start(is_mesh: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let campaign = folder.path().join("campaign");
        copy_campaign(&campaign, is_mesh)?;
        let port = http::free_port()?;
        let data = folder.path().join("data");
        let relay = RelayProcess::start(RelayOptions {
            program: std::env::var_os("LICHEN_RELAY_BIN")
                .context("run by `cargo xtask bench hostile`")?
                .into(),
            port,
            data: data.clone(),
            page: None,
            campaign: Some(campaign),
            log: Some(folder.path().join("relay.log")),
        })?;
        let info: Info = serde_json::from_str(&relay.get("lichen.json")?.text())?;
        let process =
            process_with(&data.display().to_string()).context("the relay's process is not there")?;
        let address = info.address.parse()?;
        Ok(Self { relay, port, address, campaign: info.campaign, process, _folder: folder })
    }

    /// Resident memory at its highest since [`Target::forget_peak`], in bytes.
    pub(crate) fn peak(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        self.status("VmRSS:")
    }

    /// Lets the peak begin at the present amount.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        std::fs::write(format!("/proc/{}/clear_refs", self.process), "5").context("forgetting the peak")
    }

    /// Entries in the log.
    pub(crate) fn length(&self) -> Result<f64> {
        let metrics = self.relay.metrics()?;
        Ok(metrics.get("lichen_log_length").copied().unwrap_or_default())
    }

    fn status(&self, name: &str) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.process))
            .with_context(|| format!("the relay has ended; its log:\n{}", self.relay.log()))?;
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }
}

fn copy_campaign(to: &Path, is_mesh: bool) -> Result<()> {
    let topology = if is_mesh { "topology = \"mesh\"" } else { "topology = \"hub\"" };
    Ok(lichen_testkit::campaign::write_changed(to, &[("topology = \"hub\"", topology)])?)
}

/// The process that was started with this word.
fn process_with(word: &str) -> Option<u32> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").ok()?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_it = |id: &u32| {
        let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    numbers.filter(|id| *id != own).find(is_it)
}
