//! A tab that nobody looks at.

use super::site::{ENDLESS, Site, TRAINED};

/// Notes when the page is drawn from now on, in milliseconds. A drawing comes in several steps, the title last.
const COUNT: &str = "globalThis.__drawn = [], globalThis.__since = performance.now(),
    new MutationObserver(() => {
        const now = Math.round(performance.now() - __since);
        if (!(now - __drawn.at(-1) < 500)) __drawn.push(now);
    }).observe(document, { subtree: true, childList: true, attributes: true, characterData: true }), true";

#[test]
fn a_hidden_tab_keeps_its_place_in_every_round() {
    let site = Site::start(ENDLESS);
    let pages = [site.join(), site.join()];
    for page in &pages {
        site.wait(page, "a first contribution", TRAINED, |state| state.contributions >= 1);
    }
    pages[0].hide().unwrap();
    pages[0].evaluate(COUNT).unwrap();
    let before = pages[0].state().unwrap().unwrap();
    let after = site.wait(&pages[1], "five more rounds", TRAINED, |state| state.round >= before.round + 5);
    // The round under way may or may not have its contribution in the log.
    let rounds = after.round - before.round;
    let hidden = site.wait(&pages[0], "the same round", TRAINED, |state| state.round >= after.round);
    assert!(hidden.contributions + 1 >= before.contributions + rounds, "{before:?} {after:?} {hidden:?}");
    assert_eq!(pages[0].evaluate("document.visibilityState").unwrap(), "hidden");
    // It is drawn every five seconds only, since nobody sees it.
    let most = "__drawn.length <= 2 + (performance.now() - __since) / 5000";
    assert_eq!(pages[0].evaluate(most).unwrap(), true, "{:?}", pages[0].evaluate("__drawn.join()"));
}
