//! The browser window in which the engines run, each in a worker of its own.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lichen_testkit::process::Guarded;
use lichen_testkit::{Browser, BrowserOptions, Page, http, wait};
use serde_json::Value;

use super::bundle;

/// The longest that anything but measuring takes.
const LIMIT: Duration = Duration::from_secs(30);

/// The page, its browser and its server, all of which end with this.
pub(super) struct Window {
    page: Page,
    browser: Browser,
    _server: Guarded,
}

impl Window {
    /// Serves a folder on the loopback address and opens its page.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let port = http::free_port()?;
        let server = serve(folder, port)?;
        let browser = Browser::launch(&BrowserOptions::default())?;
        let page = browser.new_context()?.new_page()?;
        page.navigate(&format!("http://127.0.0.1:{port}/index.html"))?;
        page.wait_for("the page's script", "globalThis.bench", LIMIT)?;
        Ok(Self { page, browser, _server: server })
    }

    /// The browser's product and version.
    pub(super) fn browser(&self) -> &str {
        self.browser.version()
    }

    /// Starts a worker that runs `script` and waits for its first step.
    pub(super) fn start(&self, key: &str, script: &str, order: &Value, limit: Duration) -> Result<Value> {
        let [key, script] = [key, script].map(|text| Value::from(text).to_string());
        self.call(&format!("bench.open({key}, {script}, {order})"), limit)
    }

    /// Lets a worker do so much more.
    pub(super) fn run(&self, key: &str, count: u32, limit: Duration) -> Result<Value> {
        self.call(&format!("bench.run({}, {count})", Value::from(key)), limit)
    }

    /// Ends a worker.
    pub(super) fn close(&self, key: &str) -> Result<()> {
        self.page.evaluate(&format!("bench.close({})", Value::from(key)))?;
        self.page.clear_events();
        Ok(())
    }

    fn call(&self, expression: &str, limit: Duration) -> Result<Value> {
        let call = self.page.evaluate(expression)?;
        let outcome = self.page.wait_for("the engine's answer", &format!("bench.take({call})"), limit);
        let mut outcome = match outcome {
            Ok(outcome) => outcome,
            Err(lichen_testkit::Error::Deadline { .. }) => bail!("took more than {} s", limit.as_secs()),
            Err(error) => return Err(error.into()),
        };
        if let Some(error) = outcome.get("error").and_then(Value::as_str) {
            bail!("{}", error.lines().next().unwrap_or_default());
        }
        outcome.get_mut("value").map(Value::take).context("the page gave no value")
    }
}

/// esbuild's own server; it ends when its standard input does.
fn serve(folder: &Path, port: u16) -> Result<Guarded> {
    let mut esbuild = bundle::esbuild();
    esbuild.arg(format!("--servedir={}", folder.display())).arg(format!("--serve=127.0.0.1:{port}"));
    esbuild.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = Guarded::spawn(&mut esbuild).context("starting the page's server")?;
    let url = format!("http://127.0.0.1:{port}/index.html");
    wait::until("the page's server", LIMIT, || {
        Ok(match http::get(&url, &[], LIMIT) {
            Ok(response) if response.status == 200 => Ok(()),
            Ok(response) => Err(response.status.to_string()),
            Err(error) => Err(error.to_string()),
        })
    })?;
    Ok(server)
}
