use lichen_campaign::{Manifest, Split, Topology};

/// What a campaign's manifest says about its rounds. Two nodes with the same manifest have the same rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Which way updates go, and with it who aggregates and what settles a round.
    pub topology: Topology,
    /// Least time from one round's opening to the next one's, in milliseconds.
    pub interval_ms: u64,
    /// How long after its opening a round waits for members that do not contribute, and how long after its closing
    /// for members that do not attest, in milliseconds.
    pub deadline_ms: u64,
    /// Fewest contributions to close a round with.
    pub minimum: u32,
    /// Equal attestations that settle a round: in a hub the coordinator's among them, in a mesh never fewer than those
    /// of more than half of the contributors.
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

impl Rules {
    pub(crate) const fn is_mesh(&self) -> bool {
        matches!(self.topology, Topology::Mesh)
    }
}

impl From<&Manifest> for Rules {
    fn from(manifest: &Manifest) -> Self {
        let rounds = &manifest.rounds;
        Self {
            topology: rounds.topology,
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
