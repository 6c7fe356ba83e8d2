//! Throws changed and random bytes at every decoder that meets bytes from outside, for a given time.
//!
//! Each target starts from valid messages, changes them a few bytes at a time and keeps what is still accepted to
//! change it further. A panic, an accepted message that does not encode to the same bytes again, an accepted
//! forgery or an input that takes longer than a second is a finding: it is printed in hex and the exit status is 1.
//! The same seed gives the same inputs in the same order.

use std::io::{Seek, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;

mod datagrams;
mod differences;
mod mutation;
mod peers;
mod publications;
mod snapshots;
mod targets;
mod trainings;
mod trees;
mod webrtc;

use mutation::Mutator;
use targets::Target;

/// Inputs tried on one target before the next has its turn.
const BATCH: u32 = 256;

/// Most inputs kept for further changes, per target.
const MAX_CORPUS: usize = 512;

/// An input that takes longer is a finding.
const SLOW: Duration = Duration::from_secs(1);

/// Feed mutated and random bytes to every decoder.
#[derive(Parser)]
struct Arguments {
    /// Seconds to run in total.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the inputs; by default drawn from the clock and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// Fuzz only targets whose name contains this.
    #[arg(long, default_value = "")]
    target: String,
    /// Try this one input, in hex, instead.
    #[arg(long)]
    input: Option<String>,
}

/// An input that a target does not withstand.
struct Finding {
    target: &'static str,
    input: Vec<u8>,
    problem: String,
}

/// A target at work.
struct Run {
    target: Target,
    corpus: Vec<Vec<u8>>,
    tried: u64,
    accepted: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let chosen = targets::all().into_iter().filter(|target| target.name.contains(&arguments.target));
    let mut runs: Vec<Run> = chosen.map(Run::new).collect();
    anyhow::ensure!(!runs.is_empty(), "no target's name contains \"{}\"", arguments.target);
    // A panic is reported with its input below.
    std::panic::set_hook(Box::new(|_panic| {}));
    let mut witness = Witness::new()?;

    let finding = match &arguments.input {
        Some(hex) => try_one(&mut runs, &mut witness, &from_hex(hex)?)?,
        None => fuzz(&mut runs, &mut witness, &arguments)?,
    };
    witness.remove()?;
    for run in &runs {
        println!("{:<20} {:>10} inputs {:>9} accepted", run.target.name, run.tried, run.accepted);
    }
    let Some(finding) = finding else { return Ok(ExitCode::SUCCESS) };
    println!("{}: {}", finding.target, finding.problem);
    println!("try again with: --target {} --input {}", finding.target, to_hex(&finding.input));
    Ok(ExitCode::FAILURE)
}

fn fuzz(runs: &mut [Run], witness: &mut Witness, arguments: &Arguments) -> anyhow::Result<Option<Finding>> {
    let drawn = || std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_secs());
    let seed = arguments.seed.unwrap_or_else(drawn);
    println!("seed {seed}; the input at work is in {}", witness.path.display());
    let mut mutator = Mutator::new(seed);
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    // Every valid message first: a target that refuses those tests nothing.
    for run in runs.iter_mut() {
        for input in run.corpus.clone() {
            match run.attempt(witness, &input)? {
                Ok(true) => {}
                Ok(false) => return Ok(Some(run.finding(input, "a valid message is refused".into()))),
                Err(problem) => return Ok(Some(run.finding(input, problem))),
            }
        }
    }
    while Instant::now() < end {
        for run in runs.iter_mut() {
            if let Some(finding) = run.batch(&mut mutator, witness)? {
                return Ok(Some(finding));
            }
        }
    }
    Ok(None)
}

fn try_one(runs: &mut [Run], witness: &mut Witness, input: &[u8]) -> anyhow::Result<Option<Finding>> {
    for run in runs {
        if let Err(problem) = run.attempt(witness, input)? {
            return Ok(Some(run.finding(input.to_vec(), problem)));
        }
    }
    Ok(None)
}

impl Run {
    fn new(target: Target) -> Self {
        let corpus = target.valid.clone();
        Self { target, corpus, tried: 0, accepted: 0 }
    }

    fn batch(&mut self, mutator: &mut Mutator, witness: &mut Witness) -> anyhow::Result<Option<Finding>> {
        for _ in 0..BATCH {
            let input = mutator.input(&self.corpus, self.target.cap);
            match self.attempt(witness, &input)? {
                Err(problem) => return Ok(Some(self.finding(input, problem))),
                Ok(true) if self.corpus.len() < MAX_CORPUS => self.corpus.push(input),
                Ok(_accepted) => {}
            }
        }
        Ok(None)
    }

    /// Whether the target accepts the input, or what is wrong with the target.
    fn attempt(&mut self, witness: &mut Witness, input: &[u8]) -> anyhow::Result<Result<bool, String>> {
        witness.write(input)?;
        self.tried += 1;
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.target.accepts)(input)));
        let took = start.elapsed();
        Ok(match outcome {
            Err(panic) => Err(message(&*panic)),
            Ok(_) if took > SLOW => Err(format!("takes {} ms", took.as_millis())),
            Ok(accepted) => {
                self.accepted += u64::from(accepted);
                Ok(accepted)
            }
        })
    }

    fn finding(&self, input: Vec<u8>, problem: String) -> Finding {
        Finding { target: self.target.name, input, problem }
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panics: {}", text.unwrap_or_else(|| "without a message".into()))
}

/// The input at work, in a file: what ends the process altogether, such as a stack overflow, leaves it behind.
struct Witness {
    path: PathBuf,
    file: std::fs::File,
}

impl Witness {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("lichen-fuzz-{}.input", std::process::id()));
        let file = std::fs::File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Self { path, file })
    }

    fn write(&mut self, input: &[u8]) -> anyhow::Result<()> {
        self.file.rewind()?;
        self.file.write_all(input)?;
        self.file.set_len(input.len() as u64)?;
        Ok(())
    }

    fn remove(self) -> anyhow::Result<()> {
        Ok(std::fs::remove_file(&self.path)?)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> anyhow::Result<Vec<u8>> {
    anyhow::ensure!(text.is_ascii() && text.len().is_multiple_of(2), "not hex");
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(str::from_utf8(pair)?, 16)?)).collect()
}
