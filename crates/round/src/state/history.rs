//! The checkpoints that rounds settled with, as far back as one may go.

use alloc::collections::VecDeque;

use lichen_record::{Cid, RoundNumber};

/// Settled results that are remembered, and so may be gone back to, besides the initial checkpoint.
const REMEMBERED: usize = 64;

/// The last results, and the initial checkpoint, which is that of round 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct History {
    initial: Cid,
    results: VecDeque<(RoundNumber, Cid)>,
}

impl History {
    pub(super) const fn new(initial: Cid) -> Self {
        Self { initial, results: VecDeque::new() }
    }

    pub(super) const fn initial(&self) -> Cid {
        self.initial
    }

    pub(super) fn settle(&mut self, round: RoundNumber, result: Cid) {
        if self.results.len() == REMEMBERED {
            self.results.pop_front();
        }
        self.results.push_back((round, result));
    }

    /// The last round that settled with this, if that is remembered.
    pub(super) fn round_of(&self, result: Cid) -> Option<RoundNumber> {
        self.all().find(|(_number, settled)| *settled == result).map(|(number, _result)| number)
    }

    /// The last result first, the initial checkpoint last.
    pub(super) fn all(&self) -> impl Iterator<Item = (RoundNumber, Cid)> + '_ {
        self.results.iter().rev().copied().chain([(RoundNumber(0), self.initial)])
    }
}
