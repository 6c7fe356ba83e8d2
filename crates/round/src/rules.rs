//! The part of a manifest that decides which entries are admissible.

use lichen_campaign::model_spec::Loss;
use lichen_campaign::{Auditing, Changes, Manifest, Settlement, Split};
use lichen_record::{AccountId, EngineVersion, Metrics};

use crate::Refusal;

/// Largest mean loss of a classification that is believed: a cross entropy of a million nats is no training any more.
const MAX_CROSS_ENTROPY: u64 = 1_000_000;

/// Largest mean loss of a regression that is believed, whose answers may be large numbers and are squared.
const MAX_DIFFERENCE: u64 = 1_000_000_000_000_000_000;

/// What a campaign's manifest says about its rounds. Two nodes with the same manifest have the same rules, and those of a
/// [`CampaignState`](crate::CampaignState) also have the settings that the log changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Who settles a round.
    pub settlement: Settlement,
    /// Least time from one round's opening to the next one's, in milliseconds.
    pub interval_ms: u64,
    /// How long after its opening a round waits for members that do not contribute, and how long after its closing
    /// for members that do not attest, in milliseconds.
    pub deadline_ms: u64,
    /// How many members are drawn to contribute to a round; none where everybody may.
    pub cohort: Option<u32>,
    /// Fewest contributions to close a round with.
    pub minimum: u32,
    /// How often a round with fewer is extended by another deadline before it is skipped; none where it waits for ever.
    pub extensions: Option<u32>,
    /// Equal attestations that settle a round: the coordinator's among them where it settles, and otherwise
    /// never fewer than those of more than half of the contributors.
    pub quorum: u32,
    /// How many of a round's contributors are drawn to attest it; none where everybody may.
    pub committee: Option<u32>,
    /// Whether results are told as packed differences from their bases.
    pub packs_results: bool,
    /// Rounds after which the campaign is finished.
    pub limit: u64,
    /// Whether the campaign ends when its goal is reached.
    pub ends_at_goal: bool,
    /// The accuracy that it aims at, if it aims at one.
    pub target: Option<f64>,
    /// The local optimiser's step size before its schedule.
    pub learning_rate: f64,
    /// Who may pause, resume, finish and retire the campaign, and change settings; nobody where there is none.
    pub organiser: Option<AccountId>,
    /// Which settings that account may change.
    pub changes: Changes,
    /// Whether the outer optimiser carries something over from round to round.
    pub keeps_state: bool,
    /// Seed for shards and training order.
    pub seed: u64,
    /// Local optimiser steps in a round; where devices take as many as they come to, the most.
    pub steps: u32,
    /// Fewest of them where devices take as many as they come to; none where every training takes all.
    pub least_steps: Option<u32>,
    /// How the data is divided into shards.
    pub split: Split,
    /// Most samples that a contribution may claim to have trained on: those of its shard, or fewer where its steps do
    /// not get through the shard.
    pub samples: u32,
    /// Largest mean loss that a contribution may claim; the smallest is 0.
    pub max_loss: u64,
    /// How trainings are repeated by others, and what that earns; none where they are not.
    pub audit: Option<Auditing>,
    /// Fewest entries from one snapshot of the fold's state to the next; none where the log has none.
    pub snapshots: Option<u32>,
}

impl Rules {
    /// Whether a training after these rules can have looked like this.
    ///
    /// # Errors
    /// [`Refusal`] saying what cannot be.
    #[expect(clippy::cast_precision_loss, reason = "a bound need not be exact")]
    pub fn check_metrics(&self, metrics: &Metrics) -> Result<(), Refusal> {
        let least = self.least_steps.unwrap_or(1);
        if !(least..=self.steps).contains(&metrics.steps()) {
            return Err(Refusal::WrongSteps);
        }
        if !(0.0..=self.max_loss as f64).contains(&metrics.loss()) {
            return Err(Refusal::ImpossibleLoss);
        }
        Ok(())
    }

    /// How many states a contribution names that names any; 0 where trainings are not repeated.
    #[must_use]
    pub fn states(&self) -> u32 {
        self.audit.map_or(0, |audit| audit.states(self.steps))
    }

    /// A trace is of use where somebody else may get the same bits, and has to be there if the manifest says so.
    pub(crate) fn check_trace(&self, engine: Option<EngineVersion>, is_there: bool) -> Result<(), Refusal> {
        let can_be = self.audit.filter(|_audit| engine.is_some_and(EngineVersion::is_reproducible));
        let fits = match can_be {
            None => !is_there,
            Some(audit) => is_there || audit.every.is_none(),
        };
        if fits { Ok(()) } else { Err(Refusal::WrongTrace) }
    }
}

impl From<&Manifest> for Rules {
    fn from(manifest: &Manifest) -> Self {
        let rounds = &manifest.rounds;
        let split = manifest.data.split;
        Self {
            settlement: rounds.settlement,
            interval_ms: rounds.interval_ms,
            deadline_ms: rounds.deadline_ms,
            cohort: rounds.cohort,
            minimum: rounds.minimum,
            extensions: rounds.extensions,
            quorum: rounds.quorum,
            committee: rounds.committee,
            packs_results: manifest.result_codec.is_some(),
            limit: rounds.limit,
            ends_at_goal: manifest.ends_at().is_some(),
            target: manifest.campaign.target_accuracy,
            learning_rate: manifest.train.learning_rate,
            organiser: manifest.campaign.organiser_account,
            changes: manifest.changes,
            keeps_state: manifest.outer.moments() > 0,
            seed: rounds.seed,
            steps: manifest.train.steps,
            least_steps: manifest.train.budget.map(|budget| budget.least),
            split,
            samples: samples(split, manifest.train.batch, manifest.train.steps),
            max_loss: max_loss(manifest.model.loss),
            audit: manifest.audit,
            snapshots: manifest.log.snapshots,
        }
    }
}

/// Samples that so many batches hold: none is larger than the shard, and together they count each sample once.
fn samples(split: Split, batch: usize, steps: u32) -> u32 {
    let taken = u32::try_from(batch).unwrap_or(u32::MAX).saturating_mul(steps);
    split.shard_len().min(taken)
}

/// None of the losses can be negative.
const fn max_loss(loss: Loss) -> u64 {
    match loss {
        Loss::SoftmaxCrossEntropy | Loss::BinaryCrossEntropy => MAX_CROSS_ENTROPY,
        Loss::MeanSquaredError | Loss::MeanAbsoluteError | Loss::Huber => MAX_DIFFERENCE,
    }
}
