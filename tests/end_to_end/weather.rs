//! A mesh whose direct connections are slow and lose packets.

use std::time::Duration;

use lichen_testkit::{BrowserOptions, Page, Weather};

use super::site::{MESH, SOON, Site, TRAINED};

/// Addresses are told as they are, so that the proxy knows where they lead; the rest as the test's browser has it.
const PLAIN_ADDRESSES: &str =
    "--disable-features=Translate,OptimizationHints,MediaRouter,WebRtcHideLocalIpsWithMdns";

#[test]
fn rounds_settle_with_a_delay_of_100_ms_and_a_loss_of_1_percent() {
    let site = Site::start_with(MESH, &BrowserOptions { flags: vec![PLAIN_ADDRESSES.into()] });
    let weather = Weather::start(Duration::from_millis(100), 10).unwrap();
    let pages = [join_in(&site, &weather), join_in(&site, &weather)];
    for page in &pages {
        page.wait_for("a direct connection", "document.querySelector('main').dataset.direct >= 1", SOON)
            .unwrap();
    }
    let begun = pages[0].state().unwrap().unwrap();
    for page in &pages {
        let what = "three more rounds, and bytes of the other";
        let holds = |round, bytes| round >= begun.round + 3 && bytes > begun.bytes_direct;
        site.wait(page, what, TRAINED, |state| holds(state.round, state.bytes_direct));
    }
    let (passed, lost) = weather.packets();
    assert!(passed > 30, "the updates went another way: {passed} packets passed, {lost} lost");
    site.wait_for_agreement(&pages.each_ref());
}

/// The page in a new window, joined, whose peer connections go through the weather.
fn join_in(site: &Site, weather: &Weather) -> Page {
    let page = site.profile().new_page().unwrap();
    page.bypass_csp().unwrap();
    page.run_on_load(&weather.script()).unwrap();
    page.navigate(&site.relay.url()).unwrap();
    page.click("Join", SOON).unwrap();
    page
}
