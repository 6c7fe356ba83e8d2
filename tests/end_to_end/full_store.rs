//! A browser without room says so, with a remedy, and goes on once there is some.

use lichen_testkit::Page;

use super::site::{ENDLESS, SOON, Site, TRAINED};

/// Too little for anything.
const NOTHING: u64 = 1_000;

fn origin(site: &Site) -> String {
    site.relay.url().trim_end_matches('/').to_owned()
}

/// Waits until the page says that there is no room, and what to do.
fn says_so(site: &Site, page: &Page, state: &str) {
    site.wait(page, "the page to say so", TRAINED, |now| now.state == state);
    let text = page.evaluate("document.querySelector('main').innerText").unwrap().to_string();
    assert!(text.contains("no room left") && text.contains("Free some space"), "{text}");
}

#[test]
fn a_browser_without_room_for_the_key_ends_and_begins_again_when_there_is_some() {
    let site = Site::start(ENDLESS);
    let page = site.open(&site.profile(), "");
    page.set_quota(&origin(&site), Some(NOTHING)).unwrap();
    page.click("Join", SOON).unwrap();
    says_so(&site, &page, "failed");
    page.set_quota(&origin(&site), None).unwrap();
    page.click("Join", SOON).unwrap();
    site.wait(&page, "a contribution", TRAINED, |state| state.contributions >= 1);
}

#[test]
fn a_browser_that_runs_out_of_room_goes_on_when_there_is_some() {
    let site = Site::start(ENDLESS);
    let page = site.join();
    site.wait(&page, "a contribution", TRAINED, |state| state.contributions >= 1);
    // It takes the browser half a minute to look again how much room there is.
    page.set_quota(&origin(&site), Some(NOTHING)).unwrap();
    says_so(&site, &page, "stalled");
    page.set_quota(&origin(&site), None).unwrap();
    let before = page.state().unwrap().unwrap().contributions;
    site.wait(&page, "more contributions", TRAINED, |state| state.contributions >= before + 2);
}
