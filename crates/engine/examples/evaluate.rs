//! What an evaluation takes, in time and in memory: by an [`Evaluator`] alone, and beside a trainer that was opened for it.
//!
//! `cargo run --release -p lichen-engine --features bench --example evaluate` prints a line for each workload and way, each
//! measured in a process of its own.

use std::error::Error;
use std::process::Command;
use std::time::{Duration, Instant};

use lichen_engine::bench::ready;
use lichen_engine::workloads::{self, SEED, Workload};
use lichen_engine::{EngineKind, Evaluator, Trainer};
use lichen_model::{Parameters, initial_parameters};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Evaluations timed after the first.
const TIMES: u32 = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [way, index] = &arguments[..] {
        return one(way, index.parse()?);
    }
    println!(
        "{:<16} {:<10} {:>12} {:>12} {:>10}",
        "workload", "way", "first (ms)", "later (ms)", "peak (MB)"
    );
    for index in 0..workloads::all().len() {
        for way in ["trainer", "evaluator"] {
            let status = Command::new(std::env::current_exe()?).args([way, &index.to_string()]).status()?;
            if !status.success() {
                return Err(format!("workload {index} by {way} failed").into());
            }
        }
    }
    Ok(())
}

fn one(way: &str, index: usize) -> Result<()> {
    let workload = workloads::all().into_iter().nth(index).ok_or("no such workload")?;
    let parameters = initial_parameters(&workload.model, SEED)?;
    let (x, labels) = workload.batch(0);
    let began = Instant::now();
    let parameters = if way == "trainer" { through_trainer(&workload, &parameters)? } else { parameters };
    let mut evaluator = Evaluator::new(&workload.model);
    evaluator.evaluate(&parameters, &x, &labels)?;
    let first = began.elapsed();
    let began = Instant::now();
    for _ in 0..TIMES {
        evaluator.evaluate(&parameters, &x, &labels)?;
    }
    let later = began.elapsed() / TIMES;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{:<16} {way:<10} {:>12.2} {:>12.2} {:>10.1}",
        workload.name,
        milliseconds(first),
        milliseconds(later),
        peak()?
    );
    Ok(())
}

/// Lowers the training program and allocates what it needs, as whoever evaluates with a trainer has to.
fn through_trainer(workload: &Workload, parameters: &Parameters) -> Result<Parameters> {
    let mut trainer = ready(Trainer::new(EngineKind::Cpu, &workload.model, &workload.train))?;
    ready(trainer.load(parameters, SEED))?;
    Ok(ready(trainer.parameters())?)
}

/// The most memory that this process had, in megabytes, as Linux tells it.
fn peak() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak is told")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1e3)
}
