//! Which samples are held out, and which ones an account trains on in a round.

use alloc::vec::Vec;

use lichen_record::{AccountId, RoundNumber};
use sha2::{Digest, Sha256};

/// How the samples of a shared data set are divided: a held-out part that nobody trains on, and a fresh random
/// shard of the rest for each account and round.
///
/// Everything follows from numbers that are public, so that anyone can replay another's work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Samples in the data set.
    pub samples: u32,
    /// Sample `i` is held out when `i % held_out_every == 0`; 0 holds out nothing.
    pub held_out_every: u32,
    /// Samples in one shard; more than there are means all of them.
    pub shard: u32,
}

impl Split {
    /// Whether this sample serves validation only.
    #[must_use]
    pub const fn is_held_out(&self, index: u32) -> bool {
        self.held_out_every != 0 && index.is_multiple_of(self.held_out_every)
    }

    /// The indices that serve validation, ascending.
    #[must_use]
    pub fn held_out(&self) -> Vec<u32> {
        (0..self.samples).filter(|&index| self.is_held_out(index)).collect()
    }

    /// The first so many of the indices that serve validation, or all if they are fewer.
    #[must_use]
    pub fn first_held_out(&self, most: u32) -> Vec<u32> {
        (0..self.samples).filter(|&index| self.is_held_out(index)).take(most as usize).collect()
    }

    /// The indices that may be trained on, ascending.
    #[must_use]
    pub fn training(&self) -> Vec<u32> {
        (0..self.samples).filter(|&index| !self.is_held_out(index)).collect()
    }

    /// Number of samples that may be trained on.
    #[must_use]
    pub const fn training_len(&self) -> u32 {
        let held_out = if self.held_out_every == 0 { 0 } else { self.samples.div_ceil(self.held_out_every) };
        self.samples - held_out
    }

    /// Samples that [`Split::shard`] gives: `shard`, or all that may be trained on if they are fewer.
    #[must_use]
    pub const fn shard_len(&self) -> u32 {
        let training = self.training_len();
        if self.shard < training { self.shard } else { training }
    }

    /// The indices that an account trains on in a round, in training order: the first [`Split::shard_len`] of a
    /// permutation (Fisher and Yates) drawn from SHA-256 over the seed, the round and the account.
    #[must_use]
    pub fn shard(&self, seed: u64, round: RoundNumber, account: &AccountId) -> Vec<u32> {
        let mut indices = self.training();
        let mut draws = Draws::new(b"lichen/shard/v1\0", seed, round, account);
        let len = self.shard_len() as usize;
        for at in 0..len {
            let rest = indices.len() - at;
            indices.swap(at, at + draws.below(rest));
        }
        indices.truncate(len);
        indices
    }
}

/// The seed for everything random in an account's training of a round, such as the order of batches.
#[must_use]
pub fn training_seed(seed: u64, round: RoundNumber, account: &AccountId) -> u64 {
    Draws::new(b"lichen/training/v1\0", seed, round, account).next()
}

/// Random numbers in the order of their drawing: block `i` of four is `SHA-256(key ‖ i)`, each number big-endian.
struct Draws {
    key: [u8; 32],
    block: [u8; 32],
    drawn: u64,
}

impl Draws {
    const PER_BLOCK: u64 = 4;

    fn new(domain: &[u8], seed: u64, round: RoundNumber, account: &AccountId) -> Self {
        let key = Sha256::new()
            .chain_update(domain)
            .chain_update(seed.to_be_bytes())
            .chain_update(round.0.to_be_bytes())
            .chain_update(account.as_bytes())
            .finalize()
            .into();
        Self { key, block: [0; 32], drawn: 0 }
    }

    fn next(&mut self) -> u64 {
        let block = self.drawn / Self::PER_BLOCK;
        let within = (self.drawn % Self::PER_BLOCK) as usize;
        if within == 0 {
            self.block =
                Sha256::new().chain_update(self.key).chain_update(block.to_be_bytes()).finalize().into();
        }
        self.drawn += 1;
        let (words, _none_left) = self.block.as_chunks::<8>();
        words.get(within).map_or(0, |word| u64::from_be_bytes(*word))
    }

    /// A number below `bound` (at least 1), each equally likely: numbers past the last whole multiple are redrawn.
    #[expect(clippy::cast_possible_truncation, reason = "the number is below a usize")]
    fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        let whole = u64::MAX - u64::MAX % bound;
        loop {
            let number = self.next();
            if number < whole {
                return (number % bound) as usize;
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_record::SigningKey;
    use proptest::prelude::*;

    use super::*;

    const DIGITS: Split = Split { samples: 1797, held_out_every: 5, shard: 480 };

    fn account(number: u8) -> AccountId {
        SigningKey::generate([number; 32]).account()
    }

    /// Computed with Python's hashlib after the documentation of [`Split::shard`] and [`Draws`].
    #[test]
    fn shards_and_seeds_are_golden() {
        let key = SigningKey::from_bytes(&[1; 32]).unwrap().account();
        let shard = DIGITS.shard(7, RoundNumber(3), &key);
        assert_eq!(&shard[..8], [1579, 1293, 1062, 344, 1796, 1154, 1787, 819]);
        assert_eq!(shard.iter().map(|index| u64::from(*index)).sum::<u64>(), 428_936);
        assert_eq!(training_seed(7, RoundNumber(3), &key), 959_842_398_845_167_949);
    }

    #[test]
    fn every_account_and_round_has_its_own_shard() {
        let shard = |seed, round, number| DIGITS.shard(seed, RoundNumber(round), &account(number));
        assert_ne!(shard(7, 1, 1), shard(7, 1, 2));
        assert_ne!(shard(7, 1, 1), shard(7, 2, 1));
        assert_ne!(shard(7, 1, 1), shard(8, 1, 1));
        assert_ne!(
            training_seed(7, RoundNumber(1), &account(1)),
            training_seed(7, RoundNumber(2), &account(1))
        );
    }

    #[test]
    fn every_sample_is_as_likely() {
        let mut drawn = [0u32; 40];
        let split = Split { samples: 40, held_out_every: 0, shard: 10 };
        for round in 0..4000 {
            for index in split.shard(1, RoundNumber(round), &account(1)) {
                drawn[index as usize] += 1;
            }
        }
        // Each is binomial with mean 1000 and deviation 27.4; five deviations are passed once in a million.
        assert!(drawn.iter().all(|count| (863..=1137).contains(count)), "{drawn:?}");
    }

    proptest! {
        #[test]
        fn a_shard_holds_distinct_training_samples(samples in 1u32..3000, held_out_every in 0u32..20, shard in 0u32..4000, seed: u64, round: u64) {
            let split = Split { samples, held_out_every, shard };
            let drawn = split.shard(seed, RoundNumber(round), &account(1));
            prop_assert_eq!(drawn.len(), split.shard_len() as usize);
            prop_assert!(drawn.iter().all(|index| *index < samples && !split.is_held_out(*index)));
            let mut distinct = drawn.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert_eq!(distinct.len(), drawn.len());
            prop_assert_eq!(drawn, split.shard(seed, RoundNumber(round), &account(1)));
        }

        #[test]
        fn held_out_and_training_samples_are_all(samples in 0u32..3000, held_out_every in 0u32..20) {
            let split = Split { samples, held_out_every, shard: 1 };
            let mut all = split.held_out();
            all.extend(split.training());
            all.sort_unstable();
            prop_assert_eq!(all, (0..samples).collect::<Vec<_>>());
            prop_assert_eq!(split.training().len(), split.training_len() as usize);
        }
    }
}
