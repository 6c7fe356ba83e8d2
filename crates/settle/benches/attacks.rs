//! Which rules of aggregation withstand which attacks: trains swarms on the digits and prints tables in Markdown.
//!
//! `cargo xtask bench attacks` takes some minutes; with `--long`, half an hour on one core, it tries other shares of hostile
//! peers. `--rules 16` tries every rule.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a benchmark may end where something is wrong"
)]

#[path = "../tests/swarm/mod.rs"]
#[expect(dead_code, reason = "`bench learning` uses the rest")]
mod swarm;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use swarm::hostile::{ATTACKS, Attack};
use swarm::{Measured, Outcome, Setting, Shards, digits, learn};

/// Peers of every swarm.
const PEERS: usize = 20;
/// What the samples are spread by, and where training starts, unless another is given.
const SEED: u64 = 7;
/// Rounds that a result is the mean of.
const LAST: usize = 3;

/// Every rule, and what a manifest says besides, in the order of the tables' columns.
const RULES: [(&str, &str, &str); 16] = [
    ("mean", "mean", ""),
    ("Zeno", "zeno", ""),
    ("FLTrust", "fltrust", ""),
    ("clip", "median-norm-clip", ""),
    ("centered", "centered-clip", ""),
    ("Multi-Krum", "multi-krum", ""),
    ("median", "coordinate-median", ""),
    ("trimmed mean", "trimmed-mean", ""),
    ("geometric", "geometric-median", ""),
    ("mixing, centered", "centered-clip", "nearest-neighbours"),
    ("mixing, trimmed", "trimmed-mean", "nearest-neighbours"),
    ("mixing, geometric", "geometric-median", "nearest-neighbours"),
    ("mixing, clip", "median-norm-clip", "nearest-neighbours"),
    ("mixing, Multi-Krum", "multi-krum", "nearest-neighbours"),
    ("Krum", "krum", ""),
    ("bucketing, geometric", "geometric-median", "bucketing"),
];
/// Those that are tried unless `--rules` says otherwise.
const FEW: usize = 12;

struct Options {
    /// Rounds where the samples are spread evenly; by label, a model takes twice as many to learn as much.
    rounds: u64,
    /// Hostile peers, in percent.
    shares: Vec<usize>,
    /// The first columns.
    rules: usize,
    seed: u64,
    threads: usize,
}

/// One table: attacks by rules.
struct Table<'o> {
    shards: Shards,
    rounds: u64,
    share: usize,
    options: &'o Options,
}

fn main() {
    let Some(options) = options() else {
        eprintln!("options: --long, --rounds N, --share PERCENT, --rules N, --seed N, --threads N");
        std::process::exit(2);
    };
    let began = Instant::now();
    for share in &options.shares {
        let table = |shards, rounds| Table { shards, rounds, share: *share, options: &options }.print();
        table(Shards::Alike, options.rounds);
        table(Shards::Dirichlet(0.1), 2 * options.rounds);
    }
    println!("{:.0} s", began.elapsed().as_secs_f64());
}

/// None where something is not known.
fn options() -> Option<Options> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { rounds: 12, shares: vec![30], rules: FEW, seed: SEED, threads };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next()?.parse().ok().filter(|number| *number > 0);
        match argument.as_str() {
            "--long" => options.shares = vec![10, 20, 30, 45],
            "--rounds" => options.rounds = number()? as u64,
            "--share" => options.shares = vec![number().filter(|share| (5..50).contains(share))?],
            "--rules" => options.rules = number()?.min(RULES.len()),
            "--seed" => options.seed = number()? as u64,
            "--threads" => options.threads = number()?,
            _ => return None,
        }
    }
    Some(options)
}

impl Table<'_> {
    fn hostile(&self) -> usize {
        PEERS * self.share / 100
    }

    fn print(&self) {
        let rules: Vec<_> = RULES.iter().take(self.options.rules).collect();
        let manifests: Vec<String> = rules.iter().map(|rule| manifest(rule, self.share)).collect();
        let alone = Setting { without: true, ..self.setting(&manifests[0], Attack::None) };
        // Where all send zeros, this rule learns from what it trains itself, and from nothing else.
        let fltrust = digits("rule = \"fltrust\"\n");
        let from_seen = Setting { hostile: PEERS, ..self.setting(&fltrust, Attack::Nothing) };
        let mut settings = vec![alone, from_seen];
        for (_name, attack) in ATTACKS {
            settings.extend(manifests.iter().map(|manifest| self.setting(manifest, attack)));
        }
        let outcomes = run(&settings, self.options.threads);
        let (best, seen, outcomes) = (accuracy(&outcomes[0]), accuracy(&outcomes[1]), &outcomes[2..]);
        let (count, share, rounds) = (self.hostile(), self.share, self.rounds);
        println!(
            "{:?}, {rounds} rounds, {count} of {PEERS} hostile ({share} %), seed {}.",
            self.shards, self.options.seed
        );
        println!(
            "The others alone, by their mean: {:.1} %; the samples that rules may see alone: {:.1} %. Points lost against the \
             former:\n",
            best * 100.0,
            seen * 100.0
        );
        println!("| attack | {} |", rules.iter().map(|rule| rule.0).collect::<Vec<_>>().join(" | "));
        println!("|---|{}", "---|".repeat(rules.len()));
        let lost = |outcome: &Outcome| (best - accuracy(outcome)) * 100.0;
        let rows = outcomes.chunks(rules.len());
        for ((name, _attack), row) in ATTACKS.iter().zip(rows.clone()) {
            print_row(name, row.iter().map(|one| format!("{:.1}", lost(one))));
        }
        for ((name, _attack), row) in
            ATTACKS.iter().zip(rows).filter(|((_name, one), _row)| one.is_backdoor())
        {
            let learnt = row.iter().map(|one| format!("{:.1} %", last(&one.backdoor) * 100.0));
            print_row(&format!("{name}: pattern taken for 0"), learnt);
        }
        let column = |at| outcomes.iter().skip(at).step_by(rules.len());
        let worst = |at| column(at).map(lost).fold(f64::MIN, f64::max);
        print_row("worst", (0..rules.len()).map(|at| format!("{:.1}", worst(at))));
        println!();
    }

    fn setting<'m>(&self, manifest: &'m str, attack: Attack) -> Setting<'m> {
        let (hostile, measured) = (self.hostile(), Measured::EveryOther);
        Setting {
            attack,
            hostile,
            measured,
            ..Setting::honest(manifest, PEERS, self.shards, self.options.seed, self.rounds)
        }
    }
}

/// The shipped campaign with this rule, which reckons with 30 % hostile or with as many as there are.
fn manifest((_name, rule, before): &(&str, &str, &str), share: usize) -> String {
    let mut text = format!("rule = \"{rule}\"\n");
    if !before.is_empty() {
        text += &format!("before = \"{before}\"\n");
    }
    if !["mean", "zeno", "fltrust"].contains(rule) {
        let reckoned = if *before == "bucketing" { share.min(24) } else { share.max(30) };
        text += &format!("hostile = {}\n", reckoned as f64 / 100.0);
    }
    digits(&text)
}

fn last(values: &[f64]) -> f64 {
    let last = &values[values.len().saturating_sub(LAST)..];
    last.iter().sum::<f64>() / last.len() as f64
}

fn accuracy(outcome: &Outcome) -> f64 {
    last(&outcome.accuracy)
}

fn print_row(name: &str, cells: impl Iterator<Item = String>) {
    println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

/// Has all of them learn, several at a time.
fn run(settings: &[Setting<'_>], threads: usize) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![Outcome::default(); settings.len()]);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, setting)) =
                    settings.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = learn(setting);
                    outcomes.lock().unwrap()[at] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}
