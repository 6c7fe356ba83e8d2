//! The options of the demo.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use lexopt::{Arg, ValueExt as _};

use crate::page::Threads;

/// More windows than this need more than one machine.
const MAX_TABS: usize = 64;

/// Members that lie, at most.
const MAX_HOSTILE: usize = 16;

/// What the `demo` command was asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    /// Headless windows; none: a person opens the page.
    pub(super) tabs: usize,
    /// The held-out accuracy to end at.
    pub(super) until: f64,
    /// When to give up.
    pub(super) timeout: Duration,
    /// Whether to use a new data folder.
    pub(super) fresh: bool,
    /// Whether to print a JSON object at the end.
    pub(super) json: bool,
    /// The engine forced on the tabs.
    pub(super) engine: Option<String>,
    /// Whether updates go from tab to tab rather than through the relay.
    pub(super) is_mesh: bool,
    /// The campaigns to run at once: folders, or names of those that come with the relay; none: the digits alone.
    pub(super) campaigns: Vec<String>,
    /// The port asked for.
    pub(super) port: Option<u16>,
    /// Whether the page offers to train with several threads.
    pub(super) threads: Threads,
    /// Members that lie, beside the windows.
    pub(super) hostile: usize,
    /// Whether windows are closed and others opened meanwhile.
    pub(super) churn: bool,
}

impl Options {
    pub(super) fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut options = Self {
            tabs: 0,
            until: 0.95,
            timeout: Duration::from_secs(300),
            fresh: false,
            json: false,
            engine: None,
            is_mesh: false,
            campaigns: Vec::new(),
            port: None,
            threads: Threads::Unasked,
            hostile: 0,
            churn: false,
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("tabs") => options.tabs = number(&mut arguments, "--tabs")?,
                Arg::Long("until") => options.until = number(&mut arguments, "--until")?,
                Arg::Long("timeout") => {
                    let seconds = number(&mut arguments, "--timeout")?;
                    options.timeout = Duration::try_from_secs_f64(seconds).context("--timeout")?;
                }
                Arg::Long("threads") => options.threads = Threads::Offered,
                Arg::Long("hostile") => options.hostile = number(&mut arguments, "--hostile")?,
                Arg::Long("churn") => options.churn = true,
                Arg::Long("fresh") => options.fresh = true,
                Arg::Long("json") => options.json = true,
                Arg::Long("campaign") => options.campaigns.push(arguments.value()?.string()?),
                Arg::Long("port") => options.port = Some(number(&mut arguments, "--port")?),
                Arg::Long("engine") => match arguments.value()?.string()?.as_str() {
                    "auto" => options.engine = None,
                    engine @ ("cpu" | "gpu") => options.engine = Some(engine.into()),
                    other => bail!("--engine is auto, cpu or gpu, not {other:?}"),
                },
                Arg::Long("topology") => match arguments.value()?.string()?.as_str() {
                    "hub" => options.is_mesh = false,
                    "mesh" => options.is_mesh = true,
                    other => bail!("--topology is hub or mesh, not {other:?}"),
                },
                other => return Err(other.unexpected().into()),
            }
        }
        options.check()
    }

    fn check(self) -> Result<Self> {
        if !(self.until > 0.0 && self.until <= 1.0) {
            bail!("--until is an accuracy above 0 and at most 1, not {}", self.until);
        }
        if !self.campaigns.is_empty() && (self.is_mesh || self.hostile > 0) {
            bail!(
                "--campaign goes neither with --topology mesh nor with --hostile, which have a campaign of their own"
            );
        }
        if self.tabs > MAX_TABS {
            bail!("--tabs is at most {MAX_TABS}");
        }
        if self.hostile > MAX_HOSTILE {
            bail!("--hostile is at most {MAX_HOSTILE}");
        }
        let is_driven = self.json || self.engine.is_some() || self.hostile > 0 || self.churn;
        if self.tabs == 0 && is_driven {
            bail!(
                "--json, --engine, --hostile and --churn are for windows driven by this command: add --tabs N"
            );
        }
        Ok(self)
    }
}

fn number<T: FromStr>(arguments: &mut lexopt::Parser, name: &'static str) -> Result<T>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let text = arguments.value()?.string()?;
    text.parse().with_context(|| format!("{name} {text:?} is not a number that can be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options> {
        Options::parse(lexopt::Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn reads_what_it_was_asked() {
        let options =
            parse("--tabs 3 --until 0.9 --timeout 60 --fresh --json --engine gpu --topology hub --port 81")
                .unwrap();
        assert_eq!((options.tabs, options.until, options.timeout), (3, 0.9, Duration::from_secs(60)));
        assert_eq!((options.fresh, options.json, options.engine.as_deref()), (true, true, Some("gpu")));
        assert_eq!((options.port, options.threads), (Some(81), Threads::Unasked));
        assert_eq!(parse("--threads").unwrap().threads, Threads::Offered);
        assert!(!options.is_mesh && parse("--tabs 2 --topology mesh").unwrap().is_mesh);
        let attacked = parse("--tabs 6 --churn --hostile 2").unwrap();
        assert!(attacked.churn && attacked.hostile == 2);
        assert_eq!(parse("").unwrap().until, 0.95);
        assert_eq!(parse("--tabs 1 --engine auto").unwrap().engine, None);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for line in [
            "--tabs x",
            "--tabs 1000",
            "--until 0",
            "--until 1.5",
            "--until NaN",
            "--timeout -1",
            "--json",
            "--engine tpu",
            "--topology ring",
            "--port 70000",
            "--hostile 2",
            "--tabs 2 --hostile 17",
            "--churn",
            "--campaign penguins --topology mesh",
            "--what",
            "3",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
