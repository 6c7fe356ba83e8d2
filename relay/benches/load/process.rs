//! The relay as a process, and what it takes of the machine.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_record::CampaignId;
use lichen_testkit::{http, metrics};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Limits that are not to be measured.
const OPTIONS: [&str; 22] = [
    "--listen=127.0.0.1:0",
    "--log-level=error",
    "--max-connections=1000000",
    "--max-connections-per-address=1000000",
    "--max-pending-connections=1000000",
    "--max-pending-connections-per-address=1000000",
    "--max-reservations=1000000",
    "--max-circuits=1000000",
    "--max-circuits-per-peer=1000000",
    "--max-circuits-per-address=1000000",
    "--circuit-requests-per-minute=4000000000",
    "--circuit-seconds=120",
    "--entries-per-minute=4000000000",
    "--entries-per-minute-per-address=4000000000",
    "--entries-per-second=1000000000",
    "--new-accounts-per-minute-per-address=4000000000",
    "--new-accounts-per-hour-per-address=4000000000",
    "--max-members-per-address=1000000",
    "--blob-bytes-per-minute=4000000000",
    "--stun-per-minute=300",
    "--unpinned-blob-minutes=60",
    "--data",
];

const PATIENCE: Duration = Duration::from_secs(30);

/// A running relay with a data folder that goes with it.
pub(crate) struct Relay {
    child: Child,
    url: String,
    id: u32,
    _data: TempDir,
    pub(crate) address: Multiaddr,
    pub(crate) campaign: CampaignId,
}

#[derive(Deserialize)]
struct Info {
    address: String,
    campaign: CampaignId,
}

impl Relay {
    pub(crate) async fn start(cores: Option<&str>) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let program = env!("CARGO_BIN_EXE_lichen-relay");
        let mut command = match cores {
            Some(cores) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", cores, program]);
                command
            }
            None => Command::new(program),
        };
        let mut child = command
            .args(OPTIONS)
            .arg(data.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the relay")?;
        let output = child.stdout.take().context("the relay has no output")?;
        let url = BufReader::new(output).lines().next_line().await?.context("the relay ended")?;
        let id = child.id().context("the relay ended")?;
        let info: Info = serde_json::from_slice(&get(&url, "lichen.json").await?)?;
        let address = info.address.parse()?;
        Ok(Self { child, url, id, _data: data, address, campaign: info.campaign })
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Processor time used so far, by all threads.
    pub(crate) fn processor_time(&self) -> Result<Duration> {
        processor_time(self.id)
    }

    /// What stands behind this name in the metrics.
    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let text = String::from_utf8(get(&self.url, "metrics").await?)?;
        Ok(metrics::read(&text).get(name).copied().unwrap_or_default())
    }

    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// Processor time used so far by a process of this number, by all its threads.
pub(crate) fn processor_time(process: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name, in brackets, may hold anything.
    let (_, rest) = stat.rsplit_once(')').context("no such stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| -> Result<u64> { Ok(fields.get(at).context("no such field")?.parse()?) };
    let ticks = ticks(11)? + ticks(12)?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Ok(Duration::from_secs_f64(seconds))
}

async fn get(url: &str, path: &str) -> Result<Vec<u8>> {
    let url = format!("{url}{path}");
    let answer = tokio::task::spawn_blocking(move || http::get(&url, &[], PATIENCE)).await??;
    if answer.status != 200 {
        bail!("the relay answers {}", answer.status);
    }
    Ok(answer.body)
}

/// Lets this process, and the relay that it starts, open as many connections as the system allows.
pub(crate) fn raise_file_limit() -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit on open files")
}
