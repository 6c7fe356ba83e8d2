//! The page fits into any window, in any size of text, in both directions, and ends with its footer.

use lichen_testkit::{BrowserOptions, Page};
use serde_json::Value;

use super::site::{SOON, Site, TRAINED};

/// Long words, and rounds that fill a table soon.
const CAMPAIGN: &[(&str, &str)] = &[
    ("target_accuracy = 0.95", "target_accuracy = 1.0"),
    ("interval_seconds = 1.5", "interval_seconds = 0.5"),
    (
        "title = \"Handwritten digits\"",
        "title = \"Handschriftenziffernerkennungsgemeinschaftsunternehmen Donaudampfschifffahrtsgesellschaft\"",
    ),
];

/// Windows: phones upright and lying, one that is zoomed far, and a screen.
const SIZES: [(u32, u32); 6] = [(280, 653), (320, 256), (320, 568), (360, 740), (667, 375), (1280, 900)];

/// What sticks out at the sides, and how far the page goes on below its footer.
const MEASURE: &str = "(() => {
    const page = document.documentElement, width = page.clientWidth;
    const out = [...document.querySelectorAll('body *')].filter(one => {
        if (one.closest('.scroll') && !one.matches('.scroll') || one.closest('svg')) return false;
        if (one.matches('.visually-hidden, .skip')) return false;
        const box = one.getBoundingClientRect();
        return box.width > 0 && (box.left < -1 || box.right > width + 1);
    });
    const footer = document.querySelector('footer').getBoundingClientRect().bottom + scrollY;
    const sides = Math.max(page.scrollWidth, document.body.scrollWidth) - width;
    const below = page.scrollHeight - Math.max(footer, innerHeight);
    const bar = document.querySelector('.status')?.getBoundingClientRect().height ?? 0;
    return { sides, below, bar, out: out.slice(0, 5).map(one => one.outerHTML.slice(0, 120)) };
})()";

fn fits(page: &Page, what: &str) {
    for direction in ["ltr", "rtl"] {
        page.evaluate(&format!("document.documentElement.dir = '{direction}'")).unwrap();
        for (width, height) in SIZES {
            page.set_size(width, height, 1.0, false).unwrap();
            let found: Value = page.evaluate(MEASURE).unwrap();
            let place = format!("{what}, {direction}, {width} × {height}: {found}");
            assert_eq!(found["out"], Value::Array(Vec::new()), "{place}");
            assert!(found["sides"].as_f64().unwrap() <= 1.0, "wider than the window: {place}");
            assert!(found["below"].as_f64().unwrap() <= 1.0, "goes on below its footer: {place}");
            let bar = found["bar"].as_f64().unwrap();
            assert!(bar <= f64::from(height) * 0.35, "the bar leaves no room: {place}");
        }
    }
    page.evaluate("document.documentElement.dir = 'ltr'").unwrap();
}

#[test]
fn it_fits_into_any_window_with_any_text_size() {
    for size in [16, 24, 32] {
        let flag = format!("--blink-settings=defaultFontSize={size}");
        let site = Site::start_with(CAMPAIGN, &BrowserOptions { flags: vec![flag] });
        let page = site.open(&site.profile(), "");
        page.wait_for("the invitation", "document.querySelector(\'.button-join\') !== null", SOON).unwrap();
        fits(&page, &format!("invitation at {size} px"));
        page.set_size(1280, 900, 1.0, false).unwrap();
        page.click("Join", SOON).unwrap();
        // More than the table of contributions shows at once.
        site.wait(&page, "a full table", TRAINED, |state| state.contributions >= 20);
        fits(&page, &format!("training at {size} px"));
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; }); true")
            .unwrap();
        page.wait_for("the table of results", "document.querySelectorAll('.scroll').length >= 2", SOON)
            .unwrap();
        fits(&page, &format!("unfolded at {size} px"));
        page.set_size(1280, 900, 1.0, false).unwrap();
        page.click("Leave", SOON).unwrap();
        site.wait(&page, "leaving", SOON, |state| state.state == "left");
        fits(&page, &format!("left at {size} px"));
    }
}

#[test]
fn time_runs_from_left_to_right_in_both_directions() {
    let site = Site::start(CAMPAIGN);
    let page = site.join();
    site.wait(&page, "some points", TRAINED, |state| state.round >= 3);
    for direction in ["ltr", "rtl"] {
        page.evaluate(&format!("document.documentElement.dir = '{direction}'")).unwrap();
        let ends = "(() => { const [first, last] = document.querySelectorAll('.plot-across span');
            return first.getBoundingClientRect().left < last.getBoundingClientRect().left; })()";
        assert_eq!(page.evaluate(ends).unwrap(), true, "{direction}");
        let axis = "document.querySelector('.plot-up').getBoundingClientRect().right
            <= document.querySelector('.plot-canvas').getBoundingClientRect().left + 1";
        assert_eq!(page.evaluate(axis).unwrap(), true, "{direction}");
    }
}
