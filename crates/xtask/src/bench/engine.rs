//! Our engine and its peers in one browser: ready everybody, then sample them in turn.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::bundle;
use super::contestants::ALL;
use super::options::Options;
use super::report::{Limit, Limits, Line, Measured, Table};
use super::window::Window;
use crate::say::{self, Progress};
use crate::setup::{self, Toolchain};

/// The longest that an engine may take for its first step, or for a sample.
const LIMIT: Duration = Duration::from_secs(150);
/// Steps before the first sample; the last one's loss is compared across engines.
const WARM_UP: u32 = 2;
/// Milliseconds of a sample of a device's limits.
const PROBE_MS: f64 = 50.0;
/// The most steps in a sample.
const MOST_STEPS: f64 = 20_000.0;

/// What a device can do at most, and how that is found out.
struct Probe {
    script: &'static str,
    probe: &'static str,
    device: &'static str,
}

const PROBES: [Probe; 4] = [
    Probe { script: "processor_peak", probe: "multiply-add", device: "cpu" },
    Probe { script: "processor_peak", probe: "copy", device: "cpu" },
    Probe { script: "gpu_peak", probe: "multiply-add", device: "webgpu" },
    Probe { script: "gpu_peak", probe: "copy", device: "webgpu" },
];

/// The `bench engine` command.
pub(super) fn engine(toolchain: &Toolchain, arguments: lexopt::Parser) -> Result<ExitCode> {
    let options = Options::parse(arguments)?;
    setup::browser()?;
    let folder = bundle::build(toolchain)?;
    let window = Window::open(&folder)?;
    if options.profile {
        return profile(&window, &options);
    }
    say::note(&format!("Measuring in {}, {} samples each", window.browser(), options.samples));
    let mut probes = Probes::start(&window)?;
    let mut tables = Vec::new();
    for workload in &options.workloads {
        let flops = probes.flops(workload)?;
        let lines = measure(&window, workload, flops, &options, &mut probes)?;
        let table = Table { workload: workload.clone(), flops, lines, limits: probes.limits() };
        if !options.json {
            print!("{table}");
        }
        tables.push(table);
    }
    let sizes = bundle::sizes(&folder)?;
    if options.json {
        let tables: Vec<Value> = tables.iter().map(Table::json).collect();
        let result = json!({ "browser": window.browser(), "samples": options.samples, "workloads": tables,
            "limits": probes.limits().json(), "sizes": sizes.json() });
        println!("{result}");
    } else {
        print!("{}{sizes}", probes.limits());
    }
    Ok(ExitCode::SUCCESS)
}

/// What the kernels of our engine take, by kind.
fn profile(window: &Window, options: &Options) -> Result<ExitCode> {
    for workload in &options.workloads {
        let order = json!({ "workload": workload, "profile": true });
        window.start("profile", "ours", &order, LIMIT)?;
        // The first time, the browser was still compiling.
        let answer = window.run("profile", 1, LIMIT)?;
        println!("{}: microseconds a step on the CPU by kind of kernel", workload.to_uppercase());
        let lines = answer.get("result").and_then(Value::as_array);
        for line in lines.into_iter().flatten().filter_map(Value::as_str) {
            println!("{line}");
        }
        window.close("profile")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All contestants on one workload, interleaved.
fn measure(
    window: &Window,
    workload: &str,
    flops: f64,
    options: &Options,
    probes: &mut Probes,
) -> Result<Vec<Line>> {
    let mut progress = Progress::start(&format!("Workload {}", workload.to_uppercase()), "1 to 4 minutes");
    let contestants = ALL.into_iter().filter(|contestant| contestant.takes_part(workload, options));
    let mut running = Vec::new();
    for contestant in contestants {
        progress.at(&format!("{}: first step", contestant.name));
        let key = format!("{workload} {}", contestant.name);
        let order = contestant.order(workload);
        let ready = Lane::ready(window, &key, contestant.family, &order, options.sample_ms);
        running.push((contestant, key, ready));
    }
    for round in 1..=options.samples {
        progress.at(&format!("sample {round} of {}", options.samples));
        probes.sample(window)?;
        for (_, _, ready) in &mut running {
            let Ok(lane) = ready else { continue };
            if let Err(fault) = lane.sample(window) {
                *ready = Err(fault);
            }
        }
    }
    let mut lines = Vec::new();
    for (contestant, key, ready) in running {
        window.close(&key)?;
        let measured = ready.map(|lane| lane.measured(flops)).map_err(|fault| format!("{fault:#}"));
        lines.push(Line { contestant, measured });
    }
    progress.done();
    Ok(lines)
}

/// A worker that is sampled again and again.
struct Lane {
    key: String,
    /// Steps of a sample.
    count: u32,
    samples: Vec<f64>,
    first: Value,
    /// The loss after the first step and the warm-up.
    loss: f64,
    last: Value,
}

impl Lane {
    /// Starts a worker, times its first step, warms it up, and finds how many steps make a sample.
    fn ready(window: &Window, key: &str, script: &str, order: &Value, sample_ms: f64) -> Result<Self> {
        let first = window.start(key, script, order, LIMIT)?;
        let warm = window.run(key, WARM_UP, LIMIT)?;
        let loss = warm.get("result").and_then(Value::as_f64).unwrap_or(f64::NAN);
        let mut one = number(&warm, "ms")? / f64::from(WARM_UP);
        if one < sample_ms / 2.0 {
            // The browser compiles hot code again while it runs: the first steps say little about later ones.
            let count = steps(sample_ms / 2.0, one);
            one = number(&window.run(key, count, LIMIT)?, "ms")? / f64::from(count);
        }
        let count = steps(sample_ms, one);
        Ok(Self { key: key.into(), count, samples: Vec::new(), first, loss, last: Value::Null })
    }

    fn sample(&mut self, window: &Window) -> Result<()> {
        self.last = window.run(&self.key, self.count, LIMIT)?;
        self.samples.push(number(&self.last, "ms")? / f64::from(self.count));
        Ok(())
    }

    fn measured(&self, flops: f64) -> Measured {
        let ms = median(&self.samples);
        let counted = |answer: &Value, name: &str| number(answer, name).unwrap_or(f64::NAN);
        Measured {
            ms,
            fastest_ms: self.samples.iter().copied().fold(f64::INFINITY, f64::min),
            samples_ms: self.samples.clone(),
            gflops: flops / ms / 1e6,
            first_step_ms: counted(&self.first, "ms"),
            loss: self.loss,
            pipelines: counted(&self.first, "pipelines"),
            submits: counted(&self.last, "submits") / f64::from(self.count),
            dispatches: counted(&self.last, "dispatches") / f64::from(self.count),
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a small range")]
fn steps(wanted_ms: f64, one_ms: f64) -> u32 {
    (wanted_ms / one_ms.max(1e-3)).ceil().clamp(1.0, MOST_STEPS) as u32
}

fn number(answer: &Value, name: &str) -> Result<f64> {
    answer.get(name).and_then(Value::as_f64).with_context(|| format!("the worker gave no {name}"))
}

/// The middle one, or the mean of the middle two.
fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        middle(half)
    } else {
        f64::midpoint(middle(half.wrapping_sub(1)), middle(half))
    }
}

/// The limits of the devices, sampled in turn with the engines.
struct Probes {
    lanes: Vec<(Probe, Lane)>,
}

impl Probes {
    fn start(window: &Window) -> Result<Self> {
        let mut lanes = Vec::new();
        for probe in PROBES {
            let key = format!("{} {}", probe.device, probe.probe);
            match Lane::ready(window, &key, probe.script, &json!({ "probe": probe.probe }), PROBE_MS) {
                Ok(lane) => lanes.push((probe, lane)),
                // A machine without WebGPU still has a processor.
                Err(error) if probe.device == "webgpu" => {
                    say::note(&format!("no limits of WebGPU: {error:#}"));
                }
                Err(error) => return Err(error.context("probing the processor")),
            }
        }
        Ok(Self { lanes })
    }

    fn sample(&mut self, window: &Window) -> Result<()> {
        for (_, lane) in &mut self.lanes {
            lane.sample(window).with_context(|| format!("probing {}", lane.key))?;
        }
        Ok(())
    }

    /// Floating-point operations of a workload's step, which the first probe knows.
    fn flops(&self, workload: &str) -> Result<f64> {
        let known = self.lanes.iter().find_map(|(_, lane)| lane.first.get("flops"));
        number(known.unwrap_or(&Value::Null), workload)
    }

    /// GFLOP/s and GB/s by device.
    fn limits(&self) -> Limits {
        let rate = |device: &str, probe: &str| {
            let mut lanes = self.lanes.iter();
            let (_, lane) = lanes.find(|(one, _)| one.device == device && one.probe == probe)?;
            Some(number(&lane.first, "work").ok()? / median(&lane.samples) / 1e6)
        };
        let of = |device: &str| {
            Some(Limit { gflops: rate(device, "multiply-add")?, copy_gbps: rate(device, "copy")? })
        };
        Limits { cpu: of("cpu"), webgpu: of("webgpu") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_bits(), 2.0_f64.to_bits());
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]).to_bits(), 2.5_f64.to_bits());
        assert!(median(&[]).is_nan());
    }
}
