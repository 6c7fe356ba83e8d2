//! Who has which samples.

use lichen_learn::Dataset;
use lichen_model::Answers;

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

/// Random numbers that are the same every time (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A whole number below this one.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// From 0 up to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.unit(), self.unit());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// From the gamma distribution of this shape, below 1 (Marsaglia and Tsang, 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape + 1.0 - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.unit()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * (1.0 - self.unit()).powf(1.0 / shape);
            }
        }
    }
}
