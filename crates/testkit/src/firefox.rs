//! A Firefox of our own: headless, with a fresh profile, driven by WebDriver BiDi, which it speaks itself.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

use crate::process::{self, Guarded};
use crate::{Error, TabState, wait};

/// Names under which distributions install Firefox.
const NAMES: [&str; 2] = ["firefox-esr", "firefox"];
/// How long it may take to come up, and to answer one command.
const LIMIT: Duration = Duration::from_secs(60);
/// What it writes on its standard error once it can be driven.
const LISTENS: &str = "WebDriver BiDi listening on ";
/// Loopback addresses count for peer connections, and are told as they are: a test's two browsers share one machine
/// that may have no other network and nobody who resolves mDNS names. The rest keeps it from calling home.
const PREFERENCES: &str = r#"
user_pref("media.peerconnection.ice.loopback", true);
user_pref("media.peerconnection.ice.obfuscate_host_addresses", false);
user_pref("app.update.enabled", false);
user_pref("app.normandy.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "data:,");
user_pref("toolkit.telemetry.enabled", false);
"#;

/// A running Firefox; dropping it ends it and removes its profile.
#[derive(Clone, Debug)]
pub struct Firefox(Arc<Running>);

#[derive(Debug)]
struct Running {
    connection: Mutex<Connection>,
    version: String,
    // Dropped in this order: first the process, then the folder it writes to.
    _process: Mutex<Guarded>,
    _folder: TempDir,
}

#[derive(Debug)]
struct Connection {
    socket: WebSocket<MaybeTlsStream<TcpStream>>,
    next_id: u64,
}

/// One window of a Firefox.
#[derive(Clone, Debug)]
pub struct FirefoxPage {
    firefox: Firefox,
    context: String,
}

impl Firefox {
    /// Where Firefox is: `LICHEN_FIREFOX`, else the first of the usual names on `PATH`.
    pub fn find() -> Option<PathBuf> {
        match std::env::var_os("LICHEN_FIREFOX") {
            Some(path) => Some(path.into()),
            None => NAMES.iter().find_map(|name| process::find_program(name)),
        }
    }

    /// Starts a headless Firefox with an empty profile.
    ///
    /// # Errors
    /// When there is no Firefox or it does not come up.
    pub fn launch() -> Result<Self, Error> {
        let program = Self::find().ok_or_else(|| Error::NoFirefox(NAMES.join(", ")))?;
        let folder = tempfile::Builder::new()
            .prefix("lichen-firefox-")
            .tempdir()
            .map_err(Error::io("making a folder for the browser's profile"))?;
        let profile = folder.path().join("profile");
        fs::create_dir(&profile).map_err(Error::io("making the browser's profile"))?;
        fs::write(profile.join("user.js"), PREFERENCES)
            .map_err(Error::io("writing the browser's preferences"))?;
        let log = folder.path().join("log");
        let mut command = process::command(&program);
        command
            .args(["--headless", "--no-remote", "--remote-debugging-port", "0", "--profile"])
            .arg(&profile);
        command.env("HOME", folder.path()).env("MOZ_CRASHREPORTER_DISABLE", "1");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(process::log_file(&log)?);
        let start = |source| Error::Start { program: program.display().to_string(), source };
        let process = Guarded::spawn(&mut command).map_err(start)?;
        let address = wait::until("Firefox to listen", LIMIT, || {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let address = said.lines().find_map(|line| Some(line.split_once(LISTENS)?.1.trim().to_owned()));
            Ok(address.ok_or(said))
        })?;
        let (socket, _answer) = tungstenite::connect(format!("{address}/session"))
            .map_err(|error| Error::BrowserEnded(error.to_string()))?;
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            stream.set_read_timeout(Some(LIMIT)).map_err(Error::io("limiting the wait for an answer"))?;
        }
        let mut connection = Connection { socket, next_id: 1 };
        let session = connection.call("session.new", &json!({ "capabilities": {} }))?;
        let version = text(&session, "/capabilities/browserVersion");
        Ok(Self(Arc::new(Running {
            connection: Mutex::new(connection),
            version: format!("Firefox/{version}"),
            _process: Mutex::new(process),
            _folder: folder,
        })))
    }

    /// The product and version, such as `Firefox/140.0`.
    pub fn version(&self) -> &str {
        &self.0.version
    }

    /// Opens a window of its own on `about:blank`.
    ///
    /// # Errors
    /// When the browser opens no window, or has ended.
    pub fn new_page(&self) -> Result<FirefoxPage, Error> {
        let answer = self.call("browsingContext.create", &json!({ "type": "window" }))?;
        Ok(FirefoxPage { firefox: self.clone(), context: text(&answer, "/context") })
    }

    fn call(&self, method: &str, params: &Value) -> Result<Value, Error> {
        self.0.connection.lock().unwrap_or_else(PoisonError::into_inner).call(method, params)
    }
}

impl FirefoxPage {
    /// Goes to an address and waits until the document has loaded.
    ///
    /// # Errors
    /// When the address cannot be loaded.
    pub fn navigate(&self, url: &str) -> Result<(), Error> {
        let params = json!({ "context": self.context, "url": url, "wait": "complete" });
        self.firefox.call("browsingContext.navigate", &params).map(drop)
    }

    /// The value of a JavaScript expression; a promise is waited for. It crosses as JSON.
    ///
    /// # Errors
    /// [`Error::Script`] when it throws.
    pub fn evaluate(&self, expression: &str) -> Result<Value, Error> {
        let expression =
            format!("Promise.resolve({expression}).then(value => JSON.stringify(value ?? null))");
        let params = json!({ "expression": expression, "awaitPromise": true,
            "target": { "context": self.context } });
        let answer = self.firefox.call("script.evaluate", &params)?;
        let result = answer.pointer("/result/value").and_then(Value::as_str);
        result
            .and_then(|json| serde_json::from_str(json).ok())
            .ok_or_else(|| Error::Script(text(&answer, "/exceptionDetails/text")))
    }

    /// What the page says about itself on its `<main>` element; `None` before the page is drawn.
    ///
    /// # Errors
    /// What [`FirefoxPage::evaluate`] fails with.
    pub fn state(&self) -> Result<Option<TabState>, Error> {
        Ok(TabState::from_json(&self.evaluate(TabState::EXPRESSION)?))
    }

    /// Waits until the page's state fulfils a condition and returns that state.
    ///
    /// # Errors
    /// [`Error::Deadline`] with the last state when `limit` passes; what [`FirefoxPage::evaluate`] fails with.
    pub fn wait_for_state(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&TabState) -> bool,
    ) -> Result<TabState, Error> {
        TabState::wait(what, limit, || self.state(), holds)
    }

    /// Clicks the button of that accessible name as a person does: with the mouse, in the middle of it.
    ///
    /// # Errors
    /// [`Error::Deadline`] when no such button is there within `limit`.
    pub fn click(&self, name: &str, limit: Duration) -> Result<(), Error> {
        let locator = json!({ "type": "accessibility", "value": { "name": name, "role": "button" } });
        let locate = json!({ "context": self.context, "locator": locator, "maxNodeCount": 1 });
        let node = wait::until(&format!("a button named {name:?}"), limit, || {
            let answer = self.firefox.call("browsingContext.locateNodes", &locate)?;
            Ok(match answer.pointer("/nodes/0/sharedId") {
                Some(node) => Ok(node.clone()),
                None => Err(answer),
            })
        })?;
        let element = json!({ "type": "element", "element": { "sharedId": node } });
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": [
            { "type": "pointerMove", "x": 0, "y": 0, "origin": element },
            { "type": "pointerDown", "button": 0 },
            { "type": "pointerUp", "button": 0 },
        ] });
        let params = json!({ "context": self.context, "actions": [mouse] });
        self.firefox.call("input.performActions", &params).map(drop)
    }

    /// Closes the window without asking it.
    ///
    /// # Errors
    /// When the window is gone already, or the browser has ended.
    pub fn close(self) -> Result<(), Error> {
        self.firefox.call("browsingContext.close", &json!({ "context": self.context })).map(drop)
    }
}

impl Connection {
    /// Sends a command and waits for its result; events that come meanwhile are not looked at.
    fn call(&mut self, method: &str, params: &Value) -> Result<Value, Error> {
        let ended =
            |error: tungstenite::Error| Error::BrowserEnded(format!("while {method} was under way: {error}"));
        let id = self.next_id;
        self.next_id += 1;
        let command = json!({ "id": id, "method": method, "params": params }).to_string();
        self.socket.send(Message::text(command)).map_err(ended)?;
        loop {
            let Message::Text(said) = self.socket.read().map_err(ended)? else { continue };
            let Ok(mut answer) = serde_json::from_str::<Value>(&said) else { continue };
            if answer.get("id").and_then(Value::as_u64) != Some(id) {
                continue;
            }
            if answer.get("type").and_then(Value::as_str) == Some("error") {
                let message = format!("{}: {}", text(&answer, "/error"), text(&answer, "/message"));
                return Err(Error::Refused { method: method.into(), message });
            }
            return Ok(answer.get_mut("result").map(Value::take).unwrap_or_default());
        }
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
