//! One browser tab, driven over the DevTools protocol.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::browser::{Browser, Context};
use crate::cdp::{self, Event};
use crate::{Error, TabState, wait};

/// Collects violations of the content security policy, which DevTools reports only in part.
const WATCH_CSP: &str = r#"
globalThis.__cspViolations = [];
addEventListener("securitypolicyviolation", e =>
    globalThis.__cspViolations.push(`${e.violatedDirective}: ${e.blockedURI || e.sample}`));
"#;

/// One tab, in a window of its own.
#[derive(Clone, Debug)]
pub struct Page {
    browser: Browser,
    target: String,
    session: String,
}

/// One line on the console of a page or of one of its workers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleLine {
    /// `error`, `warning`, `info`, ...
    pub level: String,
    /// The text, as far as DevTools can give it.
    pub text: String,
    /// Whether a worker wrote it.
    pub from_worker: bool,
}

/// A request or a WebSocket that a page or one of its workers made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The address.
    pub url: String,
    /// Whether this is a WebSocket.
    pub websocket: bool,
    /// The method, such as `GET`; empty for a WebSocket.
    pub method: String,
}

/// Where in the window the middle of an element is, and from then on the element notes whether a click reaches it;
/// what is in the way where something is.
const AIM: &str = "function() {
    const box = this.getBoundingClientRect();
    const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
    const hit = document.elementFromPoint(x, y);
    if (!this.contains(hit)) return hit ? hit.outerHTML.slice(0, 80) : 'nothing';
    this.tookClick = false;
    this.addEventListener('click', () => { this.tookClick = true }, { once: true, capture: true });
    return [x, y];
}";

impl Context {
    /// Opens a window of its own on `about:blank`, watched from its first request on.
    ///
    /// # Errors
    /// When the browser opens no window, or cannot watch it.
    pub fn new_page(&self) -> Result<Page, Error> {
        Page::open(self.browser.clone(), &self.id)
    }
}

impl Page {
    pub(crate) fn open(browser: Browser, context: &str) -> Result<Self, Error> {
        let connection = browser.connection();
        let params = json!({ "url": "about:blank", "browserContextId": context, "newWindow": true,
            "width": 1280, "height": 900 });
        let answer = connection.call(None, "Target.createTarget", params)?;
        let target = text(&answer, "targetId");
        let params = json!({ "targetId": target, "flatten": true });
        let session = text(&connection.call(None, "Target.attachToTarget", params)?, "sessionId");
        let page = Self { browser, target, session };
        page.call("Target.setAutoAttach", cdp::auto_attach())?;
        for domain in ["Page", "Runtime", "Log", "Network", "Inspector", "DOM"] {
            page.call(&format!("{domain}.enable"), json!({}))?;
        }
        page.run_on_load(WATCH_CSP)?;
        Ok(page)
    }

    /// Runs a script in every document that this tab loads from now on, before the document's own scripts.
    ///
    /// # Errors
    /// When the tab is gone.
    pub fn run_on_load(&self, script: &str) -> Result<(), Error> {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).map(drop)
    }

    /// Lets scripts that a test runs in the page do what the page's content security policy forbids.
    ///
    /// # Errors
    /// When the tab is gone, or the browser keeps to the policy.
    pub fn bypass_csp(&self) -> Result<(), Error> {
        self.call("Page.setBypassCSP", json!({ "enabled": true })).map(drop)
    }

    /// Goes to an address and waits until the document has loaded.
    ///
    /// # Errors
    /// When the address cannot be loaded.
    pub fn navigate(&self, url: &str) -> Result<(), Error> {
        let answer = self.call("Page.navigate", json!({ "url": url }))?;
        if let Some(message) = answer.get("errorText").and_then(Value::as_str) {
            return Err(Error::Http { url: url.into(), what: message.into() });
        }
        self.wait_for("the document to load", "document.readyState === 'complete'", Duration::from_secs(60))?;
        Ok(())
    }

    /// Loads the page anew.
    ///
    /// # Errors
    /// When the browser refuses or the document does not load.
    pub fn reload(&self) -> Result<(), Error> {
        self.evaluate("globalThis.__beforeReload = true")?;
        self.call("Page.reload", json!({}))?;
        let loaded = "!globalThis.__beforeReload && document.readyState === 'complete'";
        self.wait_for("the document to load again", loaded, Duration::from_secs(60))?;
        Ok(())
    }

    /// The value of a JavaScript expression; a promise is waited for.
    ///
    /// # Errors
    /// [`Error::Script`] when it throws, [`Error::Crashed`] when the tab has crashed.
    pub fn evaluate(&self, expression: &str) -> Result<Value, Error> {
        if self.has_crashed() {
            return Err(Error::Crashed);
        }
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true,
            "userGesture": false });
        let answer = self.call("Runtime.evaluate", params)?;
        if let Some(thrown) = answer.get("exceptionDetails") {
            return Err(Error::Script(describe_exception(thrown)));
        }
        Ok(answer.pointer("/result/value").cloned().unwrap_or_default())
    }

    /// Waits until a JavaScript expression is truthy and returns its value.
    ///
    /// # Errors
    /// [`Error::Deadline`] with the last value when `limit` passes; what [`Page::evaluate`] fails with.
    pub fn wait_for(&self, what: &str, expression: &str, limit: Duration) -> Result<Value, Error> {
        wait::until(what, limit, || match self.evaluate(expression) {
            Ok(value) if is_truthy(&value) => Ok(Ok(value)),
            Ok(value) => Ok(Err(value.to_string())),
            // A navigation takes the old document's context away; the new one is asked next time.
            Err(Error::Refused { message, .. }) if message.contains("context") => Ok(Err(message)),
            Err(error) => Err(error),
        })
    }

    /// What the page says about itself on its `<main>` element; `None` before the page is drawn.
    ///
    /// # Errors
    /// What [`Page::evaluate`] fails with.
    pub fn state(&self) -> Result<Option<TabState>, Error> {
        match self.evaluate(TabState::EXPRESSION) {
            Ok(value) => Ok(TabState::from_json(&value)),
            Err(Error::Refused { message, .. }) if message.contains("context") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Waits until the page's state fulfils a condition and returns that state.
    ///
    /// # Errors
    /// [`Error::Deadline`] with the last state when `limit` passes; what [`Page::evaluate`] fails with.
    pub fn wait_for_state(
        &self,
        what: &str,
        limit: Duration,
        holds: impl Fn(&TabState) -> bool,
    ) -> Result<TabState, Error> {
        TabState::wait(what, limit, || self.state(), holds)
    }

    /// Clicks the button of that accessible name as a person does: with the mouse, in the middle of it, and once more
    /// where the page moved it away from under the pointer.
    ///
    /// # Errors
    /// [`Error::Deadline`] when no such enabled button has taken a click within `limit`.
    pub fn click(&self, name: &str, limit: Duration) -> Result<(), Error> {
        wait::until(&format!("a button named {name:?} to take a click"), limit, || {
            match self.find_button(name)? {
                Ok(node) => self.click_node(node),
                Err(seen) => Ok(Err(seen)),
            }
        })
    }

    /// Presses and releases the mouse in the middle of an element; says what was in the way where it got no click.
    fn click_node(&self, node: u64) -> Result<Result<(), String>, Error> {
        let node = json!({ "backendNodeId": node });
        let resolved = self
            .call("DOM.scrollIntoViewIfNeeded", node.clone())
            .and_then(|_| self.call("DOM.resolveNode", node));
        let element = match resolved {
            Ok(answer) => answer.pointer("/object/objectId").cloned().unwrap_or_default(),
            // The page has replaced it.
            Err(Error::Refused { message, .. }) => return Ok(Err(message)),
            Err(error) => return Err(error),
        };
        let middle = self.ask_element(&element, AIM)?;
        let [Some(x), Some(y)] = [0, 1].map(|axis| middle.get(axis).and_then(Value::as_f64)) else {
            return Ok(Err(format!("it is covered: {middle}")));
        };
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let params = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", params)?;
        }
        match self.ask_element(&element, "function() { return this.tookClick === true }") {
            Ok(Value::Bool(false)) => Ok(Err("the click went elsewhere".into())),
            // A click that took the document away with it was taken.
            Ok(_) | Err(Error::Refused { .. }) => Ok(Ok(())),
            Err(error) => Err(error),
        }
    }

    /// Calls a function with an element as its `this`.
    fn ask_element(&self, element: &Value, function: &str) -> Result<Value, Error> {
        let params = json!({ "objectId": element, "functionDeclaration": function, "returnByValue": true });
        let answer = self.call("Runtime.callFunctionOn", params)?;
        Ok(answer.pointer("/result/value").cloned().unwrap_or_default())
    }

    /// Whether there is an enabled button of that accessible name now.
    ///
    /// # Errors
    /// When the browser does not tell the tree of accessible names.
    pub fn has_button(&self, name: &str) -> Result<bool, Error> {
        Ok(self.find_button(name)?.is_ok())
    }

    fn find_button(&self, name: &str) -> Result<Result<u64, String>, Error> {
        let document = self.call("DOM.getDocument", json!({ "depth": 0 }))?;
        let root = document.pointer("/root/nodeId").cloned().unwrap_or_default();
        let params = json!({ "nodeId": root, "accessibleName": name, "role": "button" });
        let answer = match self.call("Accessibility.queryAXTree", params) {
            Ok(answer) => answer,
            // The document changed between the two calls.
            Err(Error::Refused { message, .. }) => return Ok(Err(message)),
            Err(error) => return Err(error),
        };
        let nodes = answer.get("nodes").and_then(Value::as_array).cloned().unwrap_or_default();
        let enabled = nodes.iter().filter(|node| !is_disabled(node));
        let found = enabled.filter_map(|node| node.get("backendDOMNodeId").and_then(Value::as_u64)).next();
        Ok(found.ok_or_else(|| format!("{} such buttons, none enabled", nodes.len())))
    }

    /// A picture of the window, as PNG.
    ///
    /// # Errors
    /// When the browser takes no picture, or one that is no base64.
    pub fn screenshot(&self) -> Result<Vec<u8>, Error> {
        let answer =
            self.call("Page.captureScreenshot", json!({ "format": "png", "captureBeyondViewport": false }))?;
        STANDARD.decode(text(&answer, "data")).map_err(|error| Error::Script(format!("screenshot: {error}")))
    }

    /// Sets the size of the window's content in CSS pixels, the pixel ratio, and whether it is a phone.
    ///
    /// # Errors
    /// When the browser does not take the size.
    pub fn set_size(&self, width: u32, height: u32, scale: f64, mobile: bool) -> Result<(), Error> {
        let params =
            json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": mobile });
        self.call("Emulation.setDeviceMetricsOverride", params).map(drop)
    }

    /// Prefers the dark or the light colour scheme.
    ///
    /// # Errors
    /// When the browser cannot emulate a scheme.
    pub fn set_dark(&self, dark: bool) -> Result<(), Error> {
        let value = if dark { "dark" } else { "light" };
        let params = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.call("Emulation.setEmulatedMedia", params).map(drop)
    }

    /// Minimises the window, and waits until the page knows that nobody sees it: its timers are throttled from then on.
    ///
    /// # Errors
    /// When the window cannot be minimised, or the page does not notice.
    pub fn hide(&self) -> Result<(), Error> {
        let connection = self.browser.connection();
        let target = json!({ "targetId": self.target });
        let window = connection.call(None, "Browser.getWindowForTarget", target)?;
        let window = window.get("windowId").cloned().unwrap_or_default();
        let bounds = json!({ "windowId": window, "bounds": { "windowState": "minimized" } });
        connection.call(None, "Browser.setWindowBounds", bounds)?;
        let hidden = "document.visibilityState === 'hidden'";
        self.wait_for("the page to be hidden", hidden, Duration::from_secs(30)).map(drop)
    }

    /// Takes the page's network away or gives it back; open WebSockets are not cut.
    ///
    /// # Errors
    /// When the browser cannot emulate a network.
    pub fn set_offline(&self, offline: bool) -> Result<(), Error> {
        let params =
            json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.call("Network.emulateNetworkConditions", params).map(drop)
    }

    /// Removes all that the browser keeps for an origin such as `http://127.0.0.1:8080`, as a person does in its settings.
    ///
    /// # Errors
    /// When the browser clears nothing, as for what is no origin.
    pub fn clear_site_data(&self, origin: &str) -> Result<(), Error> {
        let params = json!({ "origin": origin, "storageTypes": "all" });
        self.call("Storage.clearDataForOrigin", params).map(drop)
    }

    /// Limits how many bytes the browser keeps for an origin, or limits it no longer. Where the origin has stored something
    /// already, the browser notices a lower limit within half a minute.
    ///
    /// # Errors
    /// When the browser sets no limit, as for what is no origin.
    pub fn set_quota(&self, origin: &str, bytes: Option<u64>) -> Result<(), Error> {
        let mut params = json!({ "origin": origin });
        if let (Some(bytes), Some(params)) = (bytes, params.as_object_mut()) {
            params.insert("quotaSize".into(), bytes.into());
        }
        self.call("Storage.overrideQuotaForOrigin", params).map(drop)
    }

    /// Closes the tab without asking it.
    ///
    /// # Errors
    /// When the tab is closed already.
    pub fn close(self) -> Result<(), Error> {
        self.browser
            .connection()
            .call(None, "Target.closeTarget", json!({ "targetId": self.target }))
            .map(drop)
    }

    /// What the page and its workers wrote on the console, with uncaught exceptions as errors.
    pub fn console(&self) -> Vec<ConsoleLine> {
        self.browser.connection().events(&self.session, console_line)
    }

    /// The errors on the console, one a line.
    pub fn console_errors(&self) -> Vec<String> {
        self.console().into_iter().filter(|line| line.level == "error").map(|line| line.text).collect()
    }

    /// The requests and WebSockets that the page and its workers made so far.
    pub fn requests(&self) -> Vec<Request> {
        self.browser.connection().events(&self.session, |event| {
            let (field, websocket) = match event.method.as_str() {
                "Network.requestWillBeSent" => ("/request/url", false),
                "Network.webSocketCreated" => ("/url", true),
                _ => return None,
            };
            let url = event.params.pointer(field)?.as_str()?.to_owned();
            let method = event.params.pointer("/request/method").and_then(Value::as_str);
            Some(Request { url, websocket, method: method.unwrap_or_default().to_owned() })
        })
    }

    /// The violations of the content security policy that the page reported since it was loaded.
    ///
    /// # Errors
    /// What [`Page::evaluate`] fails with.
    pub fn csp_violations(&self) -> Result<Vec<String>, Error> {
        let in_page = self.evaluate("globalThis.__cspViolations ?? []")?;
        let in_page = in_page.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
        let logged =
            self.console().into_iter().map(|line| line.text).filter(|text| text.contains("Content Security"));
        Ok(in_page.chain(logged).collect())
    }

    /// The number of workers that were started since the page was opened.
    pub fn workers(&self) -> usize {
        self.browser
            .connection()
            .events(&self.session, |event| (event.method == "Target.attachedToTarget").then_some(()))
            .len()
    }

    /// How many of these have ended.
    pub fn workers_ended(&self) -> usize {
        self.browser
            .connection()
            .events(&self.session, |event| (event.method == "Target.detachedFromTarget").then_some(()))
            .len()
    }

    /// Forgets console lines, requests and workers seen so far.
    pub fn clear_events(&self) {
        self.browser.connection().clear_events(&self.session);
    }

    fn has_crashed(&self) -> bool {
        let crashed = |event: &Event| (event.method == "Inspector.targetCrashed").then_some(());
        !self.browser.connection().events(&self.session, crashed).is_empty()
    }

    fn call(&self, method: &str, params: Value) -> Result<Value, Error> {
        self.browser.connection().call(Some(&self.session), method, params)
    }
}

fn console_line(event: &Event) -> Option<ConsoleLine> {
    let (level, text) = match event.method.as_str() {
        "Runtime.consoleAPICalled" => {
            let arguments = event.params.get("args")?.as_array()?;
            let words: Vec<String> = arguments.iter().map(describe_object).collect();
            (text(&event.params, "type"), words.join(" "))
        }
        "Runtime.exceptionThrown" => {
            ("error".into(), describe_exception(event.params.get("exceptionDetails")?))
        }
        "Log.entryAdded" => {
            let entry = event.params.get("entry")?;
            (text(entry, "level"), format!("{} {}", text(entry, "text"), text(entry, "url")))
        }
        _ => return None,
    };
    Some(ConsoleLine { level, text, from_worker: event.from_worker })
}

fn describe_object(object: &Value) -> String {
    match object.get("value") {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => text(object, "description"),
    }
}

fn describe_exception(details: &Value) -> String {
    let description = details.get("exception").map(describe_object).unwrap_or_default();
    format!("{} {description}", text(details, "text"))
}

fn is_disabled(node: &Value) -> bool {
    let properties = node.get("properties").and_then(Value::as_array).cloned().unwrap_or_default();
    properties.iter().any(|property| {
        property.get("name").and_then(Value::as_str) == Some("disabled")
            && property.pointer("/value/value") == Some(&Value::Bool(true))
    })
}

fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}
