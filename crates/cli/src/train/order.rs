//! Which sample is trained on next.

use clap::ValueEnum;
use lichen_model::program::{random_bits, stream_key};

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub(super) enum Order {
    /// A fresh permutation of all samples in every pass, given by the seed.
    Shuffled,
    /// As the file has them, again from the start when they are used up.
    Sequential,
}

/// Which sample comes next.
pub(super) struct SampleOrder {
    order: Order,
    seed: u64,
    pass: u32,
    at: usize,
    permutation: Vec<usize>,
}

impl SampleOrder {
    pub(super) fn new(order: Order, seed: u64, count: usize) -> Self {
        let mut new = Self { order, seed, pass: 0, at: 0, permutation: (0..count).collect() };
        new.shuffle();
        new
    }

    /// Fisher and Yates's shuffle of the samples in their given order, anew for every pass.
    fn shuffle(&mut self) {
        if self.order == Order::Sequential {
            return;
        }
        let folded = u32::try_from((self.seed ^ (self.seed >> 32)) & 0xffff_ffff).unwrap_or(0);
        let key = stream_key(folded, self.pass);
        self.permutation.sort_unstable();
        for last in (1..self.permutation.len()).rev() {
            let number = u32::try_from(last).unwrap_or(u32::MAX);
            self.permutation.swap(last, random_bits(key, number) as usize % (last + 1));
        }
    }

    /// Leaves out so many samples.
    pub(super) fn skip(&mut self, samples: u64) {
        let count = self.permutation.len() as u64;
        self.pass = u32::try_from(samples / count).unwrap_or(u32::MAX);
        self.at = usize::try_from(samples % count).unwrap_or(0);
        self.shuffle();
    }

    pub(super) fn next(&mut self) -> usize {
        if self.at == self.permutation.len() {
            self.at = 0;
            self.pass += 1;
            self.shuffle();
        }
        let sample = self.permutation.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_takes_every_sample_once() {
        let mut order = SampleOrder::new(Order::Shuffled, 5, 10);
        let passes: Vec<Vec<usize>> = (0..2).map(|_| (0..10).map(|_| order.next()).collect()).collect();
        for pass in &passes {
            let mut sorted = pass.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(passes[0], passes[1]);
        let mut later = SampleOrder::new(Order::Shuffled, 5, 10);
        later.skip(13);
        assert_eq!(later.next(), passes[1][3]);
    }
}
