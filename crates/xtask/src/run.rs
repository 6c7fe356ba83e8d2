//! Running other programs, with progress, a time limit, and their words when they fail.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lichen_testkit::process::Guarded;

use crate::say::Progress;

/// Lines shown of a program that failed.
const SHOWN: usize = 300;
const REDRAW: Duration = Duration::from_millis(200);

/// Runs a program quietly: its last line is shown as progress, its last words when it fails.
pub(crate) fn quietly(what: &str, usually: &str, command: &mut Command) -> Result<()> {
    let mut progress = Progress::start(what, usually);
    let mut last: VecDeque<String> = VecDeque::new();
    let mut now = "starting".to_owned();
    let status = watch(command, Duration::MAX, |line| {
        if let Some(line) = line {
            if !line.trim().is_empty() {
                now = line.trim().to_owned();
            }
            last.push_back(line);
            if last.len() > SHOWN {
                last.pop_front();
            }
        }
        progress.at(&now);
    })?;
    match status {
        Some(status) if status.success() => {
            progress.done();
            Ok(())
        }
        _ => {
            progress.clear();
            // What was interrupted has nothing to explain.
            for line in last.iter().filter(|_| !crate::is_interrupted()) {
                eprintln!("  | {line}");
            }
            bail!("{what}: failed")
        }
    }
}

/// Runs a program and hands each of its output lines to `take`, which may print it.
pub(crate) fn each_line(command: &mut Command, mut take: impl FnMut(&str)) -> Result<ExitStatus> {
    let status = watch(command, Duration::MAX, |line| {
        if let Some(line) = line {
            take(&line);
        }
    })?;
    status.context("the program was still running")
}

/// Runs a program for at most `limit`; `false` when it failed or took longer.
pub(crate) fn within(limit: Duration, command: &mut Command) -> Result<bool> {
    Ok(watch(command, limit, |_| ())?.is_some_and(|status| status.success()))
}

/// The standard output of a program that succeeds.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        bail!("{program} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("reading the output of {program}"))
}

/// Runs a program and gives each line, and nothing now and then while it is silent, to `look`.
fn watch(
    command: &mut Command,
    limit: Duration,
    mut look: impl FnMut(Option<String>),
) -> Result<Option<ExitStatus>> {
    let program = format!("{:?}", command.get_program());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let start = Instant::now();
    let mut child = Guarded::spawn(command).with_context(|| format!("starting {program}"))?;
    let (sender, lines) = mpsc::channel();
    read_lines(child.child().stdout.take(), sender.clone());
    read_lines(child.child().stderr.take(), sender);
    loop {
        match lines.recv_timeout(REDRAW) {
            Ok(line) => look(Some(line)),
            Err(RecvTimeoutError::Timeout) => look(None),
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if start.elapsed() > limit {
            child.kill();
            return Ok(None);
        }
    }
    child.wait().map(Some).with_context(|| format!("waiting for {program}"))
}

fn read_lines(stream: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while matches!(stream.read_until(b'\n', &mut bytes), Ok(length) if length > 0) {
            let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            bytes.clear();
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}
