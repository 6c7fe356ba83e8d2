//! The model in sight: before the click on request, while it learns, in a drawing, and at the end.

use std::time::Duration;

use lichen_testkit::Page;
use serde_json::json;

use super::site::{DIGITS, ENDLESS, SOON, Site, TRAINED};

const SHOW: &str = "See what it can read";

/// How many samples are shown.
const SHOWN: &str = "document.querySelectorAll('.samples > li').length === 24";

/// What everything that this origin keeps in its databases is called.
const KEPT: &str = r"(async () => {
    const names = [];
    for (const { name } of await indexedDB.databases()) {
        const db = await new Promise(done => { const asked = indexedDB.open(name); asked.onsuccess = () => done(asked.result) });
        for (const store of db.objectStoreNames) {
            const asked = db.transaction(store).objectStore(store).getAllKeys();
            names.push(...await new Promise(done => { asked.onsuccess = () => done(asked.result) }));
        }
        db.close();
    }
    return names.map(String).join(' ');
})()";

/// What has moved since the page was opened without anybody's doing: the elements, and by how much. A painting is
/// watched for as well, so that there is something to be told where nothing has moved.
const MOVED: &str = r"new Promise(done => {
    const observer = new PerformanceObserver(list => done(list.getEntriesByType('layout-shift')
        .filter(shift => !shift.hadRecentInput)
        .flatMap(shift => shift.sources.map(({ node }) => `${node?.nodeName} ${node?.className} ${shift.value}`))));
    for (const type of ['layout-shift', 'paint']) observer.observe({ type, buffered: true });
})";

/// Draws lines through these places, from 0 to 1 across and down, as a pointer does.
fn draw(page: &Page, strokes: &[&[(f64, f64)]]) {
    let strokes: Vec<Vec<[f64; 2]>> =
        strokes.iter().map(|stroke| stroke.iter().map(|(x, y)| [*x, *y]).collect()).collect();
    let script = format!(
        r"(() => {{
            const field = document.querySelector('.field');
            field.scrollIntoView();
            const box = field.getBoundingClientRect();
            const send = (type, [x, y], buttons) => field.dispatchEvent(new PointerEvent(type, {{
                bubbles: true, cancelable: true, composed: true, pointerId: 1, button: 0, buttons,
                clientX: box.left + x * box.width, clientY: box.top + y * box.height }}));
            for (const stroke of {strokes:?}) {{
                send('pointerdown', stroke[0], 1);
                for (let i = 1; i < stroke.length; i++) {{
                    const [a, b] = [stroke[i - 1], stroke[i]];
                    for (let t = 1; t <= 8; t++) send('pointermove', [a[0] + (b[0] - a[0]) * t / 8, a[1] + (b[1] - a[1]) * t / 8], 1);
                }}
                send('pointerup', stroke.at(-1), 0);
            }}
            return true;
        }})()"
    );
    page.evaluate(&script).unwrap();
}

fn press(page: &Page, keys: &[&str]) {
    for key in keys {
        let script = format!(
            "document.querySelector('.field').dispatchEvent(new KeyboardEvent('keydown', \
             {{ key: {key:?}, bubbles: true, cancelable: true, composed: true }})), true"
        );
        page.evaluate(&script).unwrap();
    }
}

fn wait_for_reading(page: &Page, digit: &str) {
    let first = format!("document.querySelector('.bar-label')?.textContent === '{digit}'");
    if let Err(error) = page.wait_for(&format!("a {digit} to be read"), &first, Duration::from_secs(10)) {
        panic!("{error}: {}", page.evaluate("document.querySelector('.draw').innerText").unwrap());
    }
}

fn clear(page: &Page) {
    page.click("Clear", SOON).unwrap();
    let empty = "document.querySelector('.verdict').textContent === 'Nothing is drawn yet.'";
    page.wait_for("the field to be empty", empty, SOON).unwrap();
}

/// Draws some digits as most people write them.
fn draw_digits(page: &Page) {
    let ring: Vec<(f64, f64)> = (0..=16)
        .map(|step| f64::from(step) / 16.0 * std::f64::consts::TAU)
        .map(|angle| (0.5 - 0.22 * angle.sin(), 0.5 - 0.38 * angle.cos()))
        .collect();
    draw(page, &[&ring]);
    wait_for_reading(page, "0");
    clear(page);
    draw(page, &[&[(0.25, 0.15), (0.75, 0.15), (0.4, 0.9)], &[(0.3, 0.5), (0.7, 0.5)]]);
    wait_for_reading(page, "7");
    clear(page);
    // The same by keys: a line down, one of a four's.
    press(page, &["ArrowUp", "ArrowUp", "ArrowUp", "ArrowUp", " "]);
    press(page, &["ArrowDown"; 7]);
    press(page, &[" "]);
    wait_for_reading(page, "1");
}

#[test]
fn before_the_click_the_model_is_shown_on_request_and_nothing_else_happens() {
    let site = Site::start(ENDLESS);
    let training = site.join();
    site.wait(&training, "accuracy 0.95", TRAINED, |state| state.accuracy.is_some_and(|a| a >= 0.95));

    let page = site.open(&site.profile(), "");
    let told = "document.querySelector('.here')?.innerText.includes('1\u{a0}person is here now')";
    page.wait_for("the present to be told", told, SOON).unwrap();
    assert_eq!(page.evaluate(MOVED).unwrap(), json!([]), "what a visitor aims at moves away");
    assert_eq!(page.workers(), 0, "a worker was started");
    assert!(!page.requests().iter().any(|request| request.url.contains("/blob/")), "{:?}", page.requests());

    page.click(SHOW, SOON).unwrap();
    page.wait_for("samples to be shown", SHOWN, SOON).unwrap();
    let right = page.evaluate("document.querySelectorAll('.sample-right').length").unwrap();
    assert!(right.as_f64().unwrap() >= 18.0, "{right} of 24 are right");
    draw_digits(&page);

    let origin = site.relay.url();
    for request in page.requests() {
        assert!(!request.websocket && request.method == "GET", "{request:?}");
        assert!(request.url.starts_with(&origin) || request.url.starts_with("data:"), "{request:?}");
    }
    let kept = page.evaluate(KEPT).unwrap();
    assert!(!kept.as_str().unwrap().contains("key/account"), "a key was made: {kept}");
    assert_eq!(page.state().unwrap().unwrap().state, "idle");
    assert!(page.has_button("Join").unwrap());
    assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
    assert_eq!(page.console_errors(), Vec::<String>::new());

    page.click("Join", SOON).unwrap();
    site.wait(&page, "a contribution", TRAINED, |state| state.contributions > 0);
    let kept = page.evaluate(KEPT).unwrap();
    assert!(kept.as_str().unwrap().contains("key/account"), "{kept}");
}

#[test]
fn while_it_learns_guesses_become_right_and_a_drawing_is_read() {
    let site = Site::start(DIGITS);
    let page = site.join();
    page.wait_for("samples to be shown", SHOWN, TRAINED).unwrap();
    site.wait(&page, "accuracy 0.95", TRAINED, |state| state.accuracy.is_some_and(|a| a >= 0.95));
    let right = "document.querySelectorAll('.sample-right').length >= 20";
    page.wait_for("the guesses to be right", right, SOON).unwrap();
    let thanks = "document.querySelector('.thanks')?.innerText.includes('The goal is reached')";
    page.wait_for("thanks", thanks, SOON).unwrap();
    draw_digits(&page);
    assert_eq!(page.csp_violations().unwrap(), Vec::<String>::new());
    assert_eq!(page.console_errors(), Vec::<String>::new());
}

#[test]
fn a_finished_campaign_thanks_and_invites_nobody() {
    let site = Site::start(&[("limit = 1000", "limit = 2")]);
    let page = site.join();
    site.wait(&page, "the end", TRAINED, |state| state.state == "finished");
    let thanks = "document.querySelector('.thanks')?.innerText.includes('The campaign is over')";
    page.wait_for("thanks", thanks, SOON).unwrap();
    page.click("Leave", SOON).unwrap();
    site.wait(&page, "the farewell", SOON, |state| state.state == "left");
    assert!(!page.has_button("Join").unwrap());

    let late = site.open(&site.profile(), "");
    let told = "document.querySelector('.eyebrow')?.innerText.includes('This campaign is over')";
    late.wait_for("the end to be told", told, SOON).unwrap();
    assert!(!late.has_button("Join").unwrap());
    late.click(SHOW, SOON).unwrap();
    late.wait_for("samples to be shown", SHOWN, SOON).unwrap();
    let file =
        late.evaluate("fetch(document.querySelector('a[download]').href).then(r => r.status)").unwrap();
    assert_eq!(file, 200, "the model can be had");
}
