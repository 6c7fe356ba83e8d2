//! How often honest updates are taken for copies, and hostile copies are not: `cargo xtask bench copies`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a benchmark may end where something is wrong"
)]

#[path = "../tests/swarm/mod.rs"]
#[expect(dead_code, reason = "other benches use the rest")]
mod swarm;

use lichen_campaign::Encoding;
use lichen_learn::{Update, copies, cosine, overlap};
use swarm::hostile::Attack;
use swarm::{Sent, Setting, Shards, watch, wide};

const PEERS: usize = 10;
const ROUNDS: u64 = 24;
const SEEDS: u64 = 2;

/// What was seen of a kind of swarm.
#[derive(Default)]
struct Seen {
    /// Pairs of honest updates, and those of them that were taken for copies.
    pairs: usize,
    alarms: usize,
    cosine: f64,
    overlap: f64,
    /// Hostile updates, and those that were found to be copies.
    hostile: usize,
    found: usize,
}

fn main() {
    println!(
        "{PEERS} peers, {ROUNDS} rounds, seeds 1 to {SEEDS}.\n\n| samples | codec | honest pairs | taken for copies | greatest cosine | \
         most places in common | mimics found | disguised copies found |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|");
    for (shards, word) in [(Shards::Alike, "alike"), (Shards::Dirichlet(0.1), "Dirichlet(0.1)")] {
        for codec in ["dense", "int8", "sign", "sparse"] {
            let [mimic, disguised] =
                [Attack::Mimic, Attack::Disguised].map(|attack| see(codec, shards, attack));
            let common =
                if codec == "sparse" { format!("{:.0} %", mimic.overlap * 100.0) } else { "–".to_owned() };
            println!(
                "| {word} | {codec} | {} | {:.2} % | {:.3} | {common} | {:.0} % | {:.0} % |",
                mimic.pairs,
                mimic.alarms as f64 * 100.0 / mimic.pairs as f64,
                mimic.cosine,
                mimic.found as f64 * 100.0 / mimic.hostile as f64,
                disguised.found as f64 * 100.0 / disguised.hostile as f64,
            );
        }
    }
}

/// Swarms of which three peers send copies.
fn see(codec: &str, shards: Shards, attack: Attack) -> Seen {
    let manifest = wide(&format!("codec = \"{codec}\""));
    let mut seen = Seen::default();
    for seed in 1..=SEEDS {
        let honest = Setting::honest(&manifest, PEERS, shards, seed, ROUNDS);
        let setting = Setting { attack, hostile: 3, ..honest };
        let encoding = if codec == "sparse" { Encoding::Sparse { keep: 64 } } else { Encoding::Dense };
        watch(&setting, &mut |sent| seen.look(encoding, sent));
    }
    seen
}

impl Seen {
    fn look(&mut self, encoding: Encoding, sent: &[Sent]) {
        let updates: Vec<&Update> = sent.iter().map(|sent| &sent.update).collect();
        let alike = copies(encoding, &updates);
        let is_hostile = |place: usize| sent[place].is_hostile;
        self.alarms +=
            alike.iter().filter(|pair| !is_hostile(pair.first) && !is_hostile(pair.second)).count();
        for place in (0..sent.len()).filter(|place| is_hostile(*place)) {
            self.hostile += 1;
            self.found += usize::from(alike.iter().any(|pair| pair.first == place || pair.second == place));
        }
        for (second, one) in sent.iter().enumerate().filter(|(_place, sent)| !sent.is_hostile) {
            for other in sent[..second].iter().filter(|sent| !sent.is_hostile) {
                self.pairs += 1;
                self.cosine = self.cosine.max(cosine(&one.update, &other.update));
                self.overlap = self.overlap.max(overlap(&one.update, &other.update));
            }
        }
    }
}
