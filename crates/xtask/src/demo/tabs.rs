//! N real browser windows instead of a person.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use lichen_testkit::{Browser, BrowserOptions, Error, Page, RelayProcess, TabState};
use serde_json::{Value, json};

use super::liars::{Liars, verify};
use super::options::Options;
use crate::say;

const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How long the page may take until it can be joined.
const PAGE_LIMIT: Duration = Duration::from_secs(30);
/// How often a window is closed and another opened, where that is asked for.
const CHURN_EVERY: Duration = Duration::from_secs(6);
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
pub(super) fn drive(
    options: &Options,
    relay: &mut RelayProcess,
    liars: Option<Liars>,
    cli: &PathBuf,
) -> Result<ExitCode> {
    say::note(&format!("relay ready at {}", relay.url()));
    let browser = Browser::launch(&BrowserOptions::default())?;
    let mut pages = Vec::new();
    match run(options, relay, &browser, &mut pages, liars) {
        Ok(outcome) => {
            let verified = if options.hostile > 0 { verify(cli, relay)? } else { Value::Null };
            report(options, relay, &outcome, &verified);
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
    /// Windows closed, and others opened in their place.
    replaced: usize,
}

fn run(
    options: &Options,
    relay: &mut RelayProcess,
    browser: &Browser,
    pages: &mut Vec<Page>,
    liars: Option<Liars>,
) -> Result<Outcome, Failure> {
    let urls = addresses(options, relay)?;
    say::note(&format!("opening {} windows of {}", options.tabs, browser.version()));
    let windows = Windows { browser, urls, opened: Cell::new(0) };
    for _ in 0..options.tabs {
        pages.push(windows.open()?);
    }
    let start = Instant::now();
    for page in pages.iter() {
        page.click("Join", PAGE_LIMIT)?;
    }
    follow(options, relay, &windows, pages, liars, start)
}

/// Where windows come from.
struct Windows<'a> {
    browser: &'a Browser,
    /// The page of each campaign; windows open them by turns.
    urls: Vec<String>,
    opened: Cell<usize>,
}

/// The page of each campaign that the relay serves.
fn addresses(options: &Options, relay: &RelayProcess) -> Result<Vec<String>, Failure> {
    let site: Value = serde_json::from_slice(&relay.get("lichen.json")?.body)
        .map_err(|error| Failure { code: TAB_FAILED, reason: format!("lichen.json: {error}") })?;
    let engine = options.engine.as_ref().map(|engine| format!("&engine={engine}")).unwrap_or_default();
    let ids = site.get("campaigns").and_then(Value::as_array).into_iter().flatten();
    let ids = ids.filter_map(|one| one.get("id").and_then(Value::as_str));
    Ok(ids.map(|id| format!("{}?campaign={id}{engine}", relay.url())).collect())
}

impl Windows<'_> {
    /// Opens one in a profile of its own, so that each is another person.
    fn open(&self) -> Result<Page, Error> {
        let page = self.browser.new_context()?.new_page()?;
        let opened = self.opened.get();
        self.opened.set(opened + 1);
        if let Some(url) = self.urls.get(opened % self.urls.len().max(1)) {
            page.navigate(url)?;
        }
        Ok(page)
    }

    /// Closes the oldest window without a word, and has somebody else join.
    fn replace_oldest(&self, pages: &mut Vec<Page>) -> Result<(), Error> {
        if !pages.is_empty() {
            pages.remove(0).close()?;
        }
        let page = self.open()?;
        page.click("Join", PAGE_LIMIT)?;
        pages.push(page);
        Ok(())
    }
}

fn follow(
    options: &Options,
    relay: &mut RelayProcess,
    windows: &Windows<'_>,
    pages: &mut Vec<Page>,
    mut liars: Option<Liars>,
    start: Instant,
) -> Result<Outcome, Failure> {
    let mut lines = Lines::new(pages.len());
    let mut replaced = 0;
    loop {
        if options.churn
            && start.elapsed() >= CHURN_EVERY * (replaced + 1)
            && (replaced as usize) < pages.len()
        {
            windows.replace_oldest(pages)?;
            replaced += 1;
        }
        let mut states = Vec::new();
        for page in pages.iter() {
            states.push(page.state()?.unwrap_or_default());
        }
        lines.show(start.elapsed(), &states);
        let are_found_out = match &mut liars {
            Some(liars) => liars
                .are_found_out()
                .map_err(|error| Failure { code: TAB_FAILED, reason: format!("{error:#}") })?,
            None => true,
        };
        let is_churned = !options.churn || replaced as usize >= pages.len();
        let is_there = |state: &TabState| state.accuracy.is_some_and(|accuracy| accuracy >= options.until);
        if are_found_out && is_churned && states.iter().all(is_there) {
            return Ok(Outcome { states, elapsed: start.elapsed(), replaced: replaced as usize });
        }
        if let Some(status) = relay.exit_status()? {
            return Err(Failure { code: RELAY_ENDED, reason: format!("the relay ended: {status}") });
        }
        if start.elapsed() > options.timeout {
            let best = states.iter().filter_map(|state| state.accuracy).fold(0.0, f64::max);
            let (mark, seconds) = (options.until, options.timeout.as_secs_f64());
            let liars = if are_found_out { "" } else { "; not every member that lies was found out" };
            let reason = format!(
                "not every tab showed accuracy {mark} within {seconds} s; the best was {best:.4}{liars}"
            );
            return Err(Failure { code: OUT_OF_TIME, reason });
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn report(options: &Options, relay: &RelayProcess, outcome: &Outcome, verified: &Value) {
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
    if !verified.is_null() {
        say::note(&format!(
            "lichen verify: {} trainings repeated by others, {} of them by it; expelled {}; {} accounts said what is false",
            verified["trainings_audited"],
            verified["trainings_repeated"],
            verified["expelled"],
            verified["contradictions"]
        ));
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
            "replaced": outcome.replaced,
            "bytes_per_param_round": per_parameter(relay, states.len(), rounds),
            "refused": sum(&metrics, "lichen_refused_total"),
            "audits": verified["trainings_audited"],
            "excluded": verified["expelled"],
            "contradictions": verified["contradictions"],
            "engines": states.iter().map(|state| state.engine.clone()).collect::<Vec<_>>(),
        });
        println!("{object}");
    }
}

/// Bytes that pass the relay for each tab, round and parameter of the model; none before there was a round.
fn per_parameter(relay: &RelayProcess, tabs: usize, rounds: u64) -> Option<f64> {
    let metrics = relay.metrics().ok()?;
    let bytes = metrics.get("lichen_received_bytes_total")? + metrics.get("lichen_sent_bytes_total")?;
    let shares = f64::from(u32::try_from(tabs).ok()?) * f64::from(u32::try_from(rounds).ok()?);
    (shares > 0.0).then(|| (bytes / shares / f64::from(super::liars::PARAMETERS)).round())
}

/// All counts of one metric, whatever their labels.
fn sum(metrics: &BTreeMap<String, f64>, name: &str) -> u64 {
    let of_it = metrics.iter().filter(|(key, _count)| key.starts_with(name));
    format!("{:.0}", of_it.map(|(_key, count)| count).sum::<f64>()).parse().unwrap_or(0)
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
