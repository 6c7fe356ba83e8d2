//! A tab that cannot get on says so, with a remedy, and never in green.

use super::site::{LONG_ROUNDS, SOON, Site, TRAINED, account};

/// A learning rate with which every training diverges.
const DIVERGING: &[(&str, &str)] = &[
    ("optimizer = \"adam\"", "optimizer = \"sgd\""),
    ("learning_rate = 0.002", "learning_rate = 1e12"),
    ("target_accuracy = 0.95", "target_accuracy = 1.0"),
];

#[test]
fn a_training_that_diverges_is_said_and_not_tried_for_ever() {
    let site = Site::start(DIVERGING);
    let page = site.join();
    site.wait(&page, "the page to say so", TRAINED, |state| state.state == "stalled");
    let said = "document.querySelector('main').innerText.includes('Training diverged')";
    page.wait_for("the reason", said, SOON).unwrap();
    assert_eq!(page.evaluate("!!document.querySelector('.lamp-bad')").unwrap(), true);
    page.click("Leave", SOON).unwrap();
    site.wait(&page, "leaving", SOON, |state| state.state == "left");
}

#[test]
fn data_cleared_while_a_tab_trains_ends_in_a_new_key_and_not_in_a_busy_sentence() {
    let site = Site::start(LONG_ROUNDS);
    let page = site.join();
    site.wait(&page, "training", TRAINED, |state| state.state == "training");
    let before = account(&page);
    page.clear_site_data(site.relay.url().trim_end_matches('/')).unwrap();
    site.wait(&page, "the page to say that its key is gone", SOON, |state| state.state == "failed");
    let text = page.evaluate("document.querySelector('main').innerText").unwrap().to_string();
    assert!(text.contains("deleted this page's data"), "{text}");
    page.click("Join", SOON).unwrap();
    site.wait(&page, "a contribution under a new key", TRAINED, |state| state.contributions >= 1);
    assert_ne!(account(&page), before);
}
