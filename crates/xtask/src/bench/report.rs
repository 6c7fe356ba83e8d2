//! Ratios to the fastest peer and to the device's limit, and how they are shown.

use std::fmt::Write as _;

use serde_json::Value;

/// Losses further apart than this (relative) are not those of the same model.
const SAME_LOSS: f64 = 1e-3;

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> Option<f64> {
    value.get(name).and_then(Value::as_f64)
}

/// The time of the fastest peer on a device.
fn fastest_peer(lines: &[Value], device: &str) -> Option<f64> {
    let peers = lines.iter().filter(|line| text(line, "device") == device && text(line, "family") != "ours");
    peers.filter_map(|line| number(line, "ms")).min_by(f64::total_cmp)
}

fn our_loss(lines: &[Value]) -> Option<f64> {
    let ours = lines.iter().filter(|line| text(line, "family") == "ours");
    ours.filter_map(|line| number(line, "loss_at_step_3")).next()
}

fn lines_of(workload: &Value) -> Vec<Value> {
    workload.get("engines").and_then(Value::as_array).cloned().unwrap_or_default()
}

/// Adds the ratios to every line.
pub(super) fn compare(result: &mut Value) {
    let limits = result["limits"].clone();
    let workloads = result.get_mut("workloads").and_then(Value::as_array_mut);
    for workload in workloads.into_iter().flatten() {
        let all = lines_of(workload);
        for line in workload.get_mut("engines").and_then(Value::as_array_mut).into_iter().flatten() {
            let ratios = Ratios::of(line, &all, &limits);
            line["times_fastest_peer"] = ratios.peer.into();
            line["share_of_limit"] = ratios.limit.into();
            line["same_loss"] = ratios.same_loss.into();
        }
    }
}

struct Ratios {
    /// How many times faster than the fastest peer on the same device.
    peer: Option<f64>,
    /// Its share of the multiply-add loop's speed on the same device.
    limit: Option<f64>,
    /// Whether its loss after the same steps is ours.
    same_loss: Option<bool>,
}

impl Ratios {
    fn of(line: &Value, all: &[Value], limits: &Value) -> Self {
        let device = text(line, "device");
        let peer = fastest_peer(all, device).zip(number(line, "ms")).map(|(peer, own)| peer / own);
        let limit = limits.get(device).and_then(|device| number(device, "gflops"));
        let limit = number(line, "gflops").zip(limit).map(|(own, limit)| own / limit);
        let losses = number(line, "loss_at_step_3").zip(our_loss(all));
        let same_loss = losses.map(|(own, ours)| (own - ours).abs() <= SAME_LOSS * ours.abs());
        Self { peer, limit, same_loss }
    }
}

/// One workload's table.
pub(super) fn table(workload: &str, flops: f64, lines: &[Value], limits: &Value) -> String {
    let mut out = String::new();
    let heads = ["ms/step", "fastest", "GFLOP/s", "of limit", "x peer", "first ms", "submits", "dispatches"];
    // Writing to a string does not fail.
    let _ = writeln!(out, "{}: {:.3} MFLOP a step in products", workload.to_uppercase(), flops / 1e6);
    let _ = writeln!(out, "  {:<38}{}", "", heads.map(|head| format!("{head:>11}")).concat());
    for line in lines {
        let _ = write!(out, "  {:<38}", text(line, "name"));
        if let Some(fault) = line.get("cannot").and_then(Value::as_str) {
            let _ = writeln!(out, " cannot: {fault}");
            continue;
        }
        let ratios = Ratios::of(line, lines, limits);
        let share = ratios.limit.map(|share| format!("{:.0} %", share * 100.0));
        let cells = [
            number(line, "ms").map(significant),
            number(line, "fastest_ms").map(significant),
            number(line, "gflops").map(significant),
            share,
            ratios.peer.map(|ratio| format!("{ratio:.2}")),
            number(line, "first_step_ms").map(|ms| format!("{ms:.0}")),
            number(line, "submits").map(significant),
            number(line, "dispatches").map(significant),
        ];
        let device = ratios.limit.is_some() && text(line, "device") == "webgpu";
        for cell in cells.into_iter().take(if device { 8 } else { 6 }) {
            let _ = write!(out, "{:>11}", cell.unwrap_or_else(|| "-".into()));
        }
        let _ = writeln!(
            out,
            "{}",
            if ratios.same_loss == Some(false) { "  another loss than ours" } else { "" }
        );
    }
    out
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

/// The devices' limits and the sizes.
pub(super) fn summary(result: &Value) -> String {
    let mut out = String::new();
    for (device, name) in [("cpu", "processor, one thread in wasm"), ("webgpu", "WebGPU adapter")] {
        let limits = &result["limits"][device];
        if let Some((gflops, copy)) = number(limits, "gflops").zip(number(limits, "copy_gbps")) {
            let _ =
                writeln!(out, "limits of the {name}: {gflops:.1} GFLOP/s multiply-add, {copy:.1} GB/s copy");
        }
    }
    let kilobytes = |name: &str| number(&result["sizes"], name).unwrap_or(f64::NAN) / 1000.0;
    let _ = writeln!(
        out,
        "gzipped: ours {:.0} KB wasm (both back ends, with {:.0} KB of glue), jax-js {:.0} KB, TF.js {:.0} KB and {:.0} KB wasm",
        kilobytes("ours_wasm_gzip"),
        kilobytes("ours_glue_gzip"),
        kilobytes("jax_gzip"),
        kilobytes("tfjs_gzip"),
        kilobytes("tfjs_wasm_gzip"),
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn ratios_are_to_the_fastest_peer_on_the_same_device() {
        let lines = json!([
            { "name": "ours", "family": "ours", "device": "cpu", "ms": 5.0, "gflops": 10.0, "loss_at_step_3": 2.0 },
            { "name": "a", "family": "jax", "device": "cpu", "ms": 10.0, "gflops": 5.0, "loss_at_step_3": 2.1 },
            { "name": "b", "family": "tfjs", "device": "cpu", "cannot": "no" },
            { "name": "c", "family": "tfjs", "device": "webgpu", "ms": 1.0 },
        ]);
        let limits = json!({ "cpu": { "gflops": 20.0, "copy_gbps": 9.0 } });
        let mut result = json!({ "limits": limits, "workloads": [{ "engines": lines.clone() }] });
        compare(&mut result);
        let ours = &result["workloads"][0]["engines"][0];
        assert_eq!(
            (ours["times_fastest_peer"].as_f64(), ours["share_of_limit"].as_f64()),
            (Some(2.0), Some(0.5))
        );
        assert_eq!(result["workloads"][0]["engines"][1]["same_loss"], json!(false));
        let table = table("w1", 5e7, lines.as_array().unwrap(), &limits);
        assert!(table.contains("cannot: no") && table.contains("another loss than ours"), "{table}");
    }
}
