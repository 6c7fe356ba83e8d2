//! Connections that come and go, counted by the browser's own constructor and not by our book-keeping.

use lichen_testkit::{BrowserOptions, Page};
use serde_json::Value;

use crate::site::{LIMIT, Site};

const CYCLES: u32 = 200;

/// Cycles under one session key: the relay grants a peer 60 circuits a minute.
const OF_ONE_KEY: u32 = 50;

/// Bytes that a connection may leave behind: a queue's room may still grow, a leak is larger.
const LEFT: f64 = 32.0;

/// Counts the page's peer connections that were made and that were closed.
const COUNT: &str = "{
    globalThis.counted = { opened: 0, closed: 0 };
    globalThis.RTCPeerConnection = class extends RTCPeerConnection {
        constructor(...settings) { super(...settings); counted.opened += 1; }
        close() { if (this.signalingState !== 'closed') counted.closed += 1; super.close(); }
    };
}";

/// A window with a peer in it that dials and is dialled, and does nothing by itself.
struct Peer {
    page: Page,
    id: String,
}

impl Peer {
    fn start(site: &Site) -> Self {
        let mut peer = Self { page: site.window_with(COUNT), id: String::new() };
        peer.start_again(site);
        peer
    }

    /// Ends the page's swarm, if it has one, and starts another under a new key.
    fn start_again(&mut self, site: &Site) {
        let id = self.call(&format!("peer.startWithoutStreams({:?})", site.address));
        self.page.wait_for("a reservation", "peer.address()", LIMIT).expect("the relay reserves");
        id.as_str().expect("a peer id").clone_into(&mut self.id);
    }

    fn call(&self, call: &str) -> Value {
        self.page.evaluate(call).unwrap_or_else(|error| panic!("{call}: {error}\n{:#?}", self.page.console()))
    }

    fn number(&self, call: &str) -> f64 {
        self.call(call).as_f64().expect("a number")
    }

    fn wait_until_alone(&self, other: &Self) {
        let alone = format!("peer.connections({:?}).then(all => all.length === 0)", other.id);
        self.page.wait_for("the end of all connections", &alone, LIMIT).expect("they end");
    }
}

#[test]
fn two_hundred_connections_come_and_go_without_a_trace() {
    let site = Site::start(&BrowserOptions::default());
    let (mut near, far) = (Peer::start(&site), Peer::start(&site));
    let address = far.call("peer.address()");
    let memory =
        |near: &Peer| [near, &far].map(|peer| (peer.call("pages()"), peer.number("peer.allocated()")));
    let mut settled = None;
    for cycle in 0..CYCLES {
        if cycle > 0 && cycle % OF_ONE_KEY == 0 {
            // By now everything that is kept for good has been made.
            settled = settled.or_else(|| Some(memory(&near)));
            near.start_again(&site);
        }
        near.call(&format!("peer.connect({address})"));
        near.call(&format!("peer.disconnect({:?})", far.id));
        near.wait_until_alone(&far);
        far.wait_until_alone(&near);
    }
    for peer in [&near, &far] {
        let all_closed = format!("counted.opened === {CYCLES} && counted.closed === {CYCLES}");
        let counts = peer.call("JSON.stringify(counted)");
        peer.page
            .wait_for("every connection to be closed", &all_closed, LIMIT)
            .unwrap_or_else(|_| panic!("{counts}"));
    }
    for ((pages, bytes), (pages_then, bytes_then)) in
        memory(&near).into_iter().zip(settled.expect("it was taken"))
    {
        assert_eq!(pages, pages_then, "pages of memory; {bytes_then} bytes allocated, then {bytes}");
        let left = (bytes - bytes_then) / f64::from(CYCLES - OF_ONE_KEY);
        println!("{left:.1} bytes left by each connection");
        assert!(left < LEFT, "{left} bytes left by each connection");
    }
    let circuits = site.relay.metrics().expect("metrics")["lichen_circuits_open"];
    assert_eq!(circuits, 0.0, "circuits left open at the relay");
}
