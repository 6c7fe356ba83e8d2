//! A visitor has the whole record checked in the page: the outcome, the first fault's place, and the way to stop.

use lichen_record::Entry;
use lichen_testkit::{Context, Page, wait};

use super::liar;
use super::site::{ENDLESS, SOON, Site};

const CHECK: &str = "Check this model";

/// What the page says of the check, once it is over.
const SAID: &str = "document.querySelector('.check.notice')?.innerText";

fn open(profile: &Context, url: &str) -> Page {
    let page = profile.new_page().unwrap();
    page.navigate(url).unwrap();
    page
}

fn checked(page: &Page) -> String {
    page.click(CHECK, SOON).unwrap();
    page.wait_for("the check to end", SAID, SOON).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn what_a_visitor_is_told_is_what_the_auditor_finds() {
    let site = Site::trained(ENDLESS);
    let page = open(&site.profile(), &site.relay.url());
    page.wait_for("the invitation", "document.querySelector('.button-join') !== null", SOON).unwrap();
    assert_eq!(page.workers(), 0, "a worker was started before anybody asked");
    assert!(!page.requests().iter().any(|request| request.url.contains("/log/")), "{:?}", page.requests());

    let said = checked(&page);
    let audit = site.audit();
    let found = |name: &str| audit.report[name].as_u64().unwrap_or_else(|| panic!("{audit:?}"));
    println!("{said}");
    let verdict = format!(
        "Every one of the {} signatures and all {} results were checked by this tab: nothing is wrong.",
        found("signatures"),
        found("rounds")
    );
    assert!(said.starts_with(&verdict), "{said} is not {verdict}");
    let made = format!("what {}\u{a0}contributions by 1\u{a0}person come to", found("contributions"));
    assert!(said.contains(&made), "{said}");
    let right = (audit.report["accuracy"].as_f64().unwrap() * 100.0 + 1e-9).floor();
    assert!(said.contains(&format!("It gets {right:.0} of 100 right, of 360 examples")), "{said}");
    assert!(said.contains("The record’s summary"), "the tree was not looked at: {said}");
    assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
    let origin = site.relay.url();
    for request in page.requests() {
        assert!(!request.websocket && request.url.starts_with(&origin), "{request:?}");
    }
    wait_for_the_worker_to_end(&page);
}

#[test]
fn whoever_takes_part_can_check_meanwhile() {
    let site = Site::start(ENDLESS);
    let page = site.join();
    site.wait_for_round(&page, 2);
    let said = checked(&page);
    assert!(said.contains("were checked by this tab: nothing is wrong."), "{said}");
    let round = site.wait_for_round(&page, 1).round;
    site.wait_for_round(&page, round + 1);
}

#[test]
fn what_a_relay_has_changed_is_found_at_its_place() {
    let site = Site::trained(ENDLESS);
    a_changed_contribution_is_found_in_its_round(&site);
    a_changed_entry_is_found_where_it_stands(&site);
    a_changed_result_is_found_in_its_round(&site);
    a_check_can_be_stopped(&site);
}

fn a_changed_contribution_is_found_in_its_round(site: &Site) {
    let (_, contribution) = site.contributions().swap_remove(1);
    let Entry::Contribution { update, round, .. } = contribution else { panic!("{contribution:?}") };
    let said = checked_behind_a_liar(site, move |path, body| {
        if path == format!("blob/{update}") {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
    });
    let verdict = format!("A contribution to round {round} is not the one that the record names.");
    assert!(said.starts_with(&verdict), "{said} is not {verdict}");
    assert!(said.contains("Do not rely on this model") && said.contains(&update.to_string()), "{said}");
}

fn a_changed_entry_is_found_where_it_stands(site: &Site) {
    let log = site.log();
    let index = log.len() / 2;
    let entry = log[index].entry.clone();
    let said = checked_behind_a_liar(site, move |path, body| {
        let place = body.windows(entry.len()).position(|bytes| bytes == entry);
        if let Some(place) = place.filter(|_| path.starts_with("log/")) {
            body[place + entry.len() / 2] ^= 1;
        }
    });
    let verdict = format!("Entry {} of the record is not as it was signed.", index + 1);
    assert!(said.starts_with(&verdict), "{said} is not {verdict}");
    assert!(said.contains(&format!("record {index}: ")), "{said}");
}

fn a_changed_result_is_found_in_its_round(site: &Site) {
    let audit = site.audit();
    let checkpoint = audit.report["checkpoint"].as_str().unwrap().to_owned();
    let said = checked_behind_a_liar(site, move |path, body| {
        if path == format!("blob/{checkpoint}") {
            body.truncate(body.len() - 4);
        }
    });
    let verdict =
        format!("The model after round {} is not the one that the record names.", audit.report["rounds"]);
    assert!(said.starts_with(&verdict), "{said} is not {verdict}");
}

fn a_check_can_be_stopped(site: &Site) {
    // It never comes to an end, as the log never comes.
    let url = liar::serve(site.relay.url(), |path, _body| {
        while path.starts_with("log/") {
            std::thread::park();
        }
    });
    let page = open(&site.profile(), &url);
    page.click(CHECK, SOON).unwrap();
    page.wait_for("a request for the log", "document.querySelector('progress') !== null", SOON).unwrap();
    page.click("Stop checking", SOON).unwrap();
    page.wait_for("the question again", "document.querySelector('progress') === null", SOON).unwrap();
    assert!(page.has_button(CHECK).unwrap());
    wait_for_the_worker_to_end(&page);
}

fn wait_for_the_worker_to_end(page: &Page) {
    let ended = wait::until("the worker to end", SOON, || {
        let (begun, ended) = (page.workers(), page.workers_ended());
        Ok(if begun == ended { Ok(()) } else { Err(format!("{ended} of {begun}")) })
    });
    ended.unwrap();
}

fn checked_behind_a_liar(site: &Site, change: impl Fn(&str, &mut Vec<u8>) + Send + Sync + 'static) -> String {
    let page = open(&site.profile(), &liar::serve(site.relay.url(), change));
    checked(&page)
}
