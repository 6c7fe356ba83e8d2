//! The page belongs to others, too: translators, extensions and password managers change it while it runs.

use lichen_testkit::Page;
use serde_json::Value;

use super::site::{ENDLESS, SOON, Site, TRAINED};

/// Puts every text node into two elements, from the first one on and again whenever texts come.
const WRAPPED: &str = r#"{
    const wrap = text => {
        const parent = text.parentElement;
        if (!parent || !text.data.trim() || parent.closest("script, style, [data-foreign]")) return;
        const [outer, inner] = [document.createElement("font"), document.createElement("font")];
        outer.dataset.foreign = "";
        text.replaceWith(outer);
        outer.append(inner);
        inner.append(text);
    };
    HAND
}"#;

/// Puts other words in the place of every text, as Google Translate does: the page's own text nodes are gone.
const TRANSLATED: &str = r#"{
    const wrap = text => {
        const parent = text.parentElement;
        if (!parent || !text.data.trim() || parent.closest("script, style, [data-foreign], [translate=no]")) return;
        const [outer, inner] = [document.createElement("font"), document.createElement("font")];
        outer.dataset.foreign = "";
        inner.textContent = `¡${text.data}!`;
        outer.append(inner);
        text.replaceWith(outer);
    };
    HAND
}"#;

/// Goes over all texts, now and later.
const HAND: &str = r#"
    const all = node => {
        if (node.nodeType === Node.TEXT_NODE) return wrap(node);
        const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT), texts = [];
        while (walker.nextNode()) texts.push(walker.currentNode);
        texts.forEach(wrap);
    };
    new MutationObserver(changes => {
        for (const change of changes) {
            if (change.type === "characterData") wrap(change.target);
            change.addedNodes.forEach(all);
        }
    }).observe(document, { childList: true, characterData: true, subtree: true });
"#;

/// Adds elements and attributes, wraps fields and cards, and takes parts away, whenever something changes.
const REARRANGED: &str = r#"{
    const make = name => Object.assign(document.createElement(name), { className: "foreign" });
    const mess = () => {
        if (!document.body) return;
        document.head.querySelector(".foreign") ?? document.head.append(make("meta"));
        document.body.querySelector(":scope > .foreign") ?? document.body.prepend(make("div"));
        document.body.dataset.foreign = "yes";
        for (const field of document.querySelectorAll("input, select, button")) {
            field.dataset.foreign = "yes";
            if (field.nextElementSibling?.className !== "foreign") field.after(make("span"));
        }
        for (const part of document.querySelectorAll(".score, .results, .facts > div, .switch select, .switch input")) {
            if (part.parentElement.className === "foreign") continue;
            const around = make("div");
            part.replaceWith(around);
            around.append(part);
        }
        for (const part of document.querySelectorAll(".eyebrow, .card-head p, .score-scale, .remarks, .lamp")) part.remove();
        for (const part of document.querySelectorAll(".status-row, .ask")) {
            if (part.dataset.turned) continue;
            part.dataset.turned = "yes";
            part.append(part.firstElementChild);
        }
    };
    let due = false;
    new MutationObserver(() => {
        if (due) return;
        due = true;
        queueMicrotask(() => { mess(); setTimeout(() => { due = false; }, 20); });
    }).observe(document, { childList: true, subtree: true });
}"#;

/// What a visit needs: the page joins, trains, tells, and its buttons do what they say.
fn visit(script: &str, said: impl Fn(&str) -> String) {
    let site = Site::start(ENDLESS);
    let page = site.profile().new_page().unwrap();
    page.run_on_load(&script.replace("HAND", HAND)).unwrap();
    page.navigate(&site.relay.url()).unwrap();
    page.click(&said("Join"), SOON).unwrap();
    let state = site.wait(&page, "two contributions", TRAINED, |state| state.contributions >= 2);
    follows(&page, "after that", state.round);

    for _again in 0..2 {
        page.click(&said("Pause"), SOON).unwrap();
        site.wait(&page, "pausing", SOON, |state| state.state == "paused");
        assert!(text(&page, ".status-sentence").contains("Paused"), "{}", text(&page, ".status-sentence"));
        assert!(!page.has_button(&said("Pause")).unwrap());
        page.click(&said("Resume"), SOON).unwrap();
        let state = site.wait(&page, "going on", TRAINED, |state| state.state != "paused");
        follows(&page, "after Resume", state.round);
    }
    page.click(&said("Leave"), SOON).unwrap();
    site.wait(&page, "leaving", SOON, |state| state.state == "left");
    assert!(page.has_button(&said("Join")).unwrap());
    page.click(&said("Join"), SOON).unwrap();
    site.wait(&page, "another contribution", TRAINED, |state| state.contributions >= 1);
    assert_eq!(page.console_errors(), Vec::<String>::new());
}

/// Waits until the text for the eye tells of a later round than that, and of the same as the page's own record does.
fn follows(page: &Page, when: &str, round: u64) {
    let shown = "Number(/After round (\\d+)/.exec(document.querySelector('.score').textContent)?.[1])";
    let same =
        format!("{shown} > {round} && String({shown}) === document.querySelector('main').dataset.round");
    page.wait_for(&format!("the shown round to follow {when}"), &same, TRAINED).unwrap();
}

fn text(page: &Page, selector: &str) -> String {
    let text = page.evaluate(&format!("document.querySelector({selector:?}).textContent")).unwrap();
    text.as_str().unwrap().to_owned()
}

#[test]
fn a_page_whose_texts_are_wrapped_works() {
    visit(WRAPPED, str::to_owned);
}

#[test]
fn a_page_that_is_translated_works() {
    visit(TRANSLATED, |word| format!("¡{word}!"));
}

#[test]
fn a_page_that_is_rearranged_works() {
    visit(REARRANGED, str::to_owned);
}

/// Notes when a worker is ended.
const ENDED: &str = "{ const terminate = Worker.prototype.terminate; globalThis.__ended = 0;
    Worker.prototype.terminate = function () { __ended += 1; return terminate.call(this); }; }";

#[test]
fn a_page_that_breaks_ends_its_worker_and_says_so() {
    let site = Site::start(ENDLESS);
    let page = site.profile().new_page().unwrap();
    page.run_on_load(ENDED).unwrap();
    page.navigate(&site.relay.url()).unwrap();
    page.click("Join", SOON).unwrap();
    site.wait(&page, "a contribution", TRAINED, |state| state.contributions >= 1);
    // At once, before the page draws something else and breaks on that.
    let click = "document.querySelector('[data-intent=pause]').click(); true";
    page.evaluate(&format!(
        "Node.prototype.insertBefore = () => {{ throw new Error('not here'); }}; {click}"
    ))
    .unwrap();
    let said = "document.querySelector('main[data-state=broken] [role=alert]')?.textContent";
    page.wait_for("the page to say that it stopped", said, SOON).unwrap();
    assert_eq!(page.evaluate("__ended").unwrap(), 1);
    // Nothing of it is left that goes on contributing.
    let before = site.contributions().len();
    let others = site.join();
    site.wait(&others, "some rounds without it", TRAINED, |state| state.contributions >= 4);
    let own = others.state().unwrap().unwrap().contributions;
    let after = site.contributions().len();
    // One may have been on its way, and another may have come of the other tab meanwhile.
    assert!(after as u64 <= before as u64 + own + 2, "{before} then {after}, of which {own} are another's");

    page.click("Reload", SOON).unwrap();
    site.wait(&page, "the invitation", SOON, |state| state.state == "idle");
    assert_eq!(page.evaluate("globalThis.__ended").unwrap(), Value::from(0));
}
