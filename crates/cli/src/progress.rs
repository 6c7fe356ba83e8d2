//! One line on standard error that says how far an audit is.

use std::io::Write;
use std::time::{Duration, Instant};

use lichen_audit::Progress;

/// A line that is rewritten on a terminal, and written anew every few seconds elsewhere.
pub(crate) struct ProgressLine {
    is_terminal: bool,
    shown: Option<Instant>,
}

impl ProgressLine {
    pub(crate) fn new(is_terminal: bool) -> Self {
        Self { is_terminal, shown: None }
    }

    pub(crate) fn show(&mut self, progress: Progress) {
        let pause = Duration::from_millis(if self.is_terminal { 50 } else { 5_000 });
        let is_due = self.shown.is_none_or(|shown| shown.elapsed() >= pause);
        if !is_due && progress != Progress::Evaluating {
            return;
        }
        self.shown = Some(Instant::now());
        let text = match progress {
            Progress::Records(done, total) => format!("checking records: {done} of {total}"),
            Progress::Rounds(done, total) => format!("recomputing rounds: {done} of {total}"),
            Progress::Trainings(done, total) => format!("repeating trainings: {done} of {total}"),
            Progress::Evaluating => "evaluating the last checkpoint".to_owned(),
        };
        let mut out = std::io::stderr().lock();
        // Nobody needs the progress if standard error is closed.
        let _written = if self.is_terminal {
            write!(out, "\r\x1b[2K{text}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{text}")
        };
    }

    /// Clears the line, so that what follows stands alone.
    pub(crate) fn end(&mut self) {
        if self.is_terminal && self.shown.is_some() {
            eprint!("\r\x1b[2K");
        }
    }
}
