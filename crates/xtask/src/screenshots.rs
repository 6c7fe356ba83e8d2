//! Takes the README's pictures from a live training session.

use std::fs;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use lichen_testkit::{Browser, BrowserOptions, Page, RelayOptions, RelayProcess, http};

use crate::setup::{self, Toolchain};
use crate::{build, page, say, workspace};

const TABS: usize = 3;
const LIMIT: Duration = Duration::from_secs(120);
/// Far enough for the curves to be worth seeing.
const ROUNDS: u64 = 6;

/// Name, width, height, pixel ratio, phone, dark.
const PICTURES: [(&str, u32, u32, f64, bool, bool); 3] = [
    ("light", 1280, 960, 1.0, false, false),
    ("dark", 1280, 960, 1.0, false, true),
    ("phone", 390, 844, 2.0, true, false),
];

/// Waits until the page is drawn as it now is: two frames later, when no colour is on its way to another any more.
const DRAWN: &str = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))
    .then(() => document.getAnimations().filter(one => one.effect.getComputedTiming().endTime < Infinity))
    .then(running => Promise.allSettled(running.map(one => one.finished)))
    .then(() => true)";

/// The `screenshots` command.
pub(crate) fn screenshots(mut arguments: lexopt::Parser) -> Result<ExitCode> {
    if let Some(argument) = arguments.next()? {
        return Err(argument.unexpected().into());
    }
    let toolchain = Toolchain::ensure()?;
    let dist = page::build(&toolchain, page::Threads::Offered)?;
    let programs = build::programs(&toolchain, &dist)?;
    setup::browser()?;
    let data = workspace::empty_folder("screenshots")?;
    let log = Some(data.join("relay.log"));
    let port = http::free_port()?;
    let relay = RelayProcess::start(RelayOptions {
        program: programs.relay,
        port,
        data,
        page: None,
        campaign: None,
        log,
    })?;
    let browser = Browser::launch(&BrowserOptions::default())?;
    let mut pages = Vec::new();
    for _ in 0..TABS {
        let page = browser.new_context()?.new_page()?;
        page.navigate(&relay.url())?;
        pages.push(page);
    }
    for page in &pages {
        page.click("Join", LIMIT)?;
    }
    let page = pages.first().context("no window was opened")?;
    page.wait_for_state("some rounds to settle", LIMIT, |state| state.round >= ROUNDS)?;
    let folder = workspace::root().join("web/screenshots");
    fs::create_dir_all(&folder)?;
    for picture in PICTURES {
        take(page, picture, &folder)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn take(
    page: &Page,
    (name, width, height, scale, phone, dark): (&str, u32, u32, f64, bool, bool),
    folder: &std::path::Path,
) -> Result<()> {
    page.set_size(width, height, scale, phone)?;
    page.set_dark(dark)?;
    page.evaluate(DRAWN)?;
    let file = folder.join(format!("{name}.png"));
    fs::write(&file, page.screenshot()?).with_context(|| format!("writing {}", file.display()))?;
    say::note(&format!("wrote {}", file.display()));
    Ok(())
}
