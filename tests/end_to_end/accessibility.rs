//! axe-core, the referee of accessibility, finds no fault on any screen: light on a phone, dark on a large one.

use std::fs;

use lichen_testkit::Page;
use serde_json::{Value, json};

use super::site::{ENDLESS, SOON, Site, TRAINED, from_environment};

/// What axe-core finds, by rule, with the first elements that it concerns; once no colour is on its way to another.
const RUN: &str = "(async () => {
    const turns = document.getAnimations().filter(one => one instanceof CSSTransition);
    await Promise.allSettled(turns.map(one => one.finished));
    const found = await axe.run(document, { resultTypes: ['violations'] });
    return found.violations.map(fault =>
        `${fault.id}: ${fault.nodes.slice(0, 3).map(node => `${node.target} ${node.failureSummary}`).join(' | ')}`);
})()";

/// Unfolds everything that is folded.
const UNFOLD: &str = "document.querySelectorAll('details').forEach(one => one.open = true), true";

fn finds_nothing(page: &Page, screen: &str) {
    let axe = fs::read_to_string(from_environment("LICHEN_AXE")).unwrap();
    page.evaluate(&format!("{axe}; true")).unwrap();
    page.evaluate(UNFOLD).unwrap();
    for (width, is_phone, dark) in [(360, true, false), (1280, false, true)] {
        page.set_size(width, 800, 1.0, is_phone).unwrap();
        page.set_dark(dark).unwrap();
        let found: Value = page.evaluate(RUN).unwrap();
        assert_eq!(found, json!([]), "{screen}, {width} wide, dark: {dark}");
    }
}

#[test]
fn no_screen_has_a_fault() {
    let site = Site::start(ENDLESS);
    let other = site.join();
    site.wait_for_round(&other, 2);
    let page = site.open(&site.profile(), "");
    page.wait_for("the invitation", "document.querySelector('.button-join') !== null", SOON).unwrap();
    finds_nothing(&page, "invitation");

    page.click("See what it can read", SOON).unwrap();
    page.wait_for("samples", "document.querySelectorAll('.samples > li').length > 0", SOON).unwrap();
    finds_nothing(&page, "invitation with samples");

    page.click("Check this model", SOON).unwrap();
    page.wait_for("the check to end", "document.querySelector('.check.notice') !== null", SOON).unwrap();
    finds_nothing(&page, "invitation with what was checked");

    page.click("Join", SOON).unwrap();
    site.wait(&page, "a contribution", TRAINED, |state| state.contributions > 1);
    finds_nothing(&page, "training");

    page.click("Pause", SOON).unwrap();
    site.wait(&page, "the pause", SOON, |state| state.state == "paused");
    finds_nothing(&page, "paused");

    page.click("Leave", SOON).unwrap();
    site.wait(&page, "the end of the visit", SOON, |state| state.state == "left");
    finds_nothing(&page, "left");
}

#[test]
fn no_end_and_no_failure_has_a_fault_either() {
    let site = Site::start(&[("limit = 1000", "limit = 2")]);
    let page = site.join();
    site.wait(&page, "the end", TRAINED, |state| state.state == "finished");
    finds_nothing(&page, "finished");
    let page = site.open(&site.profile(), "");
    page.wait_for("thanks", "document.querySelector('.thanks, .invitation h1') !== null", SOON).unwrap();
    finds_nothing(&page, "invitation to what is over");
}

#[test]
fn a_lost_relay_is_said_without_a_fault() {
    let mut site = Site::start(ENDLESS);
    let page = site.join();
    site.wait(&page, "a contribution", TRAINED, |state| state.contributions > 0);
    site.relay.kill();
    site.wait(&page, "the loss to be noticed", SOON, |state| state.state == "offline");
    finds_nothing(&page, "offline");
}
