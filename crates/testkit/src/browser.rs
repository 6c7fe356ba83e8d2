//! A Chromium of our own: headless, with a fresh profile, driven through its debugging pipe.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Error;
use crate::cdp::Connection;
use crate::process::{self, Guarded};

/// Names under which distributions install Chromium.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];
/// The shell moves its own pipe to the file descriptors 3 and 4, where Chromium looks for it.
const ON_PIPE: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>&2"#;
const FLAGS: [&str; 17] = [
    "--remote-debugging-pipe",
    "--headless",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-dev-shm-usage",
    "--disable-search-engine-choice-screen",
    "--disable-features=Translate,OptimizationHints,MediaRouter",
    // Windows of a headless browser are all in the background as far as the throttling is concerned.
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
];

/// How to start a browser.
#[derive(Clone, Debug, Default)]
pub struct BrowserOptions {
    /// Further command line flags.
    pub flags: Vec<String>,
}

/// A running Chromium; dropping it ends it and removes its profile.
#[derive(Clone, Debug)]
pub struct Browser(Arc<Running>);

#[derive(Debug)]
struct Running {
    connection: Connection,
    version: String,
    // Dropped in this order: first the process, then the folder it writes to.
    process: Mutex<Guarded>,
    folder: TempDir,
}

impl Browser {
    /// Where Chromium is: `LICHEN_CHROMIUM`, else the first of the usual names on `PATH`.
    pub fn find() -> Option<PathBuf> {
        match std::env::var_os("LICHEN_CHROMIUM") {
            Some(path) => Some(path.into()),
            None => NAMES.iter().find_map(|name| process::find_program(name)),
        }
    }

    /// Starts a headless Chromium with WebGPU on a software adapter and an empty profile.
    ///
    /// # Errors
    /// When there is no Chromium or it does not come up.
    pub fn launch(options: &BrowserOptions) -> Result<Self, Error> {
        let program = Self::find().ok_or_else(|| Error::NoBrowser(NAMES.join(", ")))?;
        let folder = tempfile::Builder::new()
            .prefix("lichen-chromium-")
            .tempdir()
            .map_err(Error::io("making a folder for the browser's profile"))?;
        let log = folder.path().join("log");
        let mut command = process::command("/bin/sh");
        command.args(["-c", ON_PIPE]).arg(&program).args(FLAGS).args(&options.flags);
        if rustix::process::geteuid().is_root() {
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(process::log_file(&log)?);
        let start = |source| Error::Start { program: program.display().to_string(), source };
        let mut process = Guarded::spawn(&mut command).map_err(start)?;
        let pipe = process.child().stdin.take().zip(process.child().stdout.take());
        let (writer, reader) = pipe.ok_or_else(|| Error::BrowserEnded("no pipe".into()))?;
        let connection = Connection::new(writer, reader);
        let answer = connection.call(None, "Browser.getVersion", json!({})).map_err(|error| match error {
            Error::BrowserEnded(_) => Error::BrowserEnded(process::tail(&log, 20)),
            other => other,
        })?;
        let version = answer.get("product").and_then(Value::as_str).unwrap_or("unknown").to_owned();
        Ok(Self(Arc::new(Running { connection, version, process: Mutex::new(process), folder })))
    }

    /// The product and version, such as `Chrome/156.0.8078.79`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// A new profile in this browser: its storage and keys are its own.
    ///
    /// # Errors
    /// When the browser makes no further profile, or has ended.
    pub fn new_context(&self) -> Result<Context, Error> {
        let answer = self.0.connection.call(
            None,
            "Target.createBrowserContext",
            json!({ "disposeOnDetach": true }),
        )?;
        let id = answer.get("browserContextId").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Context { browser: self.clone(), id })
    }

    /// The id of its first process, from which the others descend.
    pub fn id(&self) -> u32 {
        self.0.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner).id()
    }

    /// Ends the browser at once, as a crash would.
    pub fn kill(&self) {
        self.0.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner).kill();
    }

    /// The end of what the browser wrote on its standard error.
    pub fn log(&self) -> String {
        process::tail(&self.0.folder.path().join("log"), 40)
    }

    /// The folder of the browser's profile.
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }
}

/// One profile of a browser.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) browser: Browser,
    pub(crate) id: String,
}

impl Context {
    /// Closes all pages of this profile and forgets its storage.
    ///
    /// # Errors
    /// When the browser has ended before.
    pub fn close(self) -> Result<(), Error> {
        let params = json!({ "browserContextId": self.id });
        self.browser.connection().call(None, "Target.disposeBrowserContext", params).map(drop)
    }
}
