//! Another browser in the same rounds.

use lichen_testkit::{Firefox, TabState, wait};

use super::site::{ENDLESS, MESH, SOON, Site, TRAINED};

#[test]
fn firefox_and_chromium_train_one_model() {
    train_together(ENDLESS, false);
}

#[test]
fn firefox_and_chromium_train_one_model_from_tab_to_tab() {
    train_together(MESH, true);
}

/// Three rounds of both, and of a mesh each other's updates by the direct connection.
fn train_together(campaign: &[(&str, &str)], is_mesh: bool) {
    let site = Site::start(campaign);
    let firefox = Firefox::launch().unwrap();
    let fox = firefox.new_page().unwrap();
    fox.navigate(&site.relay.url()).unwrap();
    fox.click("Join", SOON).unwrap();
    let page = site.join();
    let both = "both to have contributed to three rounds";
    let have = |state: &TabState| state.contributions >= 3 && (state.bytes_direct > 0) == is_mesh;
    fox.wait_for_state(both, TRAINED, have).unwrap();
    site.wait(&page, both, TRAINED, have);
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
