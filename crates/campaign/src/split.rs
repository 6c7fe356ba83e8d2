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
