//! The relay as a process.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Instant;

use lichen_log::Head;
use lichen_net::IceServer;
use lichen_net::hub::Records;
use lichen_record::{CampaignId, decode, verify};
use lichen_testkit::http::{self, Response};
use lichen_testkit::metrics;
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::PATIENCE;

/// A relay on a port of its own, with a data folder that goes with it.
pub(crate) struct Relay {
    child: Child,
    pub(crate) url: String,
    pub(crate) data: TempDir,
    options: Vec<String>,
    /// What starts it, if it is not started as it is.
    wrapper: Vec<String>,
}

/// What `/lichen.json` says.
#[derive(Deserialize)]
pub(crate) struct Info {
    pub(crate) address: String,
    pub(crate) also: Vec<String>,
    pub(crate) peer: String,
    pub(crate) leader: Option<String>,
    pub(crate) campaign: CampaignId,
    pub(crate) ice_servers: Vec<IceServer>,
    pub(crate) turn: bool,
}

/// What `/ice.json` says.
#[derive(Deserialize)]
pub(crate) struct IceServers {
    pub(crate) seconds: u64,
    pub(crate) ice_servers: Vec<IceServer>,
}

impl Relay {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(options: &[&str]) -> Self {
        Self::start_in(TempDir::new().unwrap(), options).await
    }

    /// Starts it with what is in this data folder.
    pub(crate) async fn start_in(data: TempDir, options: &[&str]) -> Self {
        Self::start_by(data, &[], options).await
    }

    /// Starts it where it is to listen.
    pub(crate) async fn start_at(listen: &str, options: &[&str]) -> Self {
        let data = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let (child, url) = spawn(data.path(), listen, &options, &[]).await;
        Self { child, url, data, options, wrapper: Vec::new() }
    }

    /// Starts it with this data folder, by a command that runs the one it is given.
    pub(crate) async fn start_by(data: TempDir, wrapper: &[&str], options: &[&str]) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (options, wrapper) = (owned(options), owned(wrapper));
        let (child, url) = spawn(data.path(), "127.0.0.1:0", &options, &wrapper).await;
        Self { child, url, data, options, wrapper }
    }

    /// Kills it outright and starts one with the same data on another port, as a machine in reserve does.
    pub(crate) async fn kill_and_take_over(&mut self, listen: &str) {
        self.child.kill().await.unwrap();
        (self.child, self.url) = spawn(self.data.path(), listen, &[], &self.wrapper).await;
    }

    /// Kills it outright.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Kills it outright and starts it again with the same data and options, on the same port.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    /// Starts it again, once it is killed, with the same data and options, on the same port.
    pub(crate) async fn restart(&mut self) {
        let listen = self.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        (self.child, self.url) = spawn(self.data.path(), &listen, &self.options, &self.wrapper).await;
    }

    /// Starts it again, once it is killed, as one that follows nobody.
    pub(crate) async fn promote(&mut self) {
        self.options.clear();
        self.restart().await;
    }

    /// Starts it again, once it is killed, as one that follows another.
    pub(crate) async fn follow(&mut self, leader: &str) {
        self.options = vec!["--follow".into(), leader.into()];
        self.restart().await;
    }

    /// The folder with its data.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// The most memory that it has had so far, in bytes.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
    }

    /// Connects to it and says nothing.
    pub(crate) async fn connect(&self) -> tokio::net::TcpStream {
        let address = self.url.trim_start_matches("http://").trim_end_matches('/');
        tokio::net::TcpStream::connect(address).await.unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Asks it to end, and says how it ended and how long that took.
    pub(crate) async fn terminate(&mut self) -> (ExitStatus, std::time::Duration) {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let status = timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        (status, start.elapsed())
    }

    /// What it has written to its log since it was started first.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(log_file(self.data.path())).unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.try_get(path, headers).await.unwrap()
    }

    async fn try_get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Response, lichen_testkit::Error> {
        let url = format!("{}{path}", self.url);
        let headers: Vec<(String, String)> =
            headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        tokio::task::spawn_blocking(move || {
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            http::get(&url, &headers, PATIENCE)
        })
        .await
        .unwrap()
    }

    pub(crate) async fn info(&self) -> Info {
        decode_json(&self.get("lichen.json").await)
    }

    pub(crate) async fn ice(&self) -> IceServers {
        decode_json(&self.get("ice.json").await)
    }

    /// Records in the log, as its signed head says.
    pub(crate) async fn length(&self) -> u64 {
        let campaign = self.info().await.campaign;
        let page = self.get(&format!("log/{campaign}?from=0&limit=1")).await.body;
        let page: Records = decode(&page, 10_000).unwrap();
        verify::<Head>(&page.head).unwrap().get().length
    }

    /// What stands behind this name and these labels in the metrics; 0 if nothing does.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        metric_in(&self.get("metrics").await, name)
    }

    /// Waits until a metric is at least this; a relay that is full may refuse to say it at first.
    pub(crate) async fn metric_reaches(&self, name: &str, least: u64) {
        let reached = async {
            while !self.try_get("metrics", &[]).await.is_ok_and(|answer| metric_in(&answer, name) >= least) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, reached).await.unwrap_or_else(|_late| panic!("{name} never became {least}"));
    }

    /// Waits until a metric is at most this.
    pub(crate) async fn metric_falls(&self, name: &str, most: u64) {
        let fallen = async {
            while self.metric(name).await > most {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, fallen).await.unwrap_or_else(|_late| panic!("{name} never became {most}"));
    }

    /// How often the relay refused, by reason.
    pub(crate) async fn refusals(&self) -> BTreeMap<String, u64> {
        let text = self.get("metrics").await.text();
        let counted = text.lines().filter_map(|line| line.strip_prefix("lichen_refused_total{reason=\""));
        let pairs = counted.map(|line| line.split_once("\"} ").unwrap());
        pairs.map(|(reason, count)| (reason.to_owned(), count.parse().unwrap())).collect()
    }
}

fn metric_in(answer: &Response, name: &str) -> u64 {
    let value = metrics::read(&answer.text()).get(name).copied().unwrap_or_default();
    // Whole numbers, which a float holds exactly.
    format!("{value:.0}").parse().unwrap()
}

fn decode_json<T: serde::de::DeserializeOwned>(response: &Response) -> T {
    assert_eq!(response.status, 200);
    serde_json::from_slice(&response.body).unwrap()
}

async fn spawn(data: &Path, listen: &str, options: &[String], wrapper: &[String]) -> (Child, String) {
    let mut words = wrapper.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_lichen-relay")]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args(["--listen", listen, "--log-level", "warn", "--data"]).arg(data).args(options);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LICHEN_")) {
        command.env_remove(name);
    }
    let log = std::fs::File::options().create(true).append(true).open(log_file(data)).unwrap();
    let mut child = command.stderr(log).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().expect("the relay ended");
    (child, url)
}

fn log_file(data: &Path) -> std::path::PathBuf {
    data.join("stderr.log")
}
