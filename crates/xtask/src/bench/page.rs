//! What an open page costs the processor, thread by thread, in each of its states.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lexopt::{Arg, ValueExt as _};
use lichen_testkit::usage::Thread;
use lichen_testkit::{Browser, BrowserOptions, Page, RelayOptions, RelayProcess, Usage, http};
use serde_json::{Value, json};

use crate::setup::{self, Toolchain};
use crate::{build, page, say, workspace};

const LIMIT: Duration = Duration::from_secs(120);

/// Contributions after which a browser has compiled what runs often: what comes before is paid once.
const WARM: u32 = 15;

/// The state that does not last, and is not held against the limit.
const FIRST: &str = "the first rounds";

/// Page and compositor together stay below this share of one core, in percent.
const MOST: f64 = 2.0;

/// What threads are counted as, and whether they are page and compositor.
const PARTS: [(&str, bool); 7] = [
    ("page", true),
    ("compositor", true),
    ("graphics process", true),
    ("training worker", false),
    ("helpers of both", false),
    ("network", false),
    ("rest of the browser", false),
];

struct Options {
    seconds: u64,
    dist: Option<PathBuf>,
    json: bool,
}

/// The `bench page` command.
pub(super) fn page(toolchain: &Toolchain, arguments: lexopt::Parser) -> Result<ExitCode> {
    let options = parse(arguments)?;
    let built = page::build(toolchain, page::Threads::Offered)?;
    let programs = build::programs(toolchain, &built)?;
    setup::browser()?;
    let data = workspace::empty_folder("bench-page")?;
    let mut relay = RelayProcess::start(RelayOptions {
        program: programs.relay,
        port: http::free_port()?,
        log: Some(data.join("relay.log")),
        data,
        page: Some(options.dist.clone().unwrap_or(built)),
        campaign: None,
    })?;
    let browser = Browser::launch(&BrowserOptions::default())?;
    let page = browser.new_context()?.new_page()?;
    let mut states = Vec::new();
    let mut measure = |name: &str, after: &str| -> Result<()> {
        page.wait_for(after, after, LIMIT)?;
        say::note(&format!("measuring {name:?} for {} s", options.seconds));
        let before = Usage::of_tree(browser.id())?;
        thread::sleep(Duration::from_secs(options.seconds));
        let used = Usage::of_tree(browser.id())?.since(&before);
        states.push(State { name: name.to_owned(), shares: shares(&used, options.seconds) });
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

fn parse(mut arguments: lexopt::Parser) -> Result<Options> {
    let mut options = Options { seconds: 10, dist: None, json: false };
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("seconds") => options.seconds = arguments.value()?.parse::<u64>()?.max(1),
            Arg::Long("dist") => options.dist = Some(arguments.value()?.into()),
            Arg::Long("json") => options.json = true,
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(options)
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

fn shares(used: &[Thread], seconds: u64) -> [f64; PARTS.len()] {
    let mut shares = [0.0; PARTS.len()];
    for thread in used {
        if let Some(share) = shares.get_mut(part(thread)) {
            *share += thread.busy.as_secs_f64() * 100.0 / Duration::from_secs(seconds).as_secs_f64();
        }
    }
    shares
}

/// The place in [`PARTS`] that a thread is counted in.
fn part(thread: &Thread) -> usize {
    let command = &thread.command;
    if command.contains("--type=gpu-process") {
        return 2;
    }
    if command.contains("network.mojom") {
        return 5;
    }
    if !command.contains("--type=renderer") {
        return 6;
    }
    match thread.name.as_str() {
        _ if thread.is_main => 0,
        name if name.starts_with("DedicatedWorker") => 3,
        name if name.starts_with("Compositor") => 1,
        // What compiles and collects garbage does so for the page and for the worker.
        name if name.starts_with("ThreadPool") => 4,
        _ => 0,
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

fn rounded(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(command: &str, name: &str, is_main: bool) -> Thread {
        Thread { command: command.into(), name: name.into(), is_main, busy: Duration::from_millis(50) }
    }

    #[test]
    fn each_thread_counts_where_it_works() {
        let used = [
            thread("chromium --type=renderer --lang=en", "chromium", true),
            thread("chromium --type=renderer --lang=en", "Compositor", false),
            thread("chromium --type=renderer --lang=en", "DedicatedWorker", false),
            thread("chromium --type=renderer --lang=en", "ThreadPoolForeg", false),
            thread("chromium --type=gpu-process", "VizCompositorTh", false),
            thread(
                "chromium --type=utility --utility-sub-type=network.mojom.NetworkService",
                "chromium",
                true,
            ),
            thread("chromium --headless", "chromium", true),
        ];
        let state = State { name: String::new(), shares: shares(&used, 10) };
        assert_eq!(state.shares.map(rounded), [0.5; PARTS.len()]);
        assert_eq!((rounded(state.of_page()), rounded(state.all())), (1.5, 3.5));
    }
}
