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

/// Gives every peer its samples.
pub(crate) fn split(
    data: &Dataset,
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
            let parts = uneven(data, &samples, peers, alpha, &mut random);
            if parts.iter().all(|part| part.len() >= FEWEST) || peers > samples.len() / (4 * FEWEST) {
                break parts.into_iter().filter(|part| !part.is_empty()).collect();
            }
        },
    }
}

fn uneven(data: &Dataset, samples: &[u32], peers: usize, alpha: f64, random: &mut Random) -> Vec<Vec<u32>> {
    let (_x, answers) = data.gather(samples);
    let Answers::Labels(labels) = answers else { panic!("the digits have labels") };
    let classes = labels.iter().max().map_or(0, |label| label + 1);
    let mut parts = vec![Vec::new(); peers];
    for class in 0..classes {
        let shares: Vec<f64> = (0..peers).map(|_peer| random.gamma(alpha)).collect();
        let whole: f64 = shares.iter().sum();
        let of_class = samples.iter().zip(&labels).filter(|(_sample, label)| **label == class);
        for (sample, _label) in of_class {
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
