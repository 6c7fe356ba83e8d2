//! Who has which samples.

use lichen_learn::Dataset;
use lichen_model::Answers;

use super::random::Random;

/// Fewest samples of a peer.
const FEWEST: usize = 8;

/// How the samples are spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shards {
    /// Everybody has the same number, drawn from all.
    Alike,
    /// Of every class each has a share drawn from a Dirichlet distribution: the smaller the number, the fewer classes a peer
    /// has (Hsu et al., 2019).
    Dirichlet(f64),
}

/// The label of every sample.
pub(crate) fn labels(data: &Dataset) -> Vec<u32> {
    let all: Vec<u32> = (0..u32::try_from(data.len()).unwrap()).collect();
    match data.gather(&all).1 {
        Answers::Labels(labels) => labels,
        Answers::Values(_) => panic!("the digits have labels"),
    }
}

/// Gives every peer its samples, of which each is of a kind.
pub(crate) fn split(
    kinds: &[u32],
    mut samples: Vec<u32>,
    peers: usize,
    shards: Shards,
    seed: u64,
) -> Vec<Vec<u32>> {
    let mut random = Random::new(seed);
    for at in 0..samples.len() {
        let rest = samples.len() - at;
        samples.swap(at, at + random.below(rest));
    }
    match shards {
        Shards::Alike => {
            let size = samples.len() / peers;
            samples.chunks_exact(size).take(peers).map(<[u32]>::to_vec).collect()
        }
        Shards::Dirichlet(alpha) => loop {
            let parts = uneven(kinds, &samples, peers, alpha, &mut random);
            if parts.iter().all(|part| part.len() >= FEWEST) || peers > samples.len() / (4 * FEWEST) {
                break parts.into_iter().filter(|part| !part.is_empty()).collect();
            }
        },
    }
}

fn uneven(kinds: &[u32], samples: &[u32], peers: usize, alpha: f64, random: &mut Random) -> Vec<Vec<u32>> {
    let kind_of = |sample: &u32| kinds[*sample as usize];
    let count = samples.iter().map(kind_of).max().map_or(0, |kind| kind + 1);
    let mut parts = vec![Vec::new(); peers];
    for kind in 0..count {
        let shares: Vec<f64> = (0..peers).map(|_peer| random.gamma(alpha)).collect();
        let whole: f64 = shares.iter().sum();
        for sample in samples.iter().filter(|sample| kind_of(sample) == kind) {
            let mut at = random.unit() * whole;
            let owner = shares.iter().position(|share| {
                at -= share;
                at < 0.0
            });
            parts[owner.unwrap_or(0)].push(*sample);
        }
    }
    parts
}
