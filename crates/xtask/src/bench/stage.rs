//! What the benchmarks of open pages share: a relay with the page to measure, and threads counted by what they do.

use std::path::PathBuf;

use anyhow::{Result, bail};
use lexopt::{Arg, ValueExt as _};
use lichen_testkit::usage::Thread;
use lichen_testkit::{RelayOptions, RelayProcess, http};

use crate::setup::{self, Toolchain};
use crate::{build, page, workspace};

/// What threads are counted as, and whether they are page and compositor.
pub(super) const PARTS: [(&str, bool); 7] = [
    ("page", true),
    ("compositor", true),
    ("graphics process", true),
    ("training worker", false),
    ("helpers of both", false),
    ("network", false),
    ("rest of the browser", false),
];

/// What these benchmarks are asked for.
pub(super) struct Options {
    /// How long each state is measured.
    pub(super) seconds: u64,
    /// Whether to print a JSON object.
    pub(super) json: bool,
    pub(super) given: Given,
}

impl Options {
    /// Reads the options that they share, and has `other` take any of one's own; whether it knows the option.
    pub(super) fn parse(
        mut arguments: lexopt::Parser,
        mut other: impl FnMut(&str, &mut lexopt::Parser) -> Result<bool>,
    ) -> Result<Self> {
        let mut options = Self { seconds: 10, json: false, given: Given::default() };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("seconds") => options.seconds = arguments.value()?.parse::<u64>()?.max(1),
                Arg::Long("json") => options.json = true,
                Arg::Long(option) => {
                    let option = option.to_owned();
                    if !options.given.take(&option, &mut arguments)? && !other(&option, &mut arguments)? {
                        bail!("there is no option --{option}");
                    }
                }
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// What is measured instead of what this repository builds.
#[derive(Default)]
pub(super) struct Given {
    dist: Option<PathBuf>,
    relay: Option<PathBuf>,
}

impl Given {
    /// Takes `--dist FOLDER` and `--relay PROGRAM`; whether the option is one of the two.
    pub(super) fn take(&mut self, option: &str, arguments: &mut lexopt::Parser) -> Result<bool> {
        match option {
            "dist" => self.dist = Some(PathBuf::from(arguments.value()?.string()?)),
            "relay" => self.relay = Some(PathBuf::from(arguments.value()?.string()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Builds what is not given.
    pub(super) fn complete(self, toolchain: &Toolchain) -> Result<Stage> {
        setup::browser()?;
        let dist = match self.dist {
            Some(dist) => dist,
            None => page::build(toolchain, page::Threads::Offered)?,
        };
        let relay = match self.relay {
            Some(relay) => relay,
            None => build::programs(toolchain, &dist)?.relay,
        };
        Ok(Stage { relay, dist })
    }
}

/// A relay's program and the page that it serves.
pub(super) struct Stage {
    relay: PathBuf,
    dist: PathBuf,
}

impl Stage {
    /// Starts the relay under an empty folder of this name, with the embedded campaign or that of another folder.
    pub(super) fn start(&self, name: &str, campaign: Option<PathBuf>) -> Result<RelayProcess> {
        let data = workspace::empty_folder(name)?;
        Ok(RelayProcess::start(RelayOptions {
            program: self.relay.clone(),
            port: http::free_port()?,
            log: Some(data.join("relay.log")),
            data,
            page: Some(self.dist.clone()),
            campaign,
        })?)
    }
}

/// Time at work in each of [`PARTS`], in seconds.
pub(super) fn busy(used: &[Thread]) -> [f64; PARTS.len()] {
    let mut busy = [0.0; PARTS.len()];
    for thread in used {
        if let Some(busy) = busy.get_mut(part(thread)) {
            *busy += thread.busy.as_secs_f64();
        }
    }
    busy
}

/// The place in [`PARTS`] that a thread is counted in.
fn part(thread: &Thread) -> usize {
    let command = &thread.command;
    if command.contains("--type=gpu-process") {
        return 2;
    }
    if command.contains("network.mojom") {
        return 5;
    }
    if !command.contains("--type=renderer") {
        return 6;
    }
    match thread.name.as_str() {
        _ if thread.is_main => 0,
        name if name.starts_with("DedicatedWorker") => 3,
        name if name.starts_with("Compositor") => 1,
        // What compiles and collects garbage does so for the page and for the worker.
        name if name.starts_with("ThreadPool") => 4,
        _ => 0,
    }
}

/// A figure with two decimals.
pub(super) fn rounded(figure: f64) -> f64 {
    (figure * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn thread(command: &str, name: &str, is_main: bool) -> Thread {
        Thread { command: command.into(), name: name.into(), is_main, busy: Duration::from_millis(50) }
    }

    #[test]
    fn each_thread_counts_where_it_works() {
        let used = [
            thread("chromium --type=renderer --lang=en", "chromium", true),
            thread("chromium --type=renderer --lang=en", "Compositor", false),
            thread("chromium --type=renderer --lang=en", "DedicatedWorker", false),
            thread("chromium --type=renderer --lang=en", "ThreadPoolForeg", false),
            thread("chromium --type=gpu-process", "VizCompositorTh", false),
            thread(
                "chromium --type=utility --utility-sub-type=network.mojom.NetworkService",
                "chromium",
                true,
            ),
            thread("chromium --headless", "chromium", true),
        ];
        assert_eq!(busy(&used), [0.05; PARTS.len()]);
    }
}
