//! A real relay process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::process::{self, Guarded};
use crate::{Error, http, metrics, wait};

/// How long a relay may take until it is ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long one request to it may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// How to start a relay.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// The program.
    pub program: PathBuf,
    /// The port on the loopback address.
    pub port: u16,
    /// The data folder.
    pub data: PathBuf,
    /// A folder with the page, instead of the embedded one.
    pub page: Option<PathBuf>,
    /// A campaign's folder, instead of the embedded one.
    pub campaign: Option<PathBuf>,
    /// Where the relay's log goes; `None`: to our own standard error.
    pub log: Option<PathBuf>,
}

/// A running relay; dropping it kills it.
#[derive(Debug)]
pub struct RelayProcess {
    options: RelayOptions,
    arguments: Vec<String>,
    process: Guarded,
}

impl RelayProcess {
    /// Starts a relay and waits until it says that it is ready.
    ///
    /// # Errors
    /// When the program cannot be started, ends, or is not ready in time.
    pub fn start(options: RelayOptions) -> Result<Self, Error> {
        Self::start_with(options, Vec::new())
    }

    /// Starts a relay with further arguments and waits until it says that it is ready.
    ///
    /// # Errors
    /// As [`RelayProcess::start`].
    pub fn start_with(options: RelayOptions, arguments: Vec<String>) -> Result<Self, Error> {
        let process = spawn(&options, &arguments)?;
        let mut relay = Self { options, arguments, process };
        relay.wait_until_ready()?;
        Ok(relay)
    }

    /// The address of the page.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.options.port)
    }

    /// The options it was started with.
    pub fn options(&self) -> &RelayOptions {
        &self.options
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Kills it with SIGKILL: nothing is finished, nothing is flushed.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, on the same port and data, and waits until it is ready.
    ///
    /// # Errors
    /// As [`RelayProcess::start`].
    pub fn restart(&mut self) -> Result<(), Error> {
        self.process.kill();
        self.process = spawn(&self.options, &self.arguments)?;
        self.wait_until_ready()
    }

    /// Asks it to end with SIGTERM; its exit status and how long it took, `None` if `limit` passed.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn terminate(&mut self, limit: Duration) -> Result<Option<(ExitStatus, Duration)>, Error> {
        let start = Instant::now();
        let status = self.process.terminate(limit).map_err(Error::io("waiting for the relay"))?;
        Ok(status.map(|status| (status, start.elapsed())))
    }

    /// The exit status, if it has ended.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>, Error> {
        self.process.try_wait().map_err(Error::io("waiting for the relay"))
    }

    /// Asks it for a path, without the leading slash.
    ///
    /// # Errors
    /// As [`http::get`].
    pub fn get(&self, path: &str) -> Result<http::Response, Error> {
        http::get(&format!("{}{path}", self.url()), &[], REQUEST_LIMIT)
    }

    /// Its metrics, as [`metrics::read`] has them.
    ///
    /// # Errors
    /// As [`http::get`].
    pub fn metrics(&self) -> Result<BTreeMap<String, f64>, Error> {
        Ok(metrics::read(&self.get("metrics")?.text()))
    }

    /// The end of its log, if it writes to a file.
    pub fn log(&self) -> String {
        self.options.log.as_deref().map(|file| process::tail(file, 60)).unwrap_or_default()
    }

    fn wait_until_ready(&mut self) -> Result<(), Error> {
        let url = format!("{}health/ready", self.url());
        wait::until("the relay to be ready", START_LIMIT, || {
            if let Some(status) = self.process.try_wait().map_err(Error::io("waiting for the relay"))? {
                let log = self.options.log.as_deref().map(|file| process::tail(file, 30)).unwrap_or_default();
                return Err(Error::RelayEnded { status: status.to_string(), log });
            }
            Ok(match http::get(&url, &[], REQUEST_LIMIT) {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(format!("status {}: {}", answer.status, answer.text())),
                Err(error) => Err(error.to_string()),
            })
        })
    }
}

fn spawn(options: &RelayOptions, arguments: &[String]) -> Result<Guarded, Error> {
    if !options.program.is_file() {
        let hint = "build it with `cargo build --release --package lichen-relay`";
        return Err(Error::Missing { what: "the relay", path: options.program.clone(), hint });
    }
    let mut command = process::command(&options.program);
    command.arg("--listen").arg(format!("127.0.0.1:{}", options.port)).arg("--data").arg(&options.data);
    option(&mut command, "--page", options.page.as_deref());
    option(&mut command, "--campaign", options.campaign.as_deref());
    command.args(arguments);
    // A developer's own LICHEN_* settings must not change what a test runs.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LICHEN_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    if let Some(log) = &options.log {
        let file = process::log_file(log)?;
        let again = file.try_clone().map_err(Error::io("opening the relay's log"))?;
        command.stdout(file).stderr(again);
    }
    let start = |source| Error::Start { program: options.program.display().to_string(), source };
    Guarded::spawn(&mut command).map_err(start)
}

fn option(command: &mut std::process::Command, name: &str, value: Option<&Path>) {
    if let Some(value) = value {
        command.arg(name).arg(value);
    }
}
