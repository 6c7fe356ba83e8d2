//! What can go wrong when tests drive a browser or a relay.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a browser or a relay could not be driven.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program's name or path.
        program: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// No Chromium is installed.
    #[error("no Chromium found (looked for {0}); install the package `chromium` or set LICHEN_CHROMIUM")]
    NoBrowser(String),
    /// No Firefox is installed.
    #[error("no Firefox found (looked for {0}); install the package `firefox-esr` or set LICHEN_FIREFOX")]
    NoFirefox(String),
    /// The text to be replaced does not occur in the manifest.
    #[error("the shipped manifest does not say `{0}`")]
    Unchanged(String),
    /// A file or socket failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The browser went away.
    #[error("the browser has ended: {0}")]
    BrowserEnded(String),
    /// The browser refused a DevTools command.
    #[error("the browser refused {method}: {message}")]
    Refused {
        /// The DevTools method.
        method: String,
        /// The browser's words.
        message: String,
    },
    /// A script thrown into the page threw.
    #[error("script failed in the page: {0}")]
    Script(String),
    /// A tab's renderer crashed.
    #[error("the tab crashed")]
    Crashed,
    /// A condition did not come true in time.
    #[error("waited {waited:.1?} for {what}; last seen: {last}")]
    Deadline {
        /// The condition, in words.
        what: String,
        /// How long it was waited for.
        waited: Duration,
        /// The state at the last look.
        last: String,
    },
    /// The relay ended before it was ready, or when it should have been running.
    #[error("the relay ended ({status}); its last lines:\n{log}")]
    RelayEnded {
        /// Its exit status.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// An HTTP answer that cannot be read or is not what was asked for.
    #[error("{url}: {what}")]
    Http {
        /// The address asked.
        url: String,
        /// What is wrong.
        what: String,
    },
    /// A file that should be there is not.
    #[error("{what} is not at {}; {hint}", path.display())]
    Missing {
        /// What should be there.
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
}

impl Error {
    /// An I/O error with what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
