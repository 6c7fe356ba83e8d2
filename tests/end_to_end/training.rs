//! What the project is for.

use super::site::{DIGITS, SOON, Site, TRAINED};

#[test]
fn three_tabs_learn_the_digits_and_an_auditor_agrees() {
    let site = Site::start(DIGITS);
    let pages = [site.join(), site.join(), site.join()];
    for page in &pages {
        let state = site.wait(page, "accuracy 0.95", TRAINED, |state| {
            state.accuracy.is_some_and(|accuracy| accuracy >= 0.95)
        });
        assert!(state.contributions > 0, "{state:?}");
        assert!(state.first_step_ms.is_some(), "{state:?}");
    }
    let audit = site.wait_for_agreement(&pages.each_ref());
    assert_eq!(audit.number("contributors"), 3.0);
    assert!(audit.number("accuracy") >= 0.95, "{audit:?}");
    for page in &pages {
        // Shown to four digits or more; the auditor evaluates the same bytes on the same samples.
        let state = site.wait(page, "the last accuracy", SOON, |state| state.accuracy.is_some());
        assert!((state.accuracy.unwrap() - audit.number("accuracy")).abs() < 1e-4, "{state:?} {audit:?}");
        assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
        assert_eq!(page.console_errors(), Vec::<String>::new());
    }
}
