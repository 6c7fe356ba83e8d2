//! What the engine benchmark was asked for.

use anyhow::{Result, bail};
use lexopt::{Arg, ValueExt as _};

/// The options of `cargo xtask bench engine`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Options {
    /// Whether to print one JSON object instead of tables.
    pub(super) json: bool,
    /// Whether to show what our kernels take instead.
    pub(super) profile: bool,
    /// Samples per engine and workload.
    pub(super) samples: usize,
    /// Milliseconds that a sample should take at least.
    pub(super) sample_ms: f64,
    /// The workloads, in lower case.
    pub(super) workloads: Vec<String>,
    /// The families of engines; empty: all.
    pub(super) engines: Vec<String>,
    /// The devices; empty: all.
    pub(super) devices: Vec<String>,
}

const WORKLOADS: [&str; 5] = ["w1", "w2", "w3", "w4", "w5"];
const ENGINES: [&str; 3] = ["ours", "jax", "tfjs"];
const DEVICES: [&str; 3] = ["cpu", "webgl", "webgpu"];

impl Options {
    pub(super) fn parse(mut arguments: lexopt::Parser) -> Result<Self> {
        let mut options = Self {
            json: false,
            profile: false,
            samples: 7,
            sample_ms: 300.0,
            workloads: WORKLOADS.map(str::to_owned).to_vec(),
            engines: Vec::new(),
            devices: Vec::new(),
        };
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Long("json") => options.json = true,
                Arg::Long("profile") => options.profile = true,
                Arg::Long("quick") => (options.samples, options.sample_ms) = (5, 60.0),
                Arg::Long("only") => options.workloads = list(&mut arguments, "--only", &WORKLOADS)?,
                Arg::Long("engines") => options.engines = list(&mut arguments, "--engines", &ENGINES)?,
                Arg::Long("devices") => options.devices = list(&mut arguments, "--devices", &DEVICES)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(options)
    }
}

/// A list with commas, each of which must be known; capitals do not matter.
fn list(arguments: &mut lexopt::Parser, option: &str, known: &[&str]) -> Result<Vec<String>> {
    let names: Vec<String> =
        arguments.value()?.string()?.split(',').map(|name| name.trim().to_lowercase()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("{option} takes {}, not {unknown:?}", known.join(","));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Options> {
        Options::parse(lexopt::Parser::from_args(arguments))
    }

    #[test]
    fn lists_are_read_and_checked() {
        let options = parse(&["--quick", "--only", "W1,w3", "--engines", "ours,jax"]).unwrap();
        assert_eq!(options.workloads, ["w1", "w3"]);
        assert_eq!(options.engines, ["ours", "jax"]);
        assert_eq!(options.samples, 5);
        let error = parse(&["--only", "w9"]).unwrap_err().to_string();
        assert_eq!(error, "--only takes w1,w2,w3,w4,w5, not \"w9\"");
    }
}
