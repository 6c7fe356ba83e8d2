//! The outside referee of the WebRTC transport: js-libp2p in one Chromium window, ours in another, both roles,
//! through a js relay and through ours.
//!
//! `LICHEN_INTEROP_DIST` names the folder with both bundles and `LICHEN_RELAY_BIN` our relay; `cargo xtask test`
//! builds them.

#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod server;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lichen_testkit::process::{Guarded, command};
use lichen_testkit::{Browser, BrowserOptions, Page, RelayOptions, RelayProcess, http};
use serde_json::Value;
use server::Server;

const LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rust,
    Js,
}

/// One window with one peer in it.
struct Peer {
    kind: Kind,
    page: Page,
    id: String,
}

#[test]
fn rust_dials_js_through_a_js_relay() {
    referee(Kind::Rust, Kind::Js, &JsRelay::start().address);
}

#[test]
fn js_dials_rust_through_a_js_relay() {
    referee(Kind::Js, Kind::Rust, &JsRelay::start().address);
}

#[test]
fn rust_dials_rust_through_a_js_relay() {
    referee(Kind::Rust, Kind::Rust, &JsRelay::start().address);
}

#[test]
fn rust_dials_js_through_our_relay() {
    let relay = OurRelay::start();
    referee(Kind::Rust, Kind::Js, &relay.address);
}

#[test]
fn js_dials_rust_through_our_relay() {
    let relay = OurRelay::start();
    referee(Kind::Js, Kind::Rust, &relay.address);
}

/// Everything that two peers must be able to do with each other.
fn referee(dialer: Kind, answerer: Kind, relay: &str) {
    let server = Server::start(&dist()).expect("serve the bundles");
    let browser = Browser::launch(&BrowserOptions::default()).expect("launch Chromium");
    let near = Peer::start(&browser, &server, dialer, relay);
    let far = Peer::start(&browser, &server, answerer, relay);
    near.connect(&far);
    exercise(&near, &far);
    exercise(&far, &near);

    // The remote's window dies; a new one is an ordinary peer again.
    far.page.close().expect("close the remote's window");
    let again = Peer::start(&browser, &server, answerer, relay);
    near.connect(&again);
    assert_eq!(near.call(&format!("echoes({:?}, 3, 1000)", again.id)), 3);
}

fn exercise(near: &Peer, far: &Peer) {
    let id = &far.id;
    let remote = format!("peer.protocols({id:?}).then(all => all.includes('/lichen-interop/echo/1'))");
    near.page.wait_for("identify", &remote, LIMIT).expect("the remote names its protocols");
    near.page.wait_for("a ping", &format!("peer.ping({id:?})"), LIMIT).expect("the remote answers a ping");
    assert_eq!(near.call(&format!("echoes({id:?}, 50, 20000)")), 50, "echo on 50 streams at once");
    assert_eq!(near.call(&format!("digests({id:?}, 10000000)")), true, "10 MB with equal hashes");
    assert_eq!(near.call(&format!("hangups({id:?})")), "bye", "the remote's half ends first");
    far.page
        .wait_for("the rest", "peer.hungUp() === 5001", LIMIT)
        .expect("our half goes on after the remote's end");
    assert_eq!(near.call(&format!("resets({id:?})")), "reset", "a reset is no end");
}

impl Peer {
    fn start(browser: &Browser, server: &Server, kind: Kind, relay: &str) -> Self {
        let context = browser.new_context().expect("a profile of its own");
        let page = context.new_page().expect("a window");
        let document = match kind {
            Kind::Rust => "rust.html",
            Kind::Js => "js.html",
        };
        page.navigate(&server.url(document)).expect("open the page");
        page.wait_for("the peer's script", "globalThis.peer !== undefined", LIMIT).expect("the script loads");
        let id = page.evaluate(&format!("peer.start({relay:?})")).expect("the peer starts");
        let id = id.as_str().expect("a peer id").to_owned();
        page.wait_for("a reservation", "Promise.resolve(peer.address())", LIMIT).expect("the relay reserves");
        Self { kind, page, id }
    }

    fn connect(&self, to: &Self) {
        let address = to.page.evaluate("Promise.resolve(peer.address())").expect("the remote's address");
        let took = self.call(&format!("connect({address})"));
        println!("{:?} to {:?} connected in {took} ms", self.kind, to.kind);
        for (here, there) in [(self, to), (to, self)] {
            let only_direct = format!(
                "Promise.resolve(peer.connections({:?})).then(all => all.length > 0 && all.every(one => one.includes('/webrtc')))",
                there.id
            );
            here.page
                .wait_for("the direct connection alone", &only_direct, LIMIT)
                .expect("the circuit is closed");
        }
    }

    fn call(&self, call: &str) -> Value {
        self.page.evaluate(&format!("peer.{call}")).unwrap_or_else(|error| {
            panic!("{:?}: peer.{call}: {error}\n{:#?}", self.kind, self.page.console());
        })
    }
}

fn dist() -> PathBuf {
    std::env::var_os("LICHEN_INTEROP_DIST").expect("LICHEN_INTEROP_DIST, which cargo xtask test sets").into()
}

/// A js-libp2p relay in a Node process.
struct JsRelay {
    address: String,
    _process: Guarded,
}

impl JsRelay {
    fn start() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("js");
        let mut node = command("node");
        node.args(["--import", "./promise.js", "relay.js"]).current_dir(folder).stdout(Stdio::piped());
        let mut process = Guarded::spawn(&mut node).expect("start Node");
        let output = process.child().stdout.take().expect("its output");
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address).expect("the relay's address");
        Self { address: address.trim().to_owned(), _process: process }
    }
}

/// Our relay as a process.
struct OurRelay {
    address: String,
    _process: RelayProcess,
    _data: tempfile::TempDir,
}

impl OurRelay {
    fn start() -> Self {
        let program =
            std::env::var_os("LICHEN_RELAY_BIN").expect("LICHEN_RELAY_BIN, which cargo xtask test sets");
        let data = tempfile::tempdir().expect("a data folder");
        let options = RelayOptions {
            program: program.into(),
            port: http::free_port().expect("a free port"),
            data: data.path().to_owned(),
            page: None,
            campaign: None,
            log: None,
        };
        let process =
            RelayProcess::start_with(options, vec!["--allow-origin=*".into()]).expect("start the relay");
        let facts: Value =
            serde_json::from_slice(&process.get("lichen.json").expect("its facts").body).expect("JSON");
        let address = facts["address"].as_str().expect("an address").to_owned();
        Self { address, _process: process, _data: data }
    }
}
