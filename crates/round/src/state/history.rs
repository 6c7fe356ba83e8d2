//! The checkpoints that rounds settled with, as far back as one may go.

use alloc::collections::VecDeque;

use lichen_record::{Cid, RoundNumber};

use crate::Outcome;
use crate::codec::coded;

/// Settled results that are remembered, and so may be gone back to, besides the initial checkpoint.
const REMEMBERED: usize = 64;

/// The last results, and the initial checkpoint, which is that of round 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct History {
    initial: Cid,
    results: VecDeque<(RoundNumber, Outcome)>,
}

coded!(struct History { initial, results } where |it: &Self| it.results.len() <= REMEMBERED);

impl History {
    pub(super) const fn new(initial: Cid) -> Self {
        Self { initial, results: VecDeque::new() }
    }

    pub(super) const fn initial(&self) -> Cid {
        self.initial
    }

    pub(super) fn settle(&mut self, round: RoundNumber, result: Outcome) {
        if self.results.len() == REMEMBERED {
            self.results.pop_front();
        }
        self.results.push_back((round, result));
    }

    /// The last round that settled with this checkpoint, if that is remembered, and what it came to.
    pub(super) fn last_with(&self, checkpoint: Cid) -> Option<(RoundNumber, Outcome)> {
        self.all().find(|(_number, settled)| settled.result == checkpoint)
    }

    /// The last result first, the initial checkpoint last.
    pub(super) fn all(&self) -> impl Iterator<Item = (RoundNumber, Outcome)> + '_ {
        self.results.iter().rev().copied().chain([(RoundNumber(0), self.initial.into())])
    }
}
