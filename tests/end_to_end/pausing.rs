//! Stop is immediate.

use lichen_bridge::{CommandId, Event, Message, Outcome, Phase};

use super::site::{LONG_ROUNDS, SOON, Site, TRAINED};

/// How soon the worker answers, in milliseconds.
const LIMIT: f64 = 100.0;

/// Notes when Pause is clicked and when the worker has said that it rests, in the bytes `RESTING` of a post.
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
            if (`,${new Uint8Array(event.data).join()},`.includes(",RESTING,")) {
                __pause.took.push(performance.now() - __pause.clicked);
                __pause.clicked = null;
            }
        });
    }
};"#;

/// What the worker posts as it comes to rest, between the number of messages in front and whichever command it answers.
fn resting() -> Vec<u8> {
    let answer = Event::Answered { id: CommandId(0), outcome: Outcome::Done };
    let post = Event::to_bytes(&[Event::Status(Phase::Paused), answer]).unwrap();
    post[1..post.len() - 2].to_vec()
}

#[test]
fn pause_answers_at_once_and_nothing_is_trained_until_resume() {
    let resting = resting().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
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

/// The step that the status bar names.
const STEP: &str = "Number(/step ([\\d,. \u{a0}\u{202f}]+) of/.exec(document.querySelector('.status-sentence')?.textContent ?? '')\
    ?.[1].replace(/\\D/g, '') ?? 0)";

#[test]
fn who_resumes_goes_on_where_the_pause_began() {
    let site = Site::start(&[
        ("steps = 60", "steps = 200000"),
        ("target_accuracy = 0.95", "target_accuracy = 1.0"),
        ("deadline_seconds = 10", "deadline_seconds = 600"),
    ]);
    let page = site.join_with("?engine=cpu");
    let step = || page.evaluate(STEP).unwrap().as_f64().unwrap();
    for _again in 0..2 {
        page.wait_for("a thousand more steps", &format!("{STEP} > {} + 1000", step()), TRAINED).unwrap();
        let reached = step();
        page.click("Pause", SOON).unwrap();
        site.wait(&page, "the pause", SOON, |state| state.state == "paused");
        page.click("Resume", SOON).unwrap();
        let resumed = page.wait_for("training", STEP, SOON).unwrap().as_f64().unwrap();
        assert!(resumed >= reached, "{reached} → {resumed}");
    }
}

#[test]
fn a_page_that_is_put_away_disconnects_and_comes_back() {
    let site = Site::start(super::site::ENDLESS);
    let page = site.join();
    site.wait_for_round(&page, 1);
    let tell = |name: &str| {
        page.evaluate(&format!("dispatchEvent(new PageTransitionEvent('{name}', {{ persisted: true }}))"))
            .unwrap()
    };
    tell("pagehide");
    site.wait(&page, "the page to disconnect", SOON, |state| state.state == "offline");
    let round = page.state().unwrap().unwrap().round;
    tell("pageshow");
    site.wait_for_round(&page, round + 2);
}
