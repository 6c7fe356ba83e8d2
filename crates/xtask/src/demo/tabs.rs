//! N real browser windows instead of a person.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use lichen_testkit::{Browser, BrowserOptions, Error, Page, RelayProcess, TabState};
use serde_json::json;

use super::options::Options;
use crate::say;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the page may take until it can be joined.
const PAGE_LIMIT: Duration = Duration::from_secs(30);
const OUT_OF_TIME: u8 = 2;
const TAB_FAILED: u8 = 3;
const RELAY_ENDED: u8 = 4;

/// Why driving the tabs ended without reaching the mark.
struct Failure {
    code: u8,
    reason: String,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { code: TAB_FAILED, reason: error.to_string() }
    }
}

/// Opens the windows, joins, and follows them until all of them show the accuracy asked for.
pub(super) fn drive(options: &Options, relay: &mut RelayProcess) -> Result<ExitCode> {
    say::note(&format!("relay ready at {}", relay.url()));
    let browser = Browser::launch(&BrowserOptions::default())?;
    let mut pages = Vec::new();
    match run(options, relay, &browser, &mut pages) {
        Ok(outcome) => {
            report(options, relay, &outcome);
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            explain(&failure, &pages, relay);
            Ok(ExitCode::from(failure.code))
        }
    }
}

struct Outcome {
    states: Vec<TabState>,
    elapsed: Duration,
}

fn run(
    options: &Options,
    relay: &mut RelayProcess,
    browser: &Browser,
    pages: &mut Vec<Page>,
) -> Result<Outcome, Failure> {
    let query = options.engine.as_ref().map(|engine| format!("?engine={engine}")).unwrap_or_default();
    let url = format!("{}{query}", relay.url());
    say::note(&format!("opening {} windows of {}", options.tabs, browser.version()));
    for _ in 0..options.tabs {
        // Each in a profile of its own, so that each is another person.
        let page = browser.new_context()?.new_page()?;
        pages.push(page.clone());
        page.navigate(&url)?;
    }
    let start = Instant::now();
    for page in pages.iter() {
        page.click("Join", PAGE_LIMIT)?;
    }
    follow(options, relay, pages, start)
}

fn follow(
    options: &Options,
    relay: &mut RelayProcess,
    pages: &[Page],
    start: Instant,
) -> Result<Outcome, Failure> {
    let mut lines = Lines::new(pages.len());
    loop {
        let mut states = Vec::new();
        for page in pages {
            states.push(page.state()?.unwrap_or_default());
        }
        lines.show(start.elapsed(), &states);
        if states.iter().all(|state| state.accuracy.is_some_and(|accuracy| accuracy >= options.until)) {
            return Ok(Outcome { states, elapsed: start.elapsed() });
        }
        if let Some(status) = relay.exit_status()? {
            return Err(Failure { code: RELAY_ENDED, reason: format!("the relay ended: {status}") });
        }
        if start.elapsed() > options.timeout {
            let best = states.iter().filter_map(|state| state.accuracy).fold(0.0, f64::max);
            let (mark, seconds) = (options.until, options.timeout.as_secs_f64());
            let reason =
                format!("not every tab showed accuracy {mark} within {seconds} s; the best was {best:.4}");
            return Err(Failure { code: OUT_OF_TIME, reason });
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn report(options: &Options, relay: &RelayProcess, outcome: &Outcome) {
    let states = &outcome.states;
    let ahead = states.iter().max_by_key(|state| state.round);
    let accuracy = states.iter().filter_map(|state| state.accuracy).fold(1.0, f64::min);
    let rounds = ahead.map_or(0, |state| state.round);
    let contributions: u64 = states.iter().map(|state| state.contributions).sum();
    let seconds = (outcome.elapsed.as_secs_f64() * 10.0).round() / 10.0;
    let first_steps: Vec<_> = states.iter().map(|state| state.first_step_ms).collect();
    say::note(&format!("accuracy {accuracy:.4} after {rounds} rounds and {seconds} s"));
    for (number, first) in first_steps.iter().enumerate() {
        let time = first.map_or("not told".into(), |ms| format!("{ms:.0} ms"));
        say::note(&format!("tab {}: click to first training step: {time}", number + 1));
    }
    if options.json {
        let metrics = relay.metrics().unwrap_or_default();
        let object = json!({
            "tabs": options.tabs,
            "rounds": rounds,
            "accuracy": accuracy,
            "seconds": seconds,
            "contributions": contributions,
            "log_size": metric(&metrics, "lichen_log_length"),
            "checkpoint": ahead.and_then(|state| state.checkpoint.clone()),
            "first_step_ms": first_steps,
            "bytes_to_relay": metric(&metrics, "lichen_received_bytes_total"),
            "bytes_from_relay": metric(&metrics, "lichen_sent_bytes_total"),
            "bytes_direct": states.iter().map(|state| state.bytes_direct).sum::<u64>(),
            "bytes_relayed": states.iter().map(|state| state.bytes_relayed).sum::<u64>(),
            "engines": states.iter().map(|state| state.engine.clone()).collect::<Vec<_>>(),
        });
        println!("{object}");
    }
}

/// A whole number from the relay's metrics.
fn metric(metrics: &BTreeMap<String, f64>, name: &str) -> Option<u64> {
    // Counts far below 2^53, exact as f64.
    format!("{:.0}", metrics.get(name)?).parse().ok()
}

fn explain(failure: &Failure, pages: &[Page], relay: &RelayProcess) {
    for (number, page) in pages.iter().enumerate() {
        for line in page.console().iter().filter(|line| line.level == "error" || line.level == "warning") {
            say::note(&format!("tab {} console {}: {}", number + 1, line.level, line.text));
        }
    }
    say::note(&format!("end of the relay's log:\n{}", relay.log()));
    say::note(&format!("failed: {}", failure.reason));
}

/// One line for each tab, drawn over on a terminal; elsewhere a new one when there is news.
struct Lines {
    shown: Vec<TabState>,
    drawn: bool,
}

impl Lines {
    fn new(tabs: usize) -> Self {
        Self { shown: vec![TabState::default(); tabs], drawn: false }
    }

    fn show(&mut self, elapsed: Duration, states: &[TabState]) {
        let seconds = elapsed.as_secs_f64();
        if say::is_terminal() {
            if std::mem::replace(&mut self.drawn, true) {
                eprint!("\x1b[{}A", states.len());
            }
            for (number, state) in states.iter().enumerate() {
                eprintln!("\r\x1b[2Ktab {}: {}", number + 1, describe(state));
            }
        } else {
            for (number, (state, shown)) in states.iter().zip(&mut self.shown).enumerate() {
                if has_news(state, shown) {
                    eprintln!("{seconds:>6.1} s  tab {}: {}", number + 1, describe(state));
                    shown.clone_from(state);
                }
            }
        }
    }
}

/// Whether a line of its own is worth it: a round has settled, or the tab is not at its usual work any more.
fn has_news(state: &TabState, shown: &TabState) -> bool {
    const AT_WORK: [&str; 5] = ["training", "sending", "waiting", "aggregating", "checking"];
    let at_work = |state: &TabState| AT_WORK.contains(&state.state.as_str());
    state.round != shown.round
        || at_work(state) != at_work(shown)
        || !at_work(state) && state.state != shown.state
}

fn describe(state: &TabState) -> String {
    let mut words = vec![if state.state.is_empty() { "loading".into() } else { state.state.clone() }];
    words.push(format!("round {}", state.round));
    if let Some(accuracy) = state.accuracy {
        words.push(format!("accuracy {accuracy:.4}"));
    }
    words.push(format!("{} contributions", state.contributions));
    words.extend(state.engine.clone());
    words.join(", ")
}
