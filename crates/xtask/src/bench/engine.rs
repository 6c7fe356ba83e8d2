//! Our engine and its peers in one browser: ready everybody, then sample them in turn.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::contestants::{ALL, Contestant};
use super::options::Options;
use super::window::Window;
use super::{bundle, report};
use crate::say::{self, Progress};
use crate::setup::{self, Toolchain};

/// The longest that an engine may take for its first step, or for a sample.
const LIMIT: Duration = Duration::from_secs(150);
/// Steps before the first sample; the last one's loss is compared across engines.
const WARM_UP: u32 = 2;
/// The most steps in a sample.
const MOST_STEPS: f64 = 20_000.0;

/// The device's limits, in the order in which they are probed: key, script, what it is told, device, unit.
const PROBES: [Probe; 4] = [
    Probe { script: "processor_peak", probe: "multiply-add", device: "cpu" },
    Probe { script: "processor_peak", probe: "copy", device: "cpu" },
    Probe { script: "gpu_peak", probe: "multiply-add", device: "webgpu" },
    Probe { script: "gpu_peak", probe: "copy", device: "webgpu" },
];

struct Probe {
    script: &'static str,
    probe: &'static str,
    device: &'static str,
}

/// One worker that is sampled again and again.
struct Lane {
    key: String,
    count: u32,
    samples: Vec<f64>,
    /// Of the last sample.
    last: Value,
    fault: Option<String>,
}

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
    let mut results = Vec::new();
    for workload in &options.workloads {
        let flops = probes.flops(workload)?;
        let lines = measure(&window, workload, flops, &options, &mut probes)?;
        if !options.json {
            print!("{}", report::table(workload, flops, &lines, &probes.limits()));
        }
        results.push(json!({ "workload": workload, "flops": flops, "engines": lines }));
    }
    let mut result = json!({
        "browser": window.browser(), "samples": options.samples, "limits": probes.limits(),
        "sizes": bundle::sizes(&folder)?, "workloads": results,
    });
    report::compare(&mut result);
    if options.json {
        println!("{result}");
    } else {
        print!("{}", report::summary(&result));
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
        for line in answer["result"].as_array().into_iter().flatten().filter_map(Value::as_str) {
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
) -> Result<Vec<Value>> {
    let mut progress = Progress::start(&format!("Workload {}", workload.to_uppercase()), "1 to 4 minutes");
    let contestants: Vec<Contestant> =
        ALL.into_iter().filter(|contestant| contestant.takes_part(workload, options)).collect();
    let mut lanes = Vec::new();
    for contestant in &contestants {
        progress.at(&format!("{}: first step", contestant.name));
        lanes.push(ready(window, contestant, workload, options));
    }
    for round in 1..=options.samples {
        progress.at(&format!("sample {round} of {}", options.samples));
        probes.sample(window)?;
        for (lane, _) in &mut lanes {
            lane.sample(window);
        }
    }
    let mut lines = Vec::new();
    for (contestant, (lane, first)) in contestants.iter().zip(lanes) {
        window.close(&lane.key)?;
        lines.push(line(contestant, &lane, &first, flops));
    }
    progress.done();
    Ok(lines)
}

/// Starts an engine, times its first step, warms it up, and finds how many steps make a sample.
fn ready(window: &Window, contestant: &Contestant, workload: &str, options: &Options) -> (Lane, Value) {
    let key = format!("{workload} {}", contestant.name);
    let mut lane = Lane { key, count: 1, samples: Vec::new(), last: Value::Null, fault: None };
    let first = window.start(&lane.key, contestant.family, &contestant.order(workload), LIMIT);
    let warm = first.and_then(|mut first| {
        let warm = window.run(&lane.key, WARM_UP, LIMIT)?;
        first["loss"] = warm["result"].clone();
        let mut one = milliseconds(&warm)? / f64::from(WARM_UP);
        if one < options.sample_ms / 2.0 {
            // The browser compiles hot code again while it runs: the first steps say little about later ones.
            let count = steps(options.sample_ms / 2.0, one);
            one = milliseconds(&window.run(&lane.key, count, LIMIT)?)? / f64::from(count);
        }
        lane.count = steps(options.sample_ms, one);
        Ok(first)
    });
    let first = warm.unwrap_or_else(|error| {
        lane.fault = Some(format!("{error:#}"));
        Value::Null
    });
    (lane, first)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a small range")]
fn steps(wanted_ms: f64, one_ms: f64) -> u32 {
    (wanted_ms / one_ms.max(1e-3)).ceil().clamp(1.0, MOST_STEPS) as u32
}

fn milliseconds(answer: &Value) -> Result<f64> {
    answer["ms"].as_f64().context("the worker gave no time")
}

impl Lane {
    fn sample(&mut self, window: &Window) {
        if self.fault.is_some() {
            return;
        }
        let answer = window.run(&self.key, self.count, LIMIT);
        match answer.and_then(|answer| Ok((milliseconds(&answer)?, answer))) {
            Ok((ms, answer)) => {
                self.samples.push(ms / f64::from(self.count));
                self.last = answer;
            }
            Err(error) => self.fault = Some(format!("{error:#}")),
        }
    }
}

fn line(contestant: &Contestant, lane: &Lane, first: &Value, flops: f64) -> Value {
    let mut line =
        json!({ "name": contestant.name, "family": contestant.family, "device": contestant.device });
    if let Some(fault) = &lane.fault {
        line["cannot"] = fault.as_str().into();
        return line;
    }
    let ms = median(&lane.samples);
    line["ms"] = ms.into();
    line["fastest_ms"] = lane.samples.iter().copied().fold(f64::INFINITY, f64::min).into();
    line["samples_ms"] = lane.samples.clone().into();
    line["gflops"] = (flops / ms / 1e6).into();
    line["first_step_ms"] = first["ms"].clone();
    line["loss_at_step_3"] = first["loss"].clone();
    if contestant.device == "webgpu" {
        let a_step = |name: &str| lane.last[name].as_f64().map(|all| all / f64::from(lane.count));
        line["submits"] = a_step("submits").into();
        line["dispatches"] = a_step("dispatches").into();
    }
    line
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
    lanes: Vec<(Lane, f64)>,
    flops: Value,
}

impl Probes {
    fn start(window: &Window) -> Result<Self> {
        let mut probes = Self { lanes: Vec::new(), flops: Value::Null };
        for Probe { script, probe, device } in PROBES {
            let key = format!("{device} {probe}");
            let mut lane = Lane { key, count: 1, samples: Vec::new(), last: Value::Null, fault: None };
            match window.start(&lane.key, script, &json!({ "probe": probe }), LIMIT) {
                Ok(first) => {
                    if let Some(flops) = first.get("flops") {
                        probes.flops = flops.clone();
                    }
                    lane.count = steps(50.0, milliseconds(&window.run(&lane.key, 2, LIMIT)?)? / 2.0);
                    probes.lanes.push((lane, first["work"].as_f64().context("a probe without work")?));
                }
                // A machine without WebGPU still has a processor.
                Err(error) if device == "webgpu" => say::note(&format!("no limits of WebGPU: {error:#}")),
                Err(error) => return Err(error.context("probing the processor")),
            }
        }
        Ok(probes)
    }

    fn sample(&mut self, window: &Window) -> Result<()> {
        for (lane, _) in &mut self.lanes {
            lane.sample(window);
            if let Some(fault) = &lane.fault {
                anyhow::bail!("the probe {} failed: {fault}", lane.key);
            }
        }
        Ok(())
    }

    /// Floating-point operations of a workload's step.
    fn flops(&self, workload: &str) -> Result<f64> {
        self.flops.get(workload).and_then(Value::as_f64).with_context(|| format!("no workload {workload}"))
    }

    /// GFLOP/s and GB/s by device.
    fn limits(&self) -> Value {
        let mut limits = json!({});
        for (lane, work) in &self.lanes {
            let [device, unit] = match lane.key.as_str() {
                "cpu multiply-add" => ["cpu", "gflops"],
                "cpu copy" => ["cpu", "copy_gbps"],
                "webgpu multiply-add" => ["webgpu", "gflops"],
                _ => ["webgpu", "copy_gbps"],
            };
            limits[device][unit] = (work / median(&lane.samples) / 1e6).into();
        }
        limits
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
