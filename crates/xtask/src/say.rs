//! What is told to the person at the terminal: all of it on standard error.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Without a terminal, a line about work in progress comes this often.
const PLAIN_EVERY: Duration = Duration::from_secs(15);

/// Whether standard error is a terminal whose lines can be drawn over.
pub(crate) fn is_terminal() -> bool {
    stderr().is_terminal()
}

/// One line of what is being done or was found.
pub(crate) fn note(text: &str) {
    eprintln!("{text}");
}

/// An error with all its causes.
pub(crate) fn error(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}

/// A step that takes a while, with the time it has taken so far.
pub(crate) struct Progress {
    start: Instant,
    last: Instant,
    drawn: bool,
}

impl Progress {
    /// Says that a step begins, and how long it usually takes where that is long.
    pub(crate) fn start(what: &str, usually: &str) -> Self {
        let usually = if usually.is_empty() { String::new() } else { format!(" (usually {usually})") };
        eprintln!("{what}{usually}");
        Self { start: Instant::now(), last: Instant::now(), drawn: false }
    }

    /// Shows what the step is at.
    pub(crate) fn at(&mut self, detail: &str) {
        let seconds = self.start.elapsed().as_secs();
        if is_terminal() {
            let text: String = format!("  {seconds:>3} s  {detail}").chars().take(100).collect();
            eprint!("\r\x1b[2K{text}");
            self.drawn = true;
            // Drawing is a courtesy: a closed terminal is no reason to stop.
            let _drawn = stderr().flush();
        } else if self.last.elapsed() >= PLAIN_EVERY {
            self.last = Instant::now();
            eprintln!("  {seconds:>3} s  {detail}");
        }
    }

    /// Says that the step is done, if it took long enough to wonder.
    pub(crate) fn done(mut self) {
        self.clear();
        if self.start.elapsed() >= Duration::from_secs(1) {
            eprintln!("  done in {:.1} s", self.start.elapsed().as_secs_f64());
        }
    }

    /// Removes the drawn line, so that something else can be written.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            eprint!("\r\x1b[2K");
        }
    }
}
