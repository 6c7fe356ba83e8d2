//! A campaign that ends when its goal is reached.

use lichen_testkit::Page;

use super::site::{SOON, Site, TRAINED};

/// A goal that a few rounds reach, and that ends the campaign.
const ENDING: &[(&str, &str)] = &[
    ("target_accuracy = 0.95", "target_accuracy = 0.7\nat_target = \"finish\""),
    ("minimum = 1", "minimum = 2"),
];
const ENDING_MESH: &[(&str, &str)] = &[
    ("target_accuracy = 0.95", "target_accuracy = 0.7\nat_target = \"finish\""),
    ("minimum = 1", "minimum = 2"),
    ("topology = \"hub\"", "topology = \"mesh\""),
];

fn wait_for_words(page: &Page, class: &str, words: &str) {
    let told = format!("document.querySelector('{class}')?.innerText.includes('{words}')");
    page.wait_for(words, &told, SOON).unwrap();
}

/// Two tabs train until the goal is reached, and a third person comes when all is done.
fn ends(changes: &[(&str, &str)]) {
    let site = Site::start(changes);
    let tabs = [site.join(), site.join()];
    let mut ends = Vec::new();
    for page in &tabs {
        let state = site.wait(page, "the end", TRAINED, |state| state.state == "finished");
        wait_for_words(page, ".thanks", "The goal is reached, and the campaign is over");
        wait_for_words(page, ".thanks", "You gave");
        assert!(!page.has_button("Pause").unwrap(), "nothing is left to pause");
        page.wait_for("the guesses", "document.querySelectorAll('.sample').length === 24", SOON).unwrap();
        ends.push(state.contributions);
    }
    assert!(ends.iter().all(|contributions| *contributions >= 2), "{ends:?}");

    let late = site.open(&site.profile(), "");
    wait_for_words(&late, ".eyebrow", "This campaign has reached its goal");
    assert!(!late.has_button("Join").unwrap());
    late.click("See what it can read", SOON).unwrap();
    late.wait_for("samples", "document.querySelectorAll('.sample').length === 24", SOON).unwrap();
    assert!(!late.requests().iter().any(|request| request.websocket), "it takes no part");

    let records = site.log();
    let rounds = |page: &Page| page.state().unwrap().unwrap().round;
    let last = rounds(&tabs[0]);
    let audit = site.audit();
    assert!(audit.passed, "{audit:?}");
    assert_eq!(audit.report["goal_reached"]["round"].as_u64(), Some(last), "{audit:?}");
    assert!(audit.report["goal_reached"]["accuracy"].as_f64().unwrap() >= 0.7, "{audit:?}");
    for (page, contributions) in tabs.iter().zip(ends) {
        let state = page.state().unwrap().unwrap();
        assert_eq!((state.state.as_str(), state.contributions), ("finished", contributions));
    }
    assert_eq!(site.log().len(), records.len(), "the log rests");
    for page in tabs.iter().chain([&late]) {
        assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
        assert_eq!(page.console_errors(), Vec::<String>::new());
    }
}

#[test]
fn two_tabs_come_to_rest_at_the_goal_and_a_third_person_sees_the_result() {
    ends(ENDING);
}

#[test]
fn a_mesh_ends_at_its_goal_as_a_hub_does() {
    ends(ENDING_MESH);
}
