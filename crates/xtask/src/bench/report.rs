//! Ratios to the fastest peer and to the device's limit, and how they are shown.

use std::fmt::{self, Display, Formatter};

use serde_json::{Value, json};

use super::contestants::Contestant;

/// Losses further apart than this (relative) are not those of the same model.
const SAME_LOSS: f64 = 1e-3;

/// What was measured of an engine on a workload.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    /// Median milliseconds of a step.
    pub(super) ms: f64,
    pub(super) fastest_ms: f64,
    pub(super) samples_ms: Vec<f64>,
    pub(super) gflops: f64,
    /// From nothing but loaded code to the end of the first step.
    pub(super) first_step_ms: f64,
    /// After the same few steps for everybody.
    pub(super) loss: f64,
    /// Made up to the first step.
    pub(super) pipelines: f64,
    /// Of each step.
    pub(super) submits: f64,
    /// Of each step.
    pub(super) dispatches: f64,
}

/// An engine's line in a table: numbers, or why there are none.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) contestant: Contestant,
    pub(super) measured: Result<Measured, String>,
}

/// What a device does at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// Of multiplying and adding in registers.
    pub(super) gflops: f64,
    /// Of bytes read and written by copying.
    pub(super) copy_gbps: f64,
}

/// What the devices do at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) cpu: Option<Limit>,
    pub(super) webgpu: Option<Limit>,
}

/// All engines on one workload.
pub(super) struct Table {
    pub(super) workload: String,
    pub(super) flops: f64,
    pub(super) lines: Vec<Line>,
    pub(super) limits: Limits,
}

/// How an engine stands to the others.
struct Ratios {
    /// How many times faster than the fastest peer on the same device.
    peer: Option<f64>,
    /// Its share of the multiply-add loop's speed on the same device.
    limit: Option<f64>,
    /// Whether its loss is ours.
    same_loss: Option<bool>,
}

impl Table {
    fn ratios(&self, contestant: Contestant, measured: &Measured) -> Ratios {
        let done = |line: &&Line| line.measured.is_ok();
        let is_peer =
            |line: &&Line| line.contestant.device == contestant.device && line.contestant.family != "ours";
        let times = self.lines.iter().filter(done).filter(is_peer).filter_map(Line::ms);
        let ours = self.lines.iter().filter(|line| line.contestant.family == "ours");
        let our_loss = ours.filter_map(|line| line.measured.as_ref().ok()).map(|ours| ours.loss).next();
        let limit = match contestant.device {
            "cpu" => self.limits.cpu,
            "webgpu" => self.limits.webgpu,
            _ => None,
        };
        Ratios {
            peer: times.min_by(f64::total_cmp).map(|fastest| fastest / measured.ms),
            limit: limit.map(|limit| measured.gflops / limit.gflops),
            same_loss: our_loss.map(|ours| (measured.loss - ours).abs() <= SAME_LOSS * ours.abs()),
        }
    }

    pub(super) fn json(&self) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(|line| self.line_json(line)).collect();
        json!({ "workload": self.workload, "flops": self.flops, "engines": lines })
    }

    fn line_json(&self, line: &Line) -> Value {
        let Contestant { name, family, device, .. } = line.contestant;
        let measured = match &line.measured {
            Ok(measured) => measured,
            Err(fault) => return json!({ "name": name, "family": family, "device": device, "cannot": fault }),
        };
        let Ratios { peer, limit, same_loss } = self.ratios(line.contestant, measured);
        json!({
            "name": name, "family": family, "device": device,
            "ms": measured.ms, "fastest_ms": measured.fastest_ms, "samples_ms": measured.samples_ms,
            "gflops": measured.gflops, "share_of_limit": limit, "times_fastest_peer": peer,
            "first_step_ms": measured.first_step_ms, "loss": measured.loss, "same_loss": same_loss,
            "pipelines": measured.pipelines, "submits": measured.submits, "dispatches": measured.dispatches,
        })
    }

    fn cells(&self, contestant: Contestant, measured: &Measured) -> String {
        let ratios = self.ratios(contestant, measured);
        let mut cells = vec![
            Some(significant(measured.ms)),
            Some(significant(measured.fastest_ms)),
            Some(significant(measured.gflops)),
            ratios.limit.map(|share| format!("{:.0} %", share * 100.0)),
            ratios.peer.map(|ratio| format!("{ratio:.2}")),
            Some(format!("{:.0}", measured.first_step_ms)),
        ];
        if contestant.device == "webgpu" {
            let counts = [measured.pipelines, measured.submits, measured.dispatches];
            cells.extend(counts.map(|count| Some(significant(count))));
        }
        let shown = cells.into_iter().map(|cell| format!("{:>11}", cell.unwrap_or_else(|| "-".into())));
        let mut shown: String = shown.collect();
        if ratios.same_loss == Some(false) {
            shown.push_str("  another loss than ours");
        }
        shown
    }
}

impl Line {
    fn ms(&self) -> Option<f64> {
        self.measured.as_ref().ok().map(|measured| measured.ms)
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let heads = [
            "ms/step",
            "fastest",
            "GFLOP/s",
            "of limit",
            "x peer",
            "first ms",
            "pipelines",
            "submits",
            "dispatches",
        ];
        writeln!(f, "{}: {:.3} MFLOP a step in products", self.workload.to_uppercase(), self.flops / 1e6)?;
        writeln!(f, "  {:<38}{}", "", heads.map(|head| format!("{head:>11}")).concat())?;
        for line in &self.lines {
            let shown = match &line.measured {
                Ok(measured) => self.cells(line.contestant, measured),
                Err(fault) => format!(" cannot: {fault}"),
            };
            writeln!(f, "  {:<38}{shown}", line.contestant.name)?;
        }
        Ok(())
    }
}

/// Three significant digits.
fn significant(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        small if small >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

impl Limits {
    pub(super) fn json(&self) -> Value {
        let of = |limit: Option<Limit>| {
            limit.map(|limit| json!({ "gflops": limit.gflops, "copy_gbps": limit.copy_gbps }))
        };
        json!({ "cpu": of(self.cpu), "webgpu": of(self.webgpu) })
    }
}

impl Display for Limits {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (limit, name) in [(self.cpu, "processor, one thread in wasm"), (self.webgpu, "WebGPU adapter")] {
            let Some(Limit { gflops, copy_gbps }) = limit else { continue };
            writeln!(f, "limits of the {name}: {gflops:.1} GFLOP/s multiply-add, {copy_gbps:.1} GB/s copy")?;
        }
        Ok(())
    }
}

/// Bytes after gzip.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Engine, model, benchmark, and the standard library they use, for both back ends.
    pub(super) ours: usize,
    /// What binds it to JavaScript.
    pub(super) glue: usize,
    pub(super) jax: usize,
    pub(super) tfjs: usize,
    pub(super) tfjs_wasm: usize,
}

impl Sizes {
    pub(super) fn json(&self) -> Value {
        let Self { ours, glue, jax, tfjs, tfjs_wasm } = self;
        json!({ "ours_wasm": ours, "ours_glue": glue, "jax": jax, "tfjs": tfjs, "tfjs_wasm": tfjs_wasm })
    }
}

impl Display for Sizes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [ours, glue, jax, tfjs, tfjs_wasm] =
            [self.ours, self.glue, self.jax, self.tfjs, self.tfjs_wasm].map(|bytes| bytes / 1000);
        writeln!(f, "gzipped: ours {ours} KB of wasm and {glue} KB of glue (whole bundle, both back ends),")?;
        writeln!(f, "  jax-js {jax} KB, TF.js {tfjs} KB and {tfjs_wasm} KB of wasm (each with our data)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::contestants::ALL;

    fn measured(ms: f64, loss: f64) -> Measured {
        Measured {
            ms,
            fastest_ms: ms,
            samples_ms: vec![ms],
            gflops: 50.0 / ms,
            first_step_ms: 1.0,
            loss,
            pipelines: 0.0,
            submits: 0.0,
            dispatches: 0.0,
        }
    }

    #[test]
    fn ratios_are_to_the_fastest_peer_on_the_same_device() {
        let line = |name: &str, measured: Result<Measured, String>| Line {
            contestant: ALL.into_iter().find(|one| one.name == name).unwrap(),
            measured,
        };
        let table = Table {
            workload: "w1".into(),
            flops: 5e7,
            lines: vec![
                line("ours", Ok(measured(5.0, 2.0))),
                line("jax-js wasm", Ok(measured(10.0, 2.1))),
                line("TF.js wasm", Err("no".into())),
                line("jax-js WebGPU", Ok(measured(1.0, 2.0))),
            ],
            limits: Limits { cpu: Some(Limit { gflops: 20.0, copy_gbps: 9.0 }), webgpu: None },
        };
        let all = table.json();
        let ours = &all["engines"][0];
        assert_eq!(
            (ours["times_fastest_peer"].as_f64(), ours["share_of_limit"].as_f64()),
            (Some(2.0), Some(0.5))
        );
        assert_eq!(all["engines"][1]["same_loss"], json!(false));
        assert_eq!(all["engines"][2]["cannot"], json!("no"));
        let shown = table.to_string();
        assert!(shown.contains("cannot: no") && shown.contains("another loss than ours"), "{shown}");
    }
}
