//! The relay dies and comes back.

use std::time::Duration;

use super::site::{DIGITS, ENDLESS, LONG_ROUNDS, SOON, Site, TRAINED, relay_log};

#[test]
fn a_relay_killed_in_the_middle_of_a_round_goes_on() {
    let mut site = Site::start(LONG_ROUNDS);
    let pages = [site.join(), site.join()];
    for page in &pages {
        site.wait_for_round(page, 1);
    }
    site.wait(&pages[0], "training", TRAINED, |state| state.state == "training");
    let before = site.log();
    site.relay.kill();
    for page in &pages {
        site.wait(page, "the loss to be noticed", SOON, |state| state.state == "offline");
    }
    let settled = pages[0].state().unwrap().unwrap().round;
    site.relay.restart().unwrap();
    for page in &pages {
        site.wait_for_round(page, settled + 2);
    }
    let after = site.log();
    assert!(after.len() > before.len());
    assert_eq!(after[..before.len()], before, "the log was changed\n{}", relay_log(&site));
    let [one, two] = &pages;
    site.assert_settled(&[one, two]);
    for page in &pages {
        let shown = page.state().unwrap().unwrap().contributions;
        let own = super::site::account(page);
        let recorded = site.contributions().iter().filter(|(account, _)| *account == own).count() as u64;
        assert!(recorded >= shown, "{recorded} of {shown} contributions are in the log");
    }
}

#[test]
fn a_later_run_goes_on_from_the_last_settled_round() {
    let mut site = Site::start(ENDLESS);
    let page = site.join();
    let before = site.wait_for_round(&page, 2);
    let (status, took) =
        site.relay.terminate(Duration::from_secs(10)).unwrap().expect("the relay did not end");
    assert!(status.success(), "{status}\n{}", relay_log(&site));
    assert!(took < Duration::from_secs(5), "{took:?}");
    page.close().unwrap();
    assert!(site.data().is_dir());
    site.relay.restart().unwrap();
    let later = site.join();
    let state = site.wait(&later, "a contribution", TRAINED, |state| state.contributions > 0);
    assert!(state.round >= before.round, "{state:?}");
    let log = site.log();
    assert!(log.iter().enumerate().all(|(index, record)| record.index == index as u64));
    site.wait_for_round(&later, before.round + 1);
}

#[test]
fn a_relay_that_is_asked_to_end_while_tabs_train_ends_well() {
    let mut site = Site::start(DIGITS);
    let pages = [site.join(), site.join()];
    site.wait_for_round(&pages[0], 1);
    let (status, took) =
        site.relay.terminate(Duration::from_secs(10)).unwrap().expect("the relay did not end");
    assert!(status.success(), "{status}\n{}", relay_log(&site));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
