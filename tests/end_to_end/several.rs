//! One relay with two campaigns: the address says which one, and both go on at once.

use std::process::Command;

use lichen_testkit::{Page, TabState, process, wait};

use crate::site::{SOON, Site, from_environment};

const PENGUINS: &str = "Penguins by their measures";
const DIGITS: &str = "Handwritten digits";

fn text(page: &Page, expression: &str) -> String {
    page.evaluate(expression).unwrap().as_str().unwrap_or_default().to_owned()
}

fn title(page: &Page) -> String {
    text(page, "document.querySelector('#title')?.textContent")
}

/// The links to campaigns, each title with where it leads.
fn links(page: &Page) -> Vec<(String, String)> {
    let links = text(
        page,
        "JSON.stringify([...document.querySelectorAll('nav a')].map((a) => [a.textContent, a.getAttribute('href')]))",
    );
    serde_json::from_str(&links).unwrap()
}

fn is_invited(state: &TabState) -> bool {
    state.state == "idle"
}

#[test]
fn the_address_says_which_campaign_and_a_tab_of_each_trains_at_once() {
    let site = Site::start_several(&["digits", "penguins"]);
    let (one, other) = (site.profile(), site.profile());
    let digits = site.open(&one, "");
    site.wait(&digits, "the invitation", SOON, is_invited);
    digits.wait_for("the first campaign", "!!document.querySelector('nav a')", SOON).unwrap();
    assert_eq!(title(&digits), DIGITS);
    let [(name, address)] = &links(&digits)[..] else { panic!("{:?}", links(&digits)) };
    assert_eq!(name, PENGUINS);
    assert!(address.starts_with("?campaign=bafkrei"), "{address}");

    // By a keyboard: the link takes the focus, and leads on.
    let penguins = site.open(&other, "");
    penguins.wait_for("the link", "!!document.querySelector('nav a')", SOON).unwrap();
    let has_focus = penguins.evaluate(
        "(() => { const a = document.querySelector('nav a'); a.focus(); return document.activeElement === a; })()",
    );
    assert_eq!(has_focus.unwrap(), true);
    penguins.evaluate("document.activeElement.click()").unwrap();
    let is_there = format!("document.querySelector('#title')?.textContent === '{PENGUINS}'");
    penguins.wait_for("the other campaign", &is_there, SOON).unwrap();
    assert_eq!(links(&penguins)[0].0, DIGITS, "and back");

    digits.click("Join", SOON).unwrap();
    penguins.click("Join", SOON).unwrap();
    site.wait_for_round(&digits, 2);
    site.wait_for_round(&penguins, 2);
    let both = [&digits, &penguins].map(|page| page.state().unwrap().unwrap());
    assert_ne!(both[0].checkpoint, both[1].checkpoint);
    // A reload stays with its campaign, and both campaigns are in one profile as well: each has its own lock.
    let second = site.open(&one, address);
    second.click("Join", SOON).unwrap();
    site.wait_for_round(&second, 3);
    second.reload().unwrap();
    second.wait_for("the same campaign again", &is_there, SOON).unwrap();
    for page in [&digits, &penguins, &second] {
        assert_eq!(page.console_errors(), [] as [&str; 0]);
        assert_eq!(page.csp_violations().unwrap(), [] as [&str; 0]);
    }
    // Each log is right by itself, however many there are.
    for campaign in ["handwritten-digits", "penguins-by-their-measures"] {
        wait::until("the audit to pass", SOON, || {
            let mut verify: Command = process::command(from_environment("LICHEN_CLI_BIN"));
            let url = site.relay.url();
            verify.args(["verify", "--relay", url.trim_end_matches('/'), "--campaign", campaign]);
            let output = verify.output().unwrap();
            Ok(if output.status.success() { Ok(()) } else { Err(format!("{output:?}")) })
        })
        .unwrap();
    }
}

#[test]
fn an_address_that_names_no_campaign_leads_to_what_there_is() {
    let site = Site::start_several(&["digits", "penguins"]);
    let page = site.open(&site.profile(), "?campaign=birds");
    page.wait_for("what is wrong", "!!document.querySelector('[role=alert]')", SOON).unwrap();
    let said = text(&page, "document.querySelector('[role=alert]').textContent");
    assert!(said.contains("is not here"), "{said}");
    let names: Vec<String> = links(&page).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [DIGITS, PENGUINS]);
    page.evaluate("document.querySelector('nav a').click()").unwrap();
    page.wait_for(
        "the first campaign",
        &format!("document.querySelector('#title')?.textContent === '{DIGITS}'"),
        SOON,
    )
    .unwrap();
    // By name as well as by id.
    let named = site.open(&site.profile(), "?campaign=penguins-by-their-measures");
    named
        .wait_for(
            "the campaign",
            &format!("document.querySelector('#title')?.textContent === '{PENGUINS}'"),
            SOON,
        )
        .unwrap();
}
