//! Another browser in the same rounds.

use lichen_testkit::{Firefox, wait};

use super::site::{ENDLESS, SOON, Site, TRAINED};

#[test]
fn firefox_and_chromium_train_one_model() {
    let site = Site::start(ENDLESS);
    let firefox = Firefox::launch().unwrap();
    let fox = firefox.new_page().unwrap();
    fox.navigate(&site.relay.url()).unwrap();
    fox.click("Join", SOON).unwrap();
    let page = site.join();
    let both = "both to have contributed to three rounds";
    fox.wait_for_state(both, TRAINED, |state| state.contributions >= 3).unwrap();
    site.wait(&page, both, TRAINED, |state| state.contributions >= 3);
    let audit = wait::until("both browsers and the audit to agree", SOON, || {
        let audit = site.audit();
        assert!(audit.passed, "{audit:?}");
        let settled = Some(audit.text("checkpoint"));
        let states = [fox.state()?.unwrap_or_default(), page.state()?.unwrap_or_default()];
        let agree = states.iter().all(|state| state.checkpoint == settled);
        Ok(if agree { Ok(audit) } else { Err((settled, states)) })
    })
    .unwrap();
    assert_eq!(audit.number("contributors"), 2.0);
}
