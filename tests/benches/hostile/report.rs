//! What the phases gave, as a table or as JSON.

use std::fmt;

use anyhow::Result;
use serde_json::{Value, json};

use crate::honest::Honest;
use crate::target::Target;

/// Resident memory that the relay stays below, in bytes.
const MEMORY: u64 = 512 * 1024 * 1024;

/// The 99th percentile of an honest append that the relay stays below, in milliseconds.
const LATENCY_MS: f64 = 500.0;

/// Accuracy that an attack may take from the model.
const LOSS_OF_ACCURACY: f64 = 0.05;

/// The table's first row.
const HEAD: &str =
    "phase            peak MiB  now MiB  append p50   p99 ms  ok/refused  rounds  accuracy  least  log";

#[derive(Default)]
pub(crate) struct Report {
    phases: Vec<Phase>,
}

/// One attack, or a time without one.
pub(crate) struct Phase {
    name: String,
    peak: u64,
    memory: u64,
    median_ms: f64,
    p99_ms: f64,
    appended: u64,
    refused: u64,
    rounds: u64,
    accuracy: f64,
    least_accuracy: f64,
    log: f64,
    /// What the attacker did and got.
    pub(crate) remark: String,
}

impl Phase {
    /// What happened since the phase began.
    pub(crate) fn take(name: String, target: &Target, honest: &mut Honest) -> Result<Self> {
        let felt = honest.felt();
        let count = felt.latencies_ms.len() as u64;
        Ok(Self {
            name,
            peak: target.peak()?,
            memory: target.memory()?,
            median_ms: percentile(&felt.latencies_ms, 50),
            p99_ms: percentile(&felt.latencies_ms, 99),
            appended: count - felt.refused.min(count),
            refused: felt.refused,
            rounds: felt.seen.rounds(),
            accuracy: felt.seen.accuracy,
            least_accuracy: felt.seen.least_accuracy.min(felt.seen.accuracy),
            log: target.length()?,
            remark: String::new(),
        })
    }

    fn faults(&self, before: f64) -> Vec<&'static str> {
        let found = [
            (self.peak >= MEMORY, "memory"),
            (self.p99_ms >= LATENCY_MS, "latency"),
            (self.refused > 0, "honest entries refused"),
            (self.rounds == 0, "no round settled"),
            (self.least_accuracy < before - LOSS_OF_ACCURACY, "accuracy"),
        ];
        found.into_iter().filter(|(is_fault, _)| *is_fault).map(|(_, name)| name).collect()
    }

    /// A row of the table, and one more for each bound that was not kept.
    fn row(&self, before: f64) -> String {
        let mib = |bytes: u64| bytes >> 20;
        let mut row = format!(
            "{:<16} {:>8} {:>8} {:>10.1} {:>8.1} {:>7}/{:<4} {:>6} {:>9.3} {:>6.3} {:>5.0}  {}\n",
            self.name,
            mib(self.peak),
            mib(self.memory),
            self.median_ms,
            self.p99_ms,
            self.appended,
            self.refused,
            self.rounds,
            self.accuracy,
            self.least_accuracy,
            self.log,
            self.remark
        );
        for fault in self.faults(before) {
            row.push_str("  beyond its bound: ");
            row.push_str(fault);
            row.push('\n');
        }
        row
    }

    fn json(&self, before: f64) -> Value {
        json!({
            "phase": self.name, "peak_bytes": self.peak, "memory_bytes": self.memory, "median_ms": self.median_ms,
            "p99_ms": self.p99_ms, "appended": self.appended, "refused": self.refused, "rounds": self.rounds,
            "accuracy": self.accuracy, "least_accuracy": self.least_accuracy, "log_length": self.log,
            "attacker": self.remark, "faults": self.faults(before),
        })
    }
}

/// The value that so many percent of the sorted values do not exceed; 0 where there are none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

impl Report {
    /// Adds a phase, and says at once what came of it: all of them take minutes.
    pub(crate) fn add(&mut self, phase: Phase) {
        self.phases.push(phase);
        let before = self.accuracy_before();
        if let Some(phase) = self.phases.last() {
            eprint!("{}", phase.row(before));
        }
    }

    fn accuracy_before(&self) -> f64 {
        self.phases.first().map_or(0.0, |phase| phase.accuracy)
    }

    /// Whether every figure stayed within its bound in every phase.
    pub(crate) fn holds(&self) -> bool {
        let before = self.accuracy_before();
        self.phases.iter().all(|phase| phase.faults(before).is_empty())
    }

    pub(crate) fn json(&self) -> Value {
        let before = self.accuracy_before();
        let phases: Vec<Value> = self.phases.iter().map(|phase| phase.json(before)).collect();
        json!({ "phases": phases, "holds": self.holds() })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        let before = self.accuracy_before();
        for phase in &self.phases {
            f.write_str(&phase.row(before))?;
        }
        writeln!(
            f,
            "bounds: {} MiB, p99 of an append {LATENCY_MS} ms, no honest entry refused, rounds go on, accuracy at most \
             {LOSS_OF_ACCURACY} below that before",
            MEMORY >> 20
        )?;
        f.write_str(if self.holds() { "all were kept\n" } else { "not all were kept\n" })
    }
}
