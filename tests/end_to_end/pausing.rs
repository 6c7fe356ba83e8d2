//! Stop is immediate.

use lichen_bridge::{Event, Message, Phase};

use super::site::{LONG_ROUNDS, SOON, Site, TRAINED};

/// How soon the worker answers, in milliseconds.
const LIMIT: f64 = 100.0;

/// Notes when Pause is clicked and when the worker has said that it rests, in the bytes `RESTING`.
const WATCH: &str = r#"
globalThis.__pause = { clicked: null, took: [] };
addEventListener("click", event => {
    if (event.target.closest("button")?.textContent.trim() === "Pause") __pause.clicked = performance.now();
}, true);
globalThis.Worker = class extends Worker {
    constructor(...rest) {
        super(...rest);
        this.addEventListener("message", event => {
            if (__pause.clicked === null || !(event.data instanceof ArrayBuffer)) return;
            if (new Uint8Array(event.data).join() === "RESTING") {
                __pause.took.push(performance.now() - __pause.clicked);
                __pause.clicked = null;
            }
        });
    }
};"#;

#[test]
fn pause_answers_at_once_and_nothing_is_trained_until_resume() {
    let resting = Event::Status(Phase::Paused).to_bytes().unwrap();
    let resting = resting.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let site = Site::start(LONG_ROUNDS);
    for engine in ["cpu", "gpu"] {
        let page = site.profile().new_page().unwrap();
        page.run_on_load(&WATCH.replace("RESTING", &resting)).unwrap();
        page.navigate(&format!("{}?engine={engine}", site.relay.url())).unwrap();
        page.click("Join", SOON).unwrap();
        for times in 1..=5 {
            site.wait(&page, "training", TRAINED, |state| state.state == "training");
            page.click("Pause", SOON).unwrap();
            let answered = format!("__pause.took.length === {times}");
            page.wait_for("the worker to say that it rests", &answered, SOON).unwrap();
            site.wait(&page, "the page to say so", SOON, |state| state.state == "paused");
            page.click("Resume", SOON).unwrap();
        }
        let took = page.evaluate("__pause.took.sort((a, b) => a - b)").unwrap();
        let median = took[2].as_f64().unwrap();
        assert!(median < LIMIT, "{engine}: {took}");

        site.wait(&page, "training", TRAINED, |state| state.state == "training");
        page.click("Leave", SOON).unwrap();
        site.wait(&page, "leaving", SOON, |state| state.state == "left");
        assert!(page.has_button("Join").unwrap());
    }
}
