//! Tabs close and come when they like.

use super::site::{LONG_ROUNDS, Site, TRAINED};

#[test]
fn a_closed_tab_holds_nobody_up_and_a_late_one_catches_up() {
    let site = Site::start(LONG_ROUNDS);
    let staying = [site.join(), site.join()];
    let leaving = site.join();
    // Round 1 may settle before the third tab has joined: it must have contributed to count in the audit.
    let before = site.wait(&leaving, "a contribution", TRAINED, |state| state.contributions > 0).round;
    site.wait(&leaving, "training", TRAINED, |state| state.state == "training");
    leaving.close().unwrap();
    for page in &staying {
        site.wait_for_round(page, before + 2);
    }

    let late = site.join();
    let caught_up = site.wait(&late, "a contribution", TRAINED, |state| state.contributions > 0);
    assert!(caught_up.round >= before + 2, "it did not start from the last settled round: {caught_up:?}");
    let [one, two] = &staying;
    let audit = site.assert_settled(&[one, two, &late]);
    assert_eq!(audit.number("contributors"), 4.0, "{audit:?}");
}
