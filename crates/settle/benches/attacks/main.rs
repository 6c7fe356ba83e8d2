//! Which rules of aggregation withstand which attacks: trains swarms on the digits and prints tables in Markdown.
//!
//! `cargo xtask bench attacks` takes less than ten minutes on two cores; with `--long`, it tries other shares of hostile peers and
//! every rule.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a benchmark may end where something is wrong"
)]

mod hostile;
mod random;
mod swarm;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hostile::{ATTACKS, Attack};
use lichen_campaign::{AggregationRule, Before, Rule};
use swarm::{Outcome, PEERS, Spread, Swarm, Trial};

const NEAREST: Option<Before> = Some(Before::NearestNeighbours);
const BUCKETING: Option<Before> = Some(Before::Bucketing);

/// Every rule, and with what before it, in the order of the tables' columns.
const RULES: [(&str, Rule, Option<Before>); 14] = [
    ("mean", Rule::Mean, None),
    ("median-norm clip", Rule::MedianNormClip, None),
    ("centered clip", Rule::CenteredClip, None),
    ("Multi-Krum", Rule::MultiKrum, None),
    ("coordinate median", Rule::CoordinateMedian, None),
    ("trimmed mean", Rule::TrimmedMean, None),
    ("geometric median", Rule::GeometricMedian, None),
    ("mixing + centered clip", Rule::CenteredClip, NEAREST),
    ("mixing + trimmed mean", Rule::TrimmedMean, NEAREST),
    ("mixing + geometric median", Rule::GeometricMedian, NEAREST),
    ("mixing + median-norm clip", Rule::MedianNormClip, NEAREST),
    ("mixing + Multi-Krum", Rule::MultiKrum, NEAREST),
    ("Krum", Rule::Krum, None),
    ("bucketing + geometric median", Rule::GeometricMedian, BUCKETING),
];
/// Those that are tried unless everything is.
const FEW: usize = 10;

struct Options {
    /// Rounds where the samples are spread evenly; by label, a model takes twice as many to learn as much.
    rounds: usize,
    /// Hostile peers, in percent.
    shares: Vec<usize>,
    rules: usize,
}

fn main() {
    let Some(options) = options() else {
        eprintln!("options: --long, --rounds N, --share PERCENT");
        std::process::exit(2);
    };
    let began = Instant::now();
    for share in &options.shares {
        table(Spread::Even, *share, options.rounds, options.rules);
        table(Spread::ByLabel, *share, 2 * options.rounds, options.rules);
    }
    println!("{:.0} s", began.elapsed().as_secs_f64());
}

/// None where something is not known.
fn options() -> Option<Options> {
    let mut options = Options { rounds: 12, shares: vec![30], rules: FEW };
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--long" => (options.shares, options.rules) = (vec![10, 20, 30, 45], RULES.len()),
            "--rounds" => options.rounds = arguments.next()?.parse().ok().filter(|rounds| *rounds > 0)?,
            "--share" => {
                options.shares = vec![arguments.next()?.parse().ok().filter(|share| (5..50).contains(share))?]
            }
            _ => return None,
        }
    }
    Some(options)
}

/// One table: attacks by rules.
fn table(spread: Spread, share: usize, rounds: usize, rules: usize) {
    let hostile = PEERS * share / 100;
    let rules: Vec<_> =
        RULES.iter().take(rules).map(|entry| (entry.0, rule(entry.1, entry.2, share))).collect();
    let trial = |rule, attack, without| Trial { spread, rule, attack, hostile, without, rounds };
    let alone = trial(AggregationRule::default(), Attack::None, true);
    let mut trials = vec![alone];
    for (_name, attack) in ATTACKS {
        trials.extend(rules.iter().map(|(_name, rule)| trial(*rule, attack, false)));
    }
    let outcomes = run(&trials);
    let best = outcomes[0].accuracy;
    println!(
        "{}, {rounds} rounds, {hostile} of {PEERS} hostile ({share} %). The others alone, by their mean: {:.1} %. Points lost against that \
         (accuracy)\n",
        if spread == Spread::Even { "Samples spread evenly" } else { "Samples spread by label" },
        best * 100.0
    );
    let names: Vec<&str> = rules.iter().map(|(name, _rule)| *name).collect();
    println!("| attack | {} |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len()));
    for ((name, _attack), row) in ATTACKS.iter().zip(outcomes[1..].chunks(rules.len())) {
        print_row(name, row, |one| {
            format!("{:.1} ({:.1})", (best - one.accuracy) * 100.0, one.accuracy * 100.0)
        });
    }
    let (_name, row) = ATTACKS.iter().zip(outcomes[1..].chunks(rules.len())).next_back().unwrap();
    print_row("pattern taken for 0", row, |one| format!("{:.1} %", one.backdoor * 100.0));
    let worst: Vec<String> = (0..rules.len())
        .map(|at| {
            let column = outcomes[1..].iter().skip(at).step_by(rules.len());
            format!("{:.1}", column.map(|one| (best - one.accuracy) * 100.0).fold(f64::MIN, f64::max))
        })
        .collect();
    println!("| worst | {} |\n", worst.join(" | "));
}

fn print_row(name: &str, row: &[Outcome], cell: impl Fn(&Outcome) -> String) {
    println!("| {name} | {} |", row.iter().map(cell).collect::<Vec<_>>().join(" | "));
}

/// The rule with what is reckoned with: 30 % hostile, or as many as there are.
fn rule(rule: Rule, before: Option<Before>, share: usize) -> AggregationRule {
    let reckoned = if before == BUCKETING { share.min(24) } else { share.max(30) };
    AggregationRule { rule, before, hostile: reckoned as f64 / 100.0 }
}

/// Runs trials on all cores.
fn run(trials: &[Trial]) -> Vec<Outcome> {
    let swarm = Swarm::new();
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(vec![Outcome::default(); trials.len()]);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, trial)) =
                    trials.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = swarm.run(trial);
                    outcomes.lock().unwrap()[at] = outcome;
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}
