//! Firefox and Chromium as peers of each other.
//!
//! The test's Firefox tells loopback addresses as they are (see `lichen_testkit::Firefox`); Chromium is as anywhere, its
//! addresses hidden behind names that nobody here resolves: Firefox learns them from the packets.

use lichen_testkit::{BrowserOptions, Firefox, FirefoxPage, wait};
use serde_json::Value;

use crate::site::{LIMIT, Site};

/// What the tab in Firefox has seen, once it satisfies a condition.
fn wait_in(fox: &FirefoxPage, what: &str, is_it: impl Fn(&Value) -> bool) {
    let waited = wait::until(what, LIMIT, || {
        let seen = fox.evaluate("peer.tabSeen()")?;
        let seen: Value = serde_json::from_str(seen.as_str().unwrap_or_default()).unwrap_or_default();
        Ok(if is_it(&seen) { Ok(()) } else { Err(seen) })
    });
    waited.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn firefox_and_chromium_meet_ask_and_part() {
    let site = Site::start(&BrowserOptions::default());
    let firefox = Firefox::launch().expect("launch Firefox");
    let fox = firefox.new_page().expect("a window");
    fox.navigate(&site.url("rust.html")).expect("open the page");
    let run = |call: &str| fox.evaluate(call).unwrap_or_else(|error| panic!("{call}: {error}"));
    wait::until("the script", LIMIT, || {
        let is_there = fox.evaluate("globalThis.peer !== undefined")?;
        Ok(if is_there == true { Ok(()) } else { Err(is_there) })
    })
    .expect("the script loads");
    let id = run(&format!("peer.tabStart({:?})", site.address));
    let id = id.as_str().expect("a peer id");
    wait_in(&fox, "the relay", |seen| seen["connected"] == true);
    run(&format!("peer.tabHello({id:?})"));
    let meet = format!("peer.tabMeet({:?}, false)", site.campaign);
    run(&meet);
    let tab = site.tab();
    tab.meet();
    tab.wait("Firefox", |seen| seen["direct"] == 1);
    wait_in(&fox, "Chromium", |seen| seen["direct"] == 1);
    assert_eq!(run(&format!("peer.tabAsk({:?}, 16, 16000)", tab.id)), 256_000);
    assert_eq!(tab.call(&format!("tabAsk({id:?}, 16, 16000)")), 256_000);

    // Each hears at once that the other has gone, and both find each other again.
    run(&format!("peer.tabMeet({:?}, true)", site.campaign));
    tab.wait("no peer", |seen| seen["direct"] == 0 && seen["alive"] == 0);
    run(&meet);
    tab.wait("Firefox again", |seen| seen["direct"] == 1);
    wait_in(&fox, "Chromium again", |seen| seen["direct"] == 1);
    tab.call(&format!("tabMeet({:?}, true)", site.campaign));
    wait_in(&fox, "no peer", |seen| seen["direct"] == 0 && seen["alive"] == 0);
}
