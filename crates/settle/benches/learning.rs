//! What peers learn together by each codec, and what that costs: `cargo xtask bench learning`. With `--convolutional` or `--writer`
//! by another model than the dense one, with `--outer` by each outer optimiser.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a benchmark may fail"
)]

#[path = "../tests/swarm/mod.rs"]
#[expect(dead_code, reason = "`bench attacks` uses the rest")]
mod swarm;

#[path = "learning/models.rs"]
mod models;

use models::Workload;
use swarm::{Outcome, Setting, Shards, learn, wide};

const CODECS: [&str; 4] = ["dense", "int8", "sign", "sparse"];
const SEEDS: u64 = 3;

/// Bits a second of a slow home connection's way up.
const UPLINK: f64 = 1e6;

/// Outer optimisers with their defaults, and gentler ones of the two that have momentum.
const OUTER: [&str; 6] = [
    "optimizer = \"mean\"",
    "optimizer = \"momentum\"",
    "optimizer = \"nesterov\"",
    "optimizer = \"nesterov\"\nmomentum = 0.5",
    "optimizer = \"adam\"",
    "optimizer = \"yogi\"",
];
const OUTER_ROUNDS: u64 = 30;
const SPLITS: [(Shards, &str); 2] = [(Shards::Alike, "alike"), (Shards::Dirichlet(0.1), "Dirichlet(0.1)")];

fn main() {
    let is_given = |option: &str| std::env::args().any(|argument| argument == option);
    let is_long = is_given("--long");
    if is_given("--outer") {
        return outer(if is_long { SEEDS } else { 1 });
    }
    let workload = match (is_given("--convolutional"), is_given("--writer")) {
        (true, _) => models::convolutional(),
        (_, true) => models::writer(),
        _ => models::dense(),
    };
    codecs(
        &workload,
        if is_long { &[4, 16, 64] } else { &[4, 16] },
        if is_given("--once") { 1 } else { SEEDS },
    );
}

/// A table of what peers learn of this by each codec.
fn codecs(workload: &Workload, peers: &[usize], seeds: u64) {
    let rounds = workload.rounds;
    print!("{}:\n\n| peers | samples | codec | accuracy after {rounds} rounds |", workload.name);
    print!(" bytes a parameter and round | of dense |");
    if let Some(goal) = workload.goal {
        print!(" rounds to {goal} | sending until then at 1 Mbit/s |");
    }
    println!("\n|--:|---|---|--:|--:|--:|{}", workload.goal.map_or("", |_goal| "--:|--:|"));
    for peers in peers {
        for (shards, word) in SPLITS {
            let mut dense = 0;
            for codec in CODECS {
                let manifest = workload.with(&format!("[update]\ncodec = \"{codec}\""));
                let of = |seed| {
                    let honest = Setting::honest(&manifest, *peers, shards, seed, rounds);
                    learn(&Setting { material: Some(&workload.material), ..honest })
                };
                let outcomes: Vec<Outcome> = (1..=seeds).map(of).collect();
                if codec == CODECS[0] {
                    dense = outcomes[0].bytes;
                }
                println!("| {peers} | {word} | {codec} | {} |", row(&outcomes, dense, workload.goal));
            }
        }
    }
}

/// Accuracies by each outer optimiser, after a third of the rounds and after all.
fn outer(seeds: u64) {
    println!(
        "| peers | samples | `[outer]` | after {} rounds | after {OUTER_ROUNDS} rounds |",
        OUTER_ROUNDS / 3
    );
    println!("|--:|---|---|--:|--:|");
    for peers in [4, 16] {
        for (shards, word) in SPLITS {
            for outer in OUTER {
                let manifest = format!("{}\n[outer]\n{outer}\n", wide("codec = \"dense\""));
                let of = |seed| learn(&Setting::honest(&manifest, peers, shards, seed, OUTER_ROUNDS));
                let outcomes: Vec<Outcome> = (1..=seeds).map(of).collect();
                let mean = |at: u64| {
                    let all = outcomes.iter().map(|outcome| outcome.accuracy[at as usize - 1]);
                    all.sum::<f64>() / seeds as f64
                };
                let (third, last) = (mean(OUTER_ROUNDS / 3), mean(OUTER_ROUNDS));
                println!("| {peers} | {word} | `{}` | {third:.4} | {last:.4} |", outer.replace('\n', ", "));
            }
        }
    }
}

fn row(outcomes: &[Outcome], dense: usize, goal: Option<f64>) -> String {
    let Outcome { bytes, parameters, .. } = outcomes[0];
    let (least, most) = outcomes
        .iter()
        .map(Outcome::last)
        .fold((1.0, 0.0), |(least, most): (f64, f64), last| (least.min(last), most.max(last)));
    let mean = outcomes.iter().map(Outcome::last).sum::<f64>() / outcomes.len() as f64;
    let learnt = format!(
        "{mean:.4} ({least:.4} to {most:.4}) | {:.4} | {:.1} %",
        bytes as f64 / parameters as f64,
        bytes as f64 * 100.0 / dense as f64
    );
    let Some(goal) = goal else { return learnt };
    let rounds = |outcome: &Outcome| outcome.accuracy.iter().position(|accuracy| *accuracy >= goal);
    let reached: Option<Vec<usize>> = outcomes.iter().map(rounds).collect();
    let (rounds, seconds) = reached.map_or(("–".into(), "–".into()), |reached| {
        let mean = reached.iter().map(|round| *round as f64 + 1.0).sum::<f64>() / reached.len() as f64;
        (format!("{mean:.1}"), format!("{:.2} s", mean * bytes as f64 * 8.0 / UPLINK))
    });
    format!("{learnt} | {rounds} | {seconds}")
}
