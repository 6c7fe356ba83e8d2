//! Builds everything, starts the relay, and shows it to a person or to headless browser windows.

mod liars;
mod options;
mod tabs;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lichen_testkit::{RelayOptions, RelayProcess, campaign, http};

use crate::setup::{self, Toolchain};
use crate::{build, page, say, workspace};
use options::Options;

const PORT: u16 = 8080;

/// The `demo` command.
pub(crate) fn demo(arguments: lexopt::Parser) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    let toolchain = Toolchain::ensure()?;
    let dist = page::build(&toolchain, options.threads)?;
    let programs = build::programs(&toolchain, &dist)?;
    if options.tabs > 0 {
        setup::browser()?;
    }
    let port = choose_port(options.port)?;
    let data = data_folder(&options, port)?;
    let campaign = match (options.hostile, options.is_mesh) {
        (0, false) => None,
        (0, true) => Some(mesh_campaign()?),
        (_, is_mesh) => Some(liars::audited_campaign(is_mesh)?),
    };
    let liar = if options.hostile > 0 { Some(liars::build(&toolchain)?) } else { None };
    let log = (options.tabs > 0).then(|| workspace::target().join(format!("xtask/relay-{port}.log")));
    if let Some(log) = &log {
        fs::create_dir_all(workspace::target().join("xtask"))?;
        fs::write(log, "").with_context(|| format!("writing {}", log.display()))?;
    }
    let relay = RelayOptions { program: programs.relay, port, data, page: None, campaign, log };
    let mut relay = RelayProcess::start_with(relay, campaign_arguments(&options.campaigns)?)?;
    if options.tabs > 0 {
        let liars = liar.map(|liar| liars::Liars::start(&liar, &relay, options.hostile)).transpose()?;
        return tabs::drive(&options, &mut relay, liars, &programs.cli);
    }
    println!("{}", relay.url());
    say::note("open this in two windows and click Join; Ctrl-C ends the demo");
    loop {
        if let Some(status) = relay.exit_status()? {
            bail!("the relay ended: {status}");
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// What names the campaigns to the relay.
fn campaign_arguments(campaigns: &[String]) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    for named in campaigns {
        let shipped = campaign::shipped(named);
        let folder = if shipped.join("campaign.toml").is_file() { shipped } else { PathBuf::from(named) };
        if !folder.join("campaign.toml").is_file() {
            bail!("--campaign {named}: it is neither digits nor penguins, nor a folder with a campaign.toml");
        }
        arguments.extend(["--campaign".to_owned(), folder.display().to_string()]);
    }
    Ok(arguments)
}

/// The port asked for, or 8080, or any free one where nothing was asked for and 8080 is taken.
pub(crate) fn choose_port(asked: Option<u16>) -> Result<u16> {
    let port = asked.unwrap_or(PORT);
    if !http::port_is_taken(port) {
        return Ok(port);
    }
    if asked.is_some() {
        bail!("port {port} is taken by another program; choose another with --port");
    }
    let free = http::free_port()?;
    say::note(&format!("port {port} is taken by another program; using {free}"));
    Ok(free)
}

/// `.lichen/`, or a folder beside it where the campaign is another one; or an empty folder of its own.
fn data_folder(options: &Options, port: u16) -> Result<PathBuf> {
    if options.fresh {
        return workspace::empty_folder(&format!("fresh-{port}"));
    }
    Ok(workspace::root().join(match (options.hostile > 0, options.is_mesh) {
        (true, _) => ".lichen-audited",
        (false, true) => ".lichen-mesh",
        (false, false) => ".lichen",
    }))
}

/// The digits campaign with updates that go from tab to tab.
pub(crate) fn mesh_campaign() -> Result<PathBuf> {
    let folder = workspace::empty_folder("campaign-mesh")?;
    campaign::write_changed(&folder, &[("topology = \"hub\"", "topology = \"mesh\"")])?;
    Ok(folder)
}
