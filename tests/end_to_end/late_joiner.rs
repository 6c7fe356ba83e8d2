//! Who comes late sees the way that the model has come.

use lichen_testkit::Page;
use serde_json::{Value, json};

use super::site::{ENDLESS, SOON, Site, TRAINED};

/// Entries of a log that has gone on for long: some 40 MB.
const MANY: u32 = 100_000;

/// Most that a tab takes of it, with the data, the model and its part in a round, in bytes.
const FEW: f64 = 2e6;

/// The rounds that the curves begin and end with, whether a part of them is dashed, and what the page says of that part.
const CURVE: &str = "(() => {
    const accuracy = document.querySelector('.plot');
    const ends = [...accuracy.querySelectorAll('.plot-across span')].map(one => Number(/\\d+/.exec(one.textContent)?.[0]));
    const before = accuracy.querySelector('.line.before');
    return {
        first: ends[0], last: ends.at(-1),
        dashed: before !== null && getComputedStyle(before).strokeDasharray !== 'none',
        places: (before?.getAttribute('d').match(/[ML]/g) ?? []).length,
        words: accuracy.querySelector('desc').textContent,
        note: document.querySelector('.plot-before')?.textContent ?? '',
    };
})()";

fn curve(page: &Page) -> Value {
    page.evaluate(CURVE).unwrap()
}

#[test]
fn a_late_tab_shows_the_rounds_before_it_as_reported() {
    let site = Site::start(ENDLESS);
    let early = site.join();
    let before = site.wait_for_round(&early, 6).round;
    let late = site.join();
    site.wait(&late, "some results of its own", TRAINED, |state| state.contributions >= 3);
    late.wait_for("two curves", "document.querySelector('.line.before')", SOON).unwrap();
    let seen = curve(&late);
    assert_eq!((&seen["first"], &seen["dashed"]), (&json!(1), &json!(true)), "{seen}");
    assert!(seen["places"].as_u64().unwrap() >= before - 1, "round {before}: {seen}");
    assert!(seen["last"].as_u64().unwrap() > before, "{seen}");
    for (what, words) in [("words", "Before you joined it went from"), ("note", "nobody has checked it")] {
        assert!(seen[what].as_str().unwrap().contains(words), "{seen}");
    }

    // The table tells them apart, too.
    late.evaluate("document.querySelector('.results details').open = true").unwrap();
    let rows = "(() => { const rows = [...document.querySelectorAll('.results tbody th')].map(one => one.textContent);
        return rows.at(-1) === '1 as reported' && !rows[0].includes('reported') && rows.length; })()";
    late.wait_for("the table's rows", rows, SOON).unwrap();

    // Whoever was there from the beginning has measured everything.
    let seen = curve(&early);
    assert_eq!((&seen["dashed"], &seen["note"]), (&json!(false), &json!("")), "{seen}");
    assert_eq!(early.console_errors(), Vec::<String>::new());
    assert_eq!(late.console_errors(), Vec::<String>::new());
}

#[test]
fn a_tab_joins_a_log_of_a_hundred_thousand_entries_at_once() {
    let changes = [("quorum = 2", "quorum = 1"), ("limit = 1000", "limit = 1000000000")];
    let site = Site::start_late(&changes, MANY.into());
    let page = site.join();
    let joined = site.wait(&page, "a contribution", SOON, |state| state.contributions >= 1);
    assert!(joined.round >= u64::from(MANY / 20), "{joined:?}");
    let metrics = site.relay.metrics().unwrap();
    assert!(metrics["lichen_log_length"] > 0.99 * f64::from(MANY), "{metrics:?}");
    let sent = metrics["lichen_sent_bytes_total"];
    assert!(sent < FEW, "{sent} bytes");
    assert_eq!(page.console_errors(), Vec::<String>::new());
}
