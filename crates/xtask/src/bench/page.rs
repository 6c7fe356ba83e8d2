//! What an open page costs the processor, thread by thread, in each of its states.

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lichen_testkit::{Browser, BrowserOptions, Page, Usage};
use serde_json::{Value, json};

use super::stage::{Options, PARTS, busy, rounded};
use crate::say;
use crate::setup::Toolchain;

const LIMIT: Duration = Duration::from_secs(120);

/// Contributions after which a browser has compiled what runs often: what comes before is paid once.
const WARM: u32 = 15;

/// The state that does not last, and is not held against the limit.
const FIRST: &str = "the first rounds";

/// Page and compositor together stay below this share of one core, in percent.
const MOST: f64 = 2.0;

/// The `bench page` command.
pub(super) fn page(toolchain: &Toolchain, arguments: lexopt::Parser) -> Result<ExitCode> {
    let options = Options::parse(arguments, |_, _| Ok(false))?;
    let stage = options.given.complete(toolchain)?;
    let mut relay = stage.start("bench-page", None)?;
    let browser = Browser::launch(&BrowserOptions::default())?;
    let page = browser.new_context()?.new_page()?;
    let mut states = Vec::new();
    let seconds = Duration::from_secs(options.seconds).as_secs_f64();
    let mut measure = |name: &str, after: &str| -> Result<()> {
        page.wait_for(after, after, LIMIT)?;
        say::note(&format!("measuring {name:?} for {} s", options.seconds));
        let before = Usage::of_tree(browser.id())?;
        thread::sleep(Duration::from_secs(options.seconds));
        let used = Usage::of_tree(browser.id())?.since(&before);
        states.push(State { name: name.to_owned(), shares: busy(&used).map(|busy| busy * 100.0 / seconds) });
        Ok(())
    };
    page.navigate(&relay.url())?;
    measure("before joining", &state_is("idle"))?;
    page.click("Join", LIMIT)?;
    measure(FIRST, &has_contributed(2))?;
    measure("taking part", &has_contributed(WARM))?;
    click(&page, "Pause")?;
    measure("paused", &state_is("paused"))?;
    click(&page, "Resume")?;
    page.wait_for("taking part again", "document.querySelector('main').dataset.state !== 'paused'", LIMIT)?;
    relay.kill();
    measure("without its relay", &state_is("offline"))?;
    print(&states, options.json);
    let lasting = states.iter().filter(|state| state.name != FIRST);
    let most = lasting.map(State::of_page).fold(0.0, f64::max);
    Ok(if most < MOST { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn click(page: &Page, name: &str) -> Result<()> {
    page.click(name, LIMIT).with_context(|| format!("clicking {name}"))
}

fn has_contributed(times: u32) -> String {
    format!("document.querySelector('main').dataset.contributions >= {times}")
}

fn state_is(state: &str) -> String {
    format!("document.querySelector('main').dataset.state === '{state}'")
}

/// Shares of one core in percent, in the order of [`PARTS`].
struct State {
    name: String,
    shares: [f64; PARTS.len()],
}

impl State {
    /// Page and compositor together.
    fn of_page(&self) -> f64 {
        PARTS.iter().zip(self.shares).filter(|((_, is_page), _)| *is_page).map(|(_, share)| share).sum()
    }

    fn all(&self) -> f64 {
        self.shares.iter().sum()
    }
}

fn print(states: &[State], as_json: bool) {
    if as_json {
        let rows: Vec<Value> = states.iter().map(row).collect();
        println!("{}", json!({ "limit_percent": MOST, "states": rows }));
        return;
    }
    println!("percent of one core; page and compositor together: below {MOST}");
    print!("{:<20}", "");
    for (part, _) in PARTS {
        print!(" {part:>20}");
    }
    println!(" {:>20} {:>8}", "page and compositor", "all");
    for state in states {
        print!("{:<20}", state.name);
        for share in state.shares {
            print!(" {share:>20.2}");
        }
        println!(" {:>20.2} {:>8.2}", state.of_page(), state.all());
    }
}

fn row(state: &State) -> Value {
    let mut row = json!({ "state": state.name, "page_and_compositor": rounded(state.of_page()) });
    for ((part, _), share) in PARTS.iter().zip(state.shares) {
        if let Some(row) = row.as_object_mut() {
            row.insert(part.replace(' ', "_"), rounded(share).into());
        }
    }
    row
}
