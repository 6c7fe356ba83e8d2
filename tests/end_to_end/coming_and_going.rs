//! Tabs close and come when they like.

use std::time::{Duration, Instant};

use lichen_testkit::Page;

use super::site::{LONG_ROUNDS, Site, TRAINED};

/// Rounds that wait a minute for whoever is expected, so that waiting for somebody who is gone cannot be overlooked.
const PATIENT: &[(&str, &str)] = &[
    ("target_accuracy = 0.95", "target_accuracy = 1.0"),
    ("deadline_seconds = 10", "deadline_seconds = 60"),
];
const PATIENT_MESH: &[(&str, &str)] = &[
    ("target_accuracy = 0.95", "target_accuracy = 1.0"),
    ("deadline_seconds = 10", "deadline_seconds = 60"),
    ("topology = \"hub\"", "topology = \"mesh\""),
];

/// How long the others' rounds may take in which somebody has gone: a small part of the deadline, on a busy machine.
const A_FEW_SECONDS: Duration = Duration::from_secs(15);

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

/// Two tabs take part, one goes in this way, and the other's rounds go on.
fn goes_without_a_word(changes: &[(&str, &str)], way: impl FnOnce(Page)) {
    let site = Site::start(changes);
    let (staying, going) = (site.join(), site.join());
    for page in [&staying, &going] {
        site.wait(page, "two contributions", TRAINED, |state| state.contributions >= 2);
    }
    let before = site.wait(&staying, "a state", TRAINED, |_state| true).round;
    let gone = Instant::now();
    way(going);
    site.wait(&staying, "two more rounds to settle", A_FEW_SECONDS, |state| state.round >= before + 2);
    println!("two rounds settled {:.1} s after the other tab had gone", gone.elapsed().as_secs_f64());
}

#[test]
fn a_closed_window_costs_the_other_no_deadline() {
    goes_without_a_word(PATIENT, |page| page.close().unwrap());
    goes_without_a_word(PATIENT_MESH, |page| page.close().unwrap());
}

#[test]
fn a_tab_that_goes_elsewhere_costs_the_other_no_deadline() {
    goes_without_a_word(PATIENT, |page| page.navigate("about:blank").unwrap());
    goes_without_a_word(PATIENT_MESH, |page| page.reload().unwrap());
}
