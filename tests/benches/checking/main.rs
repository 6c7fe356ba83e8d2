//! How long a tab takes to check a campaign's whole record, and the command line to do the same.
//!
//! `cargo xtask bench checking` runs it. The record is made here, with real signatures, updates and results, as members would have
//! made it who train round after round; the relay, the browser with the page in it, and the command line are the real ones.

mod made;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use lichen_record::Cid;
use lichen_testkit::{Browser, BrowserOptions, Page, RelayOptions, RelayProcess, campaign, http};

/// How long anything may take here that is waited for.
const LIMIT: Duration = Duration::from_secs(600);

/// What the page says of a check that has ended.
const SAID: &str = "document.querySelector('.check.notice')?.innerText";

/// Measure how long a tab takes to check a whole record.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench checking")]
struct Arguments {
    /// Contributions in the record
    #[arg(long, value_delimiter = ',', default_value = "1000", value_name = "NUMBERS")]
    contributions: Vec<u64>,
    /// Contributions to each round
    #[arg(long, default_value_t = 10, value_name = "NUMBER")]
    round: usize,
    /// Members who contribute in turn
    #[arg(long, default_value_t = 40, value_name = "NUMBER")]
    members: u16,
    /// Times that each is measured: the median is printed
    #[arg(long, default_value_t = 5, value_name = "NUMBER")]
    times: usize,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    println!(
        "Rounds of {} contributions to the digits model, by {} members:\n",
        arguments.round, arguments.members
    );
    println!(
        "| contributions | a tab, s | again, s | with its program, s | its requests for blobs alone, s | lichen verify, s |"
    );
    println!("|---|---|---|---|---|---|");
    for contributions in &arguments.contributions {
        measure(&arguments, *contributions)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments, contributions: u64) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let campaign = folder.path().join("campaign");
    let changes = [("quorum = 2", "quorum = 1"), ("limit = 1000", "limit = 1000000000")];
    campaign::write_changed(&campaign, &changes)?;
    let data = folder.path().join("data");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let blobs =
        runtime.block_on(made::write(&campaign, &data, contributions, arguments.round, arguments.members))?;
    let relay = RelayProcess::start(RelayOptions {
        program: from_environment("LICHEN_RELAY_BIN")?,
        port: http::free_port()?,
        data,
        page: Some(from_environment("LICHEN_DIST")?),
        campaign: Some(campaign),
        log: Some(folder.path().join("relay.log")),
    })?;
    let browser = Browser::launch(&BrowserOptions::default())?;
    let [mut first, mut again, mut whole, mut requests, mut native] = [const { Vec::new() }; 5];
    let mut said = String::new();
    for _time in 0..arguments.times {
        let page = browser.new_context()?.new_page()?;
        page.navigate(&relay.url())?;
        let began = Instant::now();
        said = check(&page, contributions)?;
        whole.push(began.elapsed().as_secs_f64());
        first.push(seconds(&said)?);
        page.evaluate("document.querySelector('.check').classList.remove('notice'), true")?;
        again.push(seconds(&check(&page, contributions)?)?);
        requests.push(page.evaluate(&fetch_all(&blobs))?.as_f64().context("no time")?);
        page.close()?;
        let began = Instant::now();
        let mut verify = Command::new(from_environment("LICHEN_CLI_BIN")?);
        let verified = verify.args(["verify", "--json", "--relay", &relay.url()]).output()?;
        native.push(began.elapsed().as_secs_f64());
        ensure!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    }
    println!(
        "| {contributions} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
        median(first),
        median(again),
        median(whole),
        median(requests),
        median(native)
    );
    println!("\n{said}\n");
    Ok(())
}

/// Has the page check the record; what it says.
fn check(page: &Page, contributions: u64) -> Result<String> {
    page.click("Check this model", LIMIT)?;
    let said = page.wait_for("the check to end", SAID, LIMIT)?;
    let said = said.as_str().context("no text")?.to_owned();
    ensure!(said.contains("nothing is wrong"), "{said}");
    let digits: String = said.replace('\u{202f}', "");
    ensure!(digits.contains(&format!("{contributions}\u{a0}contributions")), "{said}");
    Ok(said)
}

/// Asks for these blobs as the worker does, and does nothing with them; gives the seconds.
fn fetch_all(blobs: &[Cid]) -> String {
    let ids: Vec<String> = blobs.iter().map(Cid::to_string).collect();
    format!(
        "(async () => {{
            const [ids, began] = [{ids:?}, performance.now()];
            await Promise.all(Array.from({{ length: 32 }}, async () => {{
                for (let id; id = ids.pop();) {{
                    const answer = await fetch(`./blob/${{id}}`, {{ cache: 'no-store' }});
                    await answer.arrayBuffer();
                }}
            }}));
            return (performance.now() - began) / 1000;
        }})()"
    )
}

/// How long it says that it took.
fn seconds(said: &str) -> Result<f64> {
    let (_, after) = said.rsplit_once(" in ").context("no time")?;
    Ok(after.trim_end_matches(".").trim_end_matches("\u{a0}s").parse()?)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn from_environment(name: &str) -> Result<PathBuf> {
    Ok(std::env::var_os(name).context("run by `cargo xtask bench checking`")?.into())
}
