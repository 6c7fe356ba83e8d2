use lichen_campaign::{Manifest, Split};

/// What a campaign's manifest says about its rounds. Two nodes with the same manifest have the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Least time from one round's opening to the next one's, in milliseconds.
    pub interval_ms: u64,
    /// How long after its opening a round waits for members that do not contribute, and how long after its closing
    /// for members that do not attest, in milliseconds.
    pub deadline_ms: u64,
    /// Fewest contributions to close a round with.
    pub minimum: u32,
    /// Equal attestations that settle a round, the coordinator's among them.
    pub quorum: u32,
    /// Rounds after which the campaign is finished.
    pub limit: u64,
    /// Seed for shards and training order.
    pub seed: u64,
    /// Local optimiser steps in a round.
    pub steps: u32,
    /// How the data is divided into shards.
    pub split: Split,
}

impl From<&Manifest> for Rules {
    fn from(manifest: &Manifest) -> Self {
        let rounds = &manifest.rounds;
        Self {
            interval_ms: rounds.interval_ms,
            deadline_ms: rounds.deadline_ms,
            minimum: rounds.minimum,
            quorum: rounds.quorum,
            limit: rounds.limit,
            seed: rounds.seed,
            steps: manifest.train.steps,
            split: manifest.data.split,
        }
    }
}
