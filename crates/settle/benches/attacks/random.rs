//! Random numbers for the swarm: the same for the same seed.

use std::f64::consts::TAU;

/// `SplitMix64` (Steele, Lea and Flood, 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1, never 0.
    fn unit(&mut self) -> f64 {
        (((self.next() >> 11) as f64) + 0.5) / (1u64 << 53) as f64
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = (self.unit() * (at + 1) as f64) as usize;
            items.swap(at, other);
        }
    }

    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// Marsaglia and Tsang, 2000, with their step for shapes below 1.
    fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape + 1.0 - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * self.unit().powf(1.0 / shape);
            }
        }
    }

    /// Shares that add up to 1.
    pub(crate) fn dirichlet(&mut self, alpha: f64, count: usize) -> Vec<f64> {
        let drawn: Vec<f64> = (0..count).map(|_| self.gamma(alpha)).collect();
        let sum: f64 = drawn.iter().sum();
        drawn.into_iter().map(|part| part / sum).collect()
    }
}
