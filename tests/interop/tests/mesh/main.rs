//! The mesh in real windows: our own swarm as the page runs it, through our relay.
//!
//! `LICHEN_INTEROP_DIST` names the folder with the bundle and `LICHEN_RELAY_BIN` our relay; `cargo xtask test`
//! builds them.

#![cfg(not(target_arch = "wasm32"))]
#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod churn;
mod firefox;
mod hostile;
mod killed;
#[path = "../referee/server.rs"]
mod server;
mod site;

use lichen_testkit::BrowserOptions;
use serde_json::Value;
use site::{LIMIT, Site};

#[test]
fn two_tabs_meet_directly_ask_and_tell() {
    let site = Site::start(&BrowserOptions::default());
    let (near, far) = (site.tab(), site.tab());
    near.meet();
    far.meet();
    for (here, there) in [(&near, &far), (&far, &near)] {
        here.wait("the other, directly and alone", |seen| {
            paths(seen) == [("direct", there.id.as_str()), ("hub", site.relay_id.as_str())]
        });
    }
    assert_eq!(near.ask(&far, 16, 16_000), Ok(256_000));
    assert_eq!(far.ask(&near, 1, 1), Ok(1));
    // Bytes are counted by peer, on both sides.
    near.wait("the bytes", |seen| direct_row(seen)["received"].as_u64() >= Some(256_000));
    far.wait("the bytes", |seen| direct_row(seen)["sent"].as_u64() >= Some(256_000));
    near.wait("a round trip", |seen| direct_row(seen)["round_trip"].is_u64());
    assert_ne!(direct_row(&near.seen())["dialled"], direct_row(&far.seen())["dialled"]);

    near.call("tabAnnounce('something new')");
    let heard = serde_json::json!([[near.id, "something new"]]);
    far.wait("the announcement", |seen| seen["announced"] == heard);

    near.call(&format!("tabMeet({:?}, true)", site.campaign));
    for tab in [&near, &far] {
        tab.wait("the hub alone", |seen| paths(seen) == [("hub", site.relay_id.as_str())]);
        tab.wait("no peer connection left", |seen| seen["alive"] == 0);
    }
    assert_eq!(near.ask(&far, 1, 1), Err("not connected".to_owned()));
}

#[test]
fn six_tabs_see_each_other() {
    let site = Site::start(&BrowserOptions::default());
    let tabs: Vec<_> = (0..6).map(|_| site.tab()).collect();
    for tab in &tabs {
        tab.meet();
    }
    for tab in &tabs {
        tab.wait("five peers", |seen| seen["direct"] == 5);
    }
    tabs[3].call("tabAnnounce('to all')");
    for (index, tab) in tabs.iter().enumerate() {
        if index != 3 {
            tab.wait("the announcement", |seen| seen["announced"][0][1] == "to all");
        }
    }
    // One window dies without a word.
    let mut tabs = tabs;
    let dead = tabs.pop().expect("six tabs");
    dead.page.close().expect("close the window");
    for tab in &tabs {
        tab.wait("four peers", |seen| seen["direct"] == 4);
    }
}

#[test]
fn relay_only_keeps_out_of_the_mesh() {
    let site = Site::start(&BrowserOptions::default());
    let (shy, one, other) = (site.tab(), site.tab(), site.tab());
    shy.call(&format!("tabMeet({:?}, true)", site.campaign));
    one.meet();
    other.meet();
    one.wait("the other", |seen| seen["direct"] == 1);
    other.wait("the other", |seen| seen["direct"] == 1);
    let seen = shy.seen();
    assert_eq!((&seen["made"], &seen["direct"]), (&0.into(), &0.into()));
    assert_eq!(site.relay.metrics().expect("metrics")["lichen_rendezvous_registered"], 2.0);

    // Turned on in the middle: the peers go, and nobody finds it any more.
    other.call(&format!("tabMeet({:?}, true)", site.campaign));
    for tab in [&one, &other] {
        tab.wait("no peer", |seen| seen["direct"] == 0 && seen["alive"] == 0);
    }
    // And off again.
    other.meet();
    one.wait("the other again", |seen| seen["direct"] == 1);
}

#[test]
fn where_udp_is_forbidden_the_lack_of_a_path_is_reported() {
    let flags = ["--force-webrtc-ip-handling-policy", "--webrtc-ip-handling-policy"]
        .map(|flag| format!("{flag}=disable_non_proxied_udp"))
        .to_vec();
    let site = Site::start(&BrowserOptions { flags });
    let (near, far) = (site.tab(), site.tab());
    near.meet();
    far.meet();
    for (here, there) in [(&near, &far), (&far, &near)] {
        here.wait("the lack of a path", |seen| {
            seen["no_direct_path"].as_array().is_some_and(|peers| peers.contains(&there.id.as_str().into()))
        });
        assert_eq!(here.seen()["direct"], 0);
    }
    assert_eq!(near.ask(&far, 1, 1), Err("not connected".to_owned()));
}

#[test]
fn a_relay_that_restarts_is_found_again_and_the_peers_stay() {
    let mut site = Site::start(&BrowserOptions::default());
    let (near, far) = (site.tab(), site.tab());
    near.meet();
    far.meet();
    near.wait("the other", |seen| seen["direct"] == 1);
    far.wait("the other", |seen| seen["direct"] == 1);
    site.relay.kill();
    near.wait("the relay's end", |seen| seen["connected"] == false);
    assert_eq!(near.ask(&far, 4, 1_000), Ok(4_000), "peers need no relay");
    site.relay.restart().expect("the relay starts again");
    for tab in [&near, &far] {
        tab.wait("the relay", |seen| seen["connected"] == true);
        tab.hello();
    }
    let late = site.tab();
    late.meet();
    late.wait("both", |seen| seen["direct"] == 2);
    // Each side opens its connection at its own time.
    near.wait("both", |seen| seen["direct"] == 2);
    assert_eq!(near.ask(&late, 1, 10), Ok(10));
}

#[test]
fn a_relay_that_dies_during_signalling_costs_one_attempt() {
    let mut site = Site::start(&BrowserOptions::default());
    let tabs: Vec<_> = (0..4).map(|_| site.tab()).collect();
    for tab in &tabs {
        tab.meet();
    }
    // As soon as anybody has begun to signal.
    tabs[0].wait("a peer connection", |seen| seen["made"].as_u64() > Some(0));
    site.relay.restart().expect("the relay starts again");
    for tab in &tabs {
        tab.wait("the relay", |seen| seen["connected"] == true);
        tab.hello();
    }
    for tab in &tabs {
        tab.wait("all others", |seen| seen["direct"] == 3);
        tab.wait("no peer connection too many", |seen| seen["alive"] == 3);
    }
}

#[test]
fn a_banned_peer_stays_away() {
    let site = Site::start(&BrowserOptions::default());
    let (near, far) = (site.tab(), site.tab());
    near.meet();
    far.meet();
    near.wait("the other", |seen| seen["direct"] == 1);
    far.wait("the other", |seen| seen["direct"] == 1);
    near.call(&format!("tabBan({:?})", far.id));
    near.wait("it is gone", |seen| seen["direct"] == 0);
    far.wait("it is gone", |seen| seen["direct"] == 0);
    // The banned one goes on trying and is turned away each time.
    let before = far.seen()["made"].as_u64();
    let circuits = |site: &Site| {
        site.relay.metrics().expect("metrics").get("lichen_circuits_total{outcome=\"opened\"}").copied()
    };
    let opened = circuits(&site);
    lichen_testkit::wait::until("two more attempts", LIMIT, || {
        let now = circuits(&site);
        Ok(if now >= opened.map(|count| count + 2.0) { Ok(()) } else { Err(now) })
    })
    .expect("it tries again");
    assert_eq!((&near.seen()["direct"], &far.seen()["direct"]), (&0.into(), &0.into()));
    // An attempt may be under way; afterwards nothing of it is left.
    far.wait("nothing is left of its attempts", |seen| seen["alive"] == 0);
    assert!(far.seen()["made"].as_u64() > before, "it made no attempt");
}

fn direct_row(seen: &Value) -> Value {
    let rows = seen["peers"].as_array().cloned().unwrap_or_default();
    rows.into_iter().find(|row| row["path"] == "direct").unwrap_or_default()
}

/// Each peer's path and name, in the order of the paths' names.
fn paths(seen: &Value) -> Vec<(&str, &str)> {
    let rows = seen["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut paths: Vec<(&str, &str)> =
        rows.iter().filter_map(|row| Some((row["path"].as_str()?, row["peer"].as_str()?))).collect();
    paths.sort_unstable();
    paths
}
