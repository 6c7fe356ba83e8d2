//! The order in which a training goes through its samples.

use alloc::vec::Vec;

/// Which samples each step of a training takes: the shard in a fresh random order for each epoch, cut into batches.
///
/// The order follows from the seed alone (`SplitMix64`, Fisher and Yates), so that anyone can replay a training. A
/// batch that would reach over an epoch's end takes the rest from the next epoch.
#[derive(Clone, Debug)]
pub struct Batches {
    shard: Vec<u32>,
    at: usize,
    batch: usize,
    random: SplitMix64,
}

impl Batches {
    /// Batches of `batch` samples from `shard`, in the order that `seed` gives.
    #[must_use]
    pub fn new(shard: Vec<u32>, batch: usize, seed: u64) -> Self {
        let at = shard.len();
        Self { shard, at, batch, random: SplitMix64(seed) }
    }

    /// The next step's samples; none if the shard has none.
    pub fn next_batch(&mut self) -> Vec<u32> {
        let mut batch = Vec::with_capacity(self.batch);
        while batch.len() < self.batch && !self.shard.is_empty() {
            if self.at == self.shard.len() {
                self.shuffle();
            }
            let wanted = self.batch - batch.len();
            let taken: Vec<u32> = self.shard.iter().skip(self.at).take(wanted).copied().collect();
            self.at += taken.len();
            batch.extend(taken);
        }
        batch
    }

    fn shuffle(&mut self) {
        for at in (1..self.shard.len()).rev() {
            self.shard.swap(at, self.random.below(at + 1));
        }
        self.at = 0;
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
#[derive(Clone, Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, by the upper half of a product; its bias is below `bound / 2^64`.
    #[expect(clippy::cast_possible_truncation, reason = "the upper half of the product is below `bound`")]
    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_takes_every_sample_once() {
        let mut batches = Batches::new((0..10).collect(), 4, 7);
        let taken: Vec<u32> = (0..5).flat_map(|_| batches.next_batch()).collect();
        for epoch in taken.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<u32>>());
        }
        assert_ne!(taken[..10], taken[10..], "each epoch has its own order");
    }

    #[test]
    fn the_seed_decides() {
        let order = |seed| Batches::new((0..100).collect(), 100, seed).next_batch();
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn the_order_is_the_published_one() {
        let first = Batches::new((0..8).collect(), 8, 42).next_batch();
        // Computed independently, by the words above in another language.
        assert_eq!(first, [4, 3, 2, 0, 7, 6, 1, 5]);
    }

    #[test]
    fn an_empty_shard_gives_empty_batches() {
        assert!(Batches::new(Vec::new(), 4, 1).next_batch().is_empty());
    }
}
