//! A tab on a slow machine behind a slow line, beside one that has neither.

use lichen_testkit::{Browser, BrowserOptions, SlowLink, Slowness};

use super::site::{ENDLESS, SOON, Site, TRAINED};

/// What a poor home connection's way up carries, in bits a second; here it is the way down as well.
const LINE: u64 = 1_000_000;

#[test]
fn a_tab_four_times_slower_behind_a_line_of_1_mbit_still_contributes() {
    let site = Site::start(ENDLESS);
    let quick = site.join();
    let line = SlowLink::start(site.relay.options().port, LINE).unwrap();
    let browser = Browser::launch(&BrowserOptions::default()).unwrap();
    let _slowness = Slowness::start(browser.id(), 4);
    let slow = browser.new_context().unwrap().new_page().unwrap();
    slow.navigate(&line.url()).unwrap();
    slow.click("Join", SOON).unwrap();
    site.wait(&slow, "its first contribution", TRAINED, |state| state.contributions >= 1);
    let begun = site.wait(&quick, "a round", SOON, |state| state.round >= 1);
    let state = site.wait(&slow, "three more", TRAINED, |state| state.contributions >= 4);
    assert!(state.round > begun.round, "rounds went on meanwhile");
    let (up, down) = line.passed();
    assert!(up > 0 && down > 500_000, "the page and its updates came by the slow line: {up} up, {down} down");
    site.wait(&quick, "contributions of its own", TRAINED, |state| {
        state.contributions > begun.contributions + 2
    });
    site.wait_for_agreement(&[&quick, &slow]);
}
