//! Rounds without a wait between them: how many a second, how soon they reach the goal, and what each costs the
//! processor, thread by thread.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lexopt::ValueExt as _;
use lichen_testkit::{Browser, BrowserOptions, Page, RelayProcess, Usage, campaign, http};
use serde_json::{Value, json};

use super::stage::{Options, PARTS, Stage, busy, rounded};
use crate::setup::Toolchain;
use crate::{say, workspace};

const LIMIT: Duration = Duration::from_secs(120);

/// How often is looked whether the goal is reached.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Contributions after which a browser has compiled what runs often.
const WARM: u32 = 25;

/// What is measured, with the limits that it keeps.
const CASES: [Case; 2] = [
    Case { topology: "hub", tabs: 3, goal_s: 1.0, seen_ms: 30.0, hidden_ms: 20.0 },
    Case { topology: "mesh", tabs: 6, goal_s: 2.5, seen_ms: 70.0, hidden_ms: 50.0 },
];

/// One network of tabs: how soon it reaches the goal, and what each tab may use in a round.
struct Case {
    topology: &'static str,
    tabs: u32,
    goal_s: f64,
    seen_ms: f64,
    hidden_ms: f64,
}

/// What came of a case.
struct Outcome {
    case: &'static Case,
    /// From the click to the goal, in seconds.
    goal_s: f64,
    seen: Cost,
    hidden: Cost,
}

/// Rounds over a while, and what they cost.
struct Cost {
    rounds_per_second: f64,
    /// Milliseconds of each tab in each round, in the order of [`PARTS`].
    parts: [f64; PARTS.len()],
}

impl Cost {
    fn all(&self) -> f64 {
        self.parts.iter().sum()
    }
}

impl Outcome {
    fn keeps_its_limits(&self) -> bool {
        let Case { goal_s, seen_ms, hidden_ms, .. } = self.case;
        self.goal_s <= *goal_s && self.seen.all() <= *seen_ms && self.hidden.all() <= *hidden_ms
    }
}

/// The `bench rounds` command.
pub(super) fn rounds(toolchain: &Toolchain, arguments: lexopt::Parser) -> Result<ExitCode> {
    let mut only: Option<String> = None;
    let options = Options::parse(arguments, |option, arguments| {
        let is_known = option == "only";
        if is_known {
            only = Some(arguments.value()?.string()?);
        }
        Ok(is_known)
    })?;
    let stage = options.given.complete(toolchain)?;
    let is_wanted = |case: &&Case| only.as_deref().is_none_or(|only| only == case.topology);
    let mut outcomes = Vec::new();
    for case in CASES.iter().filter(is_wanted) {
        outcomes.push(measure(case, &stage, options.seconds)?);
    }
    print(&outcomes, options.json);
    let is_kept = outcomes.iter().all(Outcome::keeps_its_limits);
    Ok(if is_kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(case: &'static Case, stage: &Stage, seconds: u64) -> Result<Outcome> {
    let (topology, tabs) = (case.topology, case.tabs);
    say::note(&format!("{tabs} tabs, {topology}"));
    let relay = stage.start(&format!("bench-rounds-{topology}"), Some(campaign(topology)?))?;
    let browser = Browser::launch(&BrowserOptions::default())?;
    let pages = open(&browser, &relay.url(), tabs)?;
    let goal_s = join(&pages)?;
    for page in &pages {
        page.wait_for("contributions", &has_contributed(WARM), LIMIT)?;
    }
    let seen = cost(&relay, &browser, tabs, seconds)?;
    for page in &pages {
        page.hide()?;
    }
    let hidden = cost(&relay, &browser, tabs, seconds)?;
    Ok(Outcome { case, goal_s, seen, hidden })
}

/// The digits campaign without a wait between rounds and without an end.
fn campaign(topology: &str) -> Result<PathBuf> {
    let folder = workspace::empty_folder(&format!("campaign-rounds-{topology}"))?;
    let topology = format!("topology = \"{topology}\"");
    let changes = [
        ("topology = \"hub\"", topology.as_str()),
        ("interval_seconds = 1.5", "interval_seconds = 0"),
        ("limit = 1000", "limit = 100000"),
    ];
    campaign::write_changed(&folder, &changes)?;
    Ok(folder)
}

/// Opens the page in so many windows, each in a profile of its own, and waits until they can be joined.
fn open(browser: &Browser, url: &str, tabs: u32) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    for _ in 0..tabs {
        let page = browser.new_context()?.new_page()?;
        page.navigate(url)?;
        pages.push(page);
    }
    for page in &pages {
        page.wait_for("the page", "document.querySelector('[data-intent=join]')", LIMIT)?;
    }
    Ok(pages)
}

/// Clicks Join in all of them; seconds from the first click until the first page shows the goal's accuracy.
fn join(pages: &[Page]) -> Result<f64> {
    let began = Instant::now();
    for page in pages {
        page.evaluate("document.querySelector('[data-intent=join]').click()")?;
    }
    let page = pages.first().context("no page")?;
    let is_reached = "Number(document.querySelector('main').dataset.accuracy) >= 0.95";
    while page.evaluate(is_reached)? != true {
        if began.elapsed() > LIMIT {
            bail!("the goal was not reached within {} s", LIMIT.as_secs());
        }
        thread::sleep(LOOK_EVERY);
    }
    Ok(began.elapsed().as_secs_f64())
}

fn has_contributed(times: u32) -> String {
    format!("document.querySelector('main').dataset.contributions >= {times}")
}

fn cost(relay: &RelayProcess, browser: &Browser, tabs: u32, seconds: u64) -> Result<Cost> {
    let (before, rounds_before, began) = (Usage::of_tree(browser.id())?, settled(relay)?, Instant::now());
    thread::sleep(Duration::from_secs(seconds));
    let rounds = settled(relay)? - rounds_before;
    let elapsed = began.elapsed().as_secs_f64();
    let used = Usage::of_tree(browser.id())?.since(&before);
    if rounds == 0.0 {
        bail!("no round settled within {seconds} s");
    }
    let parts = busy(&used).map(|seconds| seconds * 1_000.0 / rounds / f64::from(tabs));
    Ok(Cost { rounds_per_second: rounds / elapsed, parts })
}

/// Rounds settled so far, as the relay says.
fn settled(relay: &RelayProcess) -> Result<f64> {
    let answer = http::get(&format!("{}now.json", relay.url()), &[], LIMIT)?;
    let now: Value = serde_json::from_str(&answer.text())?;
    now.get("settled").and_then(Value::as_f64).context("the relay does not say how many rounds settled")
}

fn print(outcomes: &[Outcome], as_json: bool) {
    if as_json {
        let rows: Vec<Value> = outcomes.iter().map(row).collect();
        println!("{}", json!({ "cases": rows }));
        return;
    }
    println!("milliseconds of the processor for each tab and round, by thread");
    for outcome in outcomes {
        let Case { topology, tabs, goal_s, seen_ms, hidden_ms } = outcome.case;
        let reached = outcome.goal_s;
        println!("{topology} of {tabs} tabs: from the click to 0.95 in {reached:.2} s (at most {goal_s})");
        println!("{:<22} {:>10} {:>10}", "", "in view", "hidden");
        for ((part, _), (seen, hidden)) in
            PARTS.iter().zip(outcome.seen.parts.iter().zip(outcome.hidden.parts))
        {
            println!("  {part:<20} {seen:>10.2} {hidden:>10.2}");
        }
        println!("  {:<20} {:>10.2} {:>10.2}", "all", outcome.seen.all(), outcome.hidden.all());
        println!("  {:<20} {seen_ms:>10.2} {hidden_ms:>10.2}", "at most");
        let [seen, hidden] = [&outcome.seen, &outcome.hidden].map(|cost| cost.rounds_per_second);
        println!("  {:<20} {seen:>10.2} {hidden:>10.2}", "rounds a second");
    }
}

fn row(outcome: &Outcome) -> Value {
    let cost = |cost: &Cost| {
        let mut parts =
            json!({ "all": rounded(cost.all()), "rounds_per_second": rounded(cost.rounds_per_second) });
        for ((part, _), ms) in PARTS.iter().zip(cost.parts) {
            if let Some(parts) = parts.as_object_mut() {
                parts.insert(part.replace(' ', "_"), rounded(ms).into());
            }
        }
        parts
    };
    json!({
        "topology": outcome.case.topology,
        "tabs": outcome.case.tabs,
        "goal_seconds": rounded(outcome.goal_s),
        "in_view": cost(&outcome.seen),
        "hidden": cost(&outcome.hidden),
    })
}
