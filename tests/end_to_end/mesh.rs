//! Updates that go from tab to tab.

use lichen_testkit::{BrowserOptions, Page, TabState};

use super::site::{MESH, SOON, Site, TRAINED};

/// What the page says where no direct path exists, if it is there to be seen.
const WALLED_IN: &str =
    "[...document.querySelectorAll('#walled-in')].find(one => one.checkVisibility())?.textContent";

/// Joins so many tabs, and waits until each has got something of another.
fn joined(site: &Site, count: usize) -> Vec<Page> {
    let pages: Vec<Page> = (0..count).map(|_| site.join()).collect();
    for page in &pages {
        site.wait(page, "bytes of another tab", TRAINED, |state| {
            state.bytes_direct + state.bytes_relayed > 0
        });
    }
    pages
}

#[test]
fn updates_go_from_tab_to_tab_and_hardly_by_the_relay() {
    let site = Site::start(MESH);
    let pages = joined(&site, 6);
    // A training, and not its beginning alone: who is slow to connect begins with checkpoints of the relay.
    let is_trained = |state: &TabState| {
        state.accuracy.is_some_and(|accuracy| accuracy >= 0.95) && state.contributions >= 12
    };
    let what = "accuracy 0.95 and twelve contributions";
    let states: Vec<_> = pages.iter().map(|page| site.wait(page, what, TRAINED, is_trained)).collect();
    let direct: u64 = states.iter().map(|state| state.bytes_direct).sum();
    let relayed: u64 = states.iter().map(|state| state.bytes_relayed).sum();
    for page in &pages {
        assert!(page.evaluate(WALLED_IN).unwrap().is_null(), "a way was found, and the page denies it");
    }
    assert!(relayed * 20 < direct + relayed, "{direct} bytes directly, {relayed} by the relay");
    let audit = site.audit();
    assert!(audit.passed, "{audit:?}");
    assert!(
        audit.number("rounds_not_recomputed") > 0.0,
        "the relay has updates that it should not: {audit:?}"
    );
}

#[test]
fn a_tab_killed_in_mid_round_holds_the_others_up_once() {
    // Long enough to be seen training: the page is drawn once a second.
    let site = Site::start(&[MESH, &[("steps = 60", "steps = 6000")]].concat());
    let mut pages = joined(&site, 3);
    let killed = pages.pop().unwrap();
    let before = site.wait(&killed, "training", TRAINED, |state| state.state == "training").round;
    killed.close().unwrap();
    for page in &pages {
        site.wait_for_round(page, before + 4);
    }
}

#[test]
fn a_late_tab_gets_the_checkpoint_from_others() {
    let site = Site::start(MESH);
    let pages = joined(&site, 2);
    site.wait_for_round(&pages[0], 3);
    let late = site.join();
    let state = site.wait(&late, "the checkpoint and a contribution", TRAINED, |state| {
        state.contributions > 0 && state.bytes_direct + state.bytes_relayed > 0
    });
    assert_eq!(state.bytes_relayed, 0, "{state:?}");
}

#[test]
fn where_udp_is_forbidden_updates_go_by_the_relay() {
    // One name or the other, by Chromium's version.
    let flags = ["--force-webrtc-ip-handling-policy", "--webrtc-ip-handling-policy"]
        .map(|flag| format!("{flag}=disable_non_proxied_udp"))
        .to_vec();
    let site = Site::start_with(MESH, &BrowserOptions { flags });
    let pages = joined(&site, 2);
    for page in &pages {
        let state = site.wait_for_round(page, 3);
        assert!(state.bytes_direct == 0 && state.bytes_relayed > 0, "{state:?}");
        let sentence = page.wait_for("the page to say so", WALLED_IN, SOON).unwrap();
        let sentence = sentence.as_str().unwrap();
        assert!(sentence.contains("Your network does not let other tabs connect"), "{sentence}");
    }
}

#[test]
fn a_hidden_tab_keeps_its_place_in_the_mesh() {
    let site = Site::start(MESH);
    let pages = joined(&site, 2);
    pages[0].hide().unwrap();
    let before = pages[0].state().unwrap().unwrap();
    let after = site.wait(&pages[1], "five more rounds", TRAINED, |state| state.round >= before.round + 5);
    let hidden = site.wait(&pages[0], "the same round", TRAINED, |state| state.round >= after.round);
    let rounds = after.round - before.round;
    assert!(hidden.contributions + 1 >= before.contributions + rounds, "{before:?} {after:?} {hidden:?}");
}
