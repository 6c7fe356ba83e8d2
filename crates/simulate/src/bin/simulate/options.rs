//! What the command was asked for.

use anyhow::{Result, bail};
use lexopt::{Arg, ValueExt as _};
use lichen_simulate::Settings;

/// What is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// One run.
    One,
    /// So many small runs, each from a seed of its own.
    Many(u64),
    /// Those of the table of growth.
    Growth,
}

/// The options of `cargo xtask simulate`.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) settings: Settings,
    pub(crate) json: bool,
    pub(crate) shrinks: bool,
    pub(crate) threads: usize,
}

/// Where one run is not told otherwise.
const PEERS: usize = 8;
const ROUNDS: u64 = 6;

impl Options {
    pub(crate) fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self {
            mode: Mode::One,
            settings: Settings::new(1, PEERS, ROUNDS),
            json: false,
            shrinks: true,
            threads,
        };
        let (mut hostile, mut fold) = (None, None);
        let settings = &mut options.settings;
        while let Some(argument) = arguments.next()? {
            let Arg::Long(name) = argument else { return Err(argument.unexpected().into()) };
            match name.to_owned().as_str() {
                "seed" => settings.seed = arguments.value()?.parse()?,
                "seeds" => options.mode = Mode::Many(arguments.value()?.parse()?),
                "growth" => options.mode = Mode::Growth,
                "peers" => settings.peers = arguments.value()?.parse()?,
                "rounds" => settings.rounds = arguments.value()?.parse()?,
                "faults" => {
                    let text = arguments.value()?.string()?;
                    settings.faults = text.parse().map_err(|error: String| anyhow::anyhow!(error))?;
                }
                "topology" => {
                    settings.is_mesh = match arguments.value()?.string()?.as_str() {
                        "hub" => false,
                        "mesh" => true,
                        other => bail!("--topology takes hub or mesh, not {other:?}"),
                    }
                }
                "hostile" => hostile = Some(arguments.value()?.parse()?),
                "cohort" => settings.cohort = Some(arguments.value()?.parse()?),
                "committee" => settings.committee = Some(arguments.value()?.parse()?),
                "minimum" => settings.minimum = arguments.value()?.parse()?,
                "quorum" => settings.quorum = arguments.value()?.parse()?,
                "extensions" => settings.extensions = arguments.value()?.parse()?,
                "audit" => settings.audit = true,
                "outer" => settings.outer = true,
                "robust" => settings.robust = true,
                "fold" => {
                    fold = Some(match arguments.value()?.string()?.as_str() {
                        "own" => false,
                        "shared" => true,
                        other => bail!("--fold takes own or shared, not {other:?}"),
                    });
                }
                "only" => {
                    let text = arguments.value()?.string()?;
                    let places = text.split(',').filter(|place| *place != "none").map(str::parse);
                    settings.only = Some(places.collect::<Result<_, _>>()?);
                }
                "threads" => options.threads = arguments.value()?.parse()?,
                "trace" => settings.trace = true,
                "no-shrink" => options.shrinks = false,
                "json" => options.json = true,
                other => bail!("there is no option --{other}"),
            }
        }
        let usual = Settings::new(settings.seed, settings.peers, settings.rounds);
        settings.hostile = hostile.unwrap_or(usual.hostile);
        settings.shared = fold.unwrap_or(usual.shared);
        check(settings)?;
        Ok(options)
    }
}

fn check(settings: &Settings) -> Result<()> {
    if !(1..=100_000).contains(&settings.peers) || !(1..=10_000).contains(&settings.rounds) {
        bail!("a run has 1 to 100,000 peers and 1 to 10,000 rounds");
    }
    let honest = settings.peers.saturating_sub(settings.hostile);
    if settings.hostile > settings.peers || (settings.minimum as usize) > honest {
        bail!("there must be as many honest peers as a round needs contributions");
    }
    Ok(())
}
