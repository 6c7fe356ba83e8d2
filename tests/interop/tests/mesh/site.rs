//! A relay, a browser, and tabs in it.

use std::time::Duration;

use lichen_testkit::{Browser, BrowserOptions, Page, RelayOptions, RelayProcess, http, wait};
use serde_json::Value;

use crate::server::Server;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A relay and a browser.
pub(crate) struct Site {
    pub(crate) relay: RelayProcess,
    pub(crate) relay_id: String,
    pub(crate) campaign: String,
    pub(crate) address: String,
    browser: Browser,
    server: Server,
    _data: tempfile::TempDir,
}

/// A window with our swarm in it, connected and introduced.
pub(crate) struct Tab {
    pub(crate) page: Page,
    pub(crate) id: String,
    campaign: String,
}

impl Site {
    pub(crate) fn start(options: &BrowserOptions) -> Self {
        let dist = std::env::var_os("LICHEN_INTEROP_DIST")
            .expect("LICHEN_INTEROP_DIST, which cargo xtask test sets");
        let program =
            std::env::var_os("LICHEN_RELAY_BIN").expect("LICHEN_RELAY_BIN, which cargo xtask test sets");
        let data = tempfile::tempdir().expect("a data folder");
        let relay = RelayOptions {
            program: program.into(),
            port: http::free_port().expect("a free port"),
            data: data.path().to_owned(),
            page: None,
            campaign: None,
            log: Some(data.path().join("log")),
        };
        // The bundle's page comes from elsewhere.
        let relay =
            RelayProcess::start_with(relay, vec!["--allow-origin=*".into()]).expect("start the relay");
        let facts: Value =
            serde_json::from_slice(&relay.get("lichen.json").expect("its facts").body).expect("JSON");
        let fact = |name: &str| facts[name].as_str().expect("a fact").to_owned();
        Self {
            relay_id: fact("peer"),
            campaign: fact("campaign"),
            address: fact("address"),
            relay,
            browser: Browser::launch(options).expect("launch Chromium"),
            server: Server::start(dist.as_ref()).expect("serve the bundle"),
            _data: data,
        }
    }

    /// A window of its own profile, connected to the relay.
    pub(crate) fn tab(&self) -> Tab {
        let page = self.window();
        let id = page.evaluate(&format!("peer.tabStart({:?})", self.address)).expect("the swarm starts");
        let id = id.as_str().expect("a peer id").to_owned();
        let tab = Tab { page, id, campaign: self.campaign.clone() };
        tab.wait("the relay", |seen| seen["connected"] == true);
        tab.hello();
        tab
    }

    /// A window with the bundle and nothing started.
    pub(crate) fn window(&self) -> Page {
        self.window_with("")
    }

    /// As [`Site::window`], with a script that runs before the bundle's.
    pub(crate) fn window_with(&self, script: &str) -> Page {
        self.open("rust.html", "peer", script)
    }

    /// Where a document is.
    pub(crate) fn url(&self, document: &str) -> String {
        self.server.url(document)
    }

    /// A window of its own profile with a document, once its script has made this global.
    pub(crate) fn open(&self, document: &str, global: &str, script: &str) -> Page {
        let context = self.browser.new_context().expect("a profile of its own");
        let page = context.new_page().expect("a window");
        page.run_on_load(script).expect("take the script");
        page.navigate(&self.server.url(document)).expect("open the page");
        page.wait_for("the script", &format!("globalThis.{global} !== undefined"), LIMIT)
            .expect("the script loads");
        page
    }
}

impl Tab {
    pub(crate) fn hello(&self) {
        self.call(&format!("tabHello({:?})", self.id));
    }

    pub(crate) fn meet(&self) {
        self.call(&format!("tabMeet({:?}, false)", self.campaign));
    }

    pub(crate) fn call(&self, call: &str) -> Value {
        self.page
            .evaluate(&format!("peer.{call}"))
            .unwrap_or_else(|error| panic!("peer.{call}: {error}\n{:#?}", self.page.console()))
    }

    /// Asks for so many frames of so many bytes: how many bytes came, or why none did.
    pub(crate) fn ask(&self, of: &Self, frames: u32, size: u32) -> Result<u64, String> {
        let call = format!(
            "peer.tabAsk({:?}, {frames}, {size}).then(String, error => 'failed: ' + error.message)",
            of.id
        );
        let answer = self.page.evaluate(&call).expect("the call itself succeeds");
        let answer = answer.as_str().expect("text");
        match answer.strip_prefix("failed: ") {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer.parse().expect("a number")),
        }
    }

    pub(crate) fn seen(&self) -> Value {
        let text = self.call("tabSeen()");
        serde_json::from_str(text.as_str().expect("JSON")).expect("JSON")
    }

    /// Waits until what the tab has seen satisfies a condition.
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let waited = wait::until(what, LIMIT, || {
            let seen = self.seen();
            Ok(if is_it(&seen) { Ok(seen) } else { Err(seen) })
        });
        waited.unwrap_or_else(|error| panic!("{}: {error}\n{:#?}", self.id, self.page.console()))
    }
}
