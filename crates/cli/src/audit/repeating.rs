//! Trainings that the campaign's members repeated, and the word of the log on each, checked by repeating them once more.

use std::collections::{BTreeMap, BTreeSet};

use futures::executor::block_on;
use lichen_campaign::{Manifest, training_seed};
use lichen_learn::Dataset;
use lichen_record::{AccountId, Cid, EngineVersion, MAX_BLOB, RoundNumber};
use lichen_round::{CampaignState, Change, Fault as Proof, FaultKind, Rules};
use lichen_settle::{Course, repeat, repeats};

use super::{BlobRole, Blobs, Fault, Progress, Source};

/// Which of the trainings that the log decides about are repeated here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Those about which two accounts said different things.
    #[default]
    Disputed,
    /// All of them.
    All,
}

/// What members drew, repeated and decided.
#[derive(Default)]
pub(super) struct Decisions {
    drawn: BTreeMap<(RoundNumber, AccountId), Drawn>,
    disputed: BTreeSet<(RoundNumber, AccountId)>,
    decided: Vec<Decision>,
    /// Accounts that contributed what their training does not give.
    pub(super) expelled: Vec<AccountId>,
}

/// A training that was drawn.
#[derive(Clone, Copy)]
struct Drawn {
    base: Cid,
    claimed: Cid,
    engine: EngineVersion,
}

/// What a training gives, by the word of the log.
struct Decision {
    round: RoundNumber,
    contributor: AccountId,
    drawn: Drawn,
    update: Cid,
    is_disputed: bool,
}

impl Decisions {
    /// How many trainings the log decides about.
    pub(super) fn len(&self) -> u64 {
        self.decided.len() as u64
    }

    /// Takes in what an entry changed.
    pub(super) fn follow(&mut self, state: &CampaignState, change: &Change) {
        match change {
            Change::AuditDrawn { round, contributor, .. } => {
                let current = state.round().filter(|current| current.number() == *round);
                let accepted = current.and_then(|current| {
                    let accepted = current.contribution_of(contributor)?;
                    let drawn =
                        Drawn { base: current.base(), claimed: accepted.update, engine: accepted.engine? };
                    Some(drawn)
                });
                self.drawn.extend(accepted.map(|drawn| ((*round, *contributor), drawn)));
            }
            Change::Audited { round, contributor, agrees: false, .. } => {
                self.disputed.insert((*round, *contributor));
            }
            Change::AuditLapsed { round, contributor } => {
                self.drawn.remove(&(*round, *contributor));
            }
            Change::Confirmed { round, contributor } => self.decide(*round, *contributor, None),
            Change::Faulted(Proof { account, round, kind: FaultKind::NotTrained { found, .. } }) => {
                self.expelled.push(*account);
                self.decide(*round, *account, Some(*found));
            }
            _ => {}
        }
    }

    fn decide(&mut self, round: RoundNumber, contributor: AccountId, found: Option<Cid>) {
        let key = (round, contributor);
        let Some(drawn) = self.drawn.remove(&key) else { return };
        let is_disputed = self.disputed.remove(&key);
        let update = found.unwrap_or(drawn.claimed);
        self.decided.push(Decision { round, contributor, drawn, update, is_disputed });
    }

    /// Repeats trainings and compares; says how many.
    pub(super) fn check<S: Source>(
        &self,
        blobs: &mut Blobs<'_, S>,
        manifest: &Manifest,
        data: &[u8],
        which: Repeat,
        progress: &mut impl FnMut(Progress),
    ) -> Result<u64, Fault> {
        let is_chosen = |decision: &&Decision| {
            repeats(decision.drawn.engine) && (which == Repeat::All || decision.is_disputed)
        };
        let chosen: Vec<_> = self.decided.iter().filter(is_chosen).collect();
        let total = chosen.len() as u64;
        for (done, decision) in (1..).zip(chosen) {
            let computed = decision.repeat(blobs, manifest, data)?;
            if computed != decision.update {
                return Err(Fault::Training {
                    round: decision.round,
                    contributor: decision.contributor,
                    computed,
                    decided: decision.update,
                });
            }
            progress(Progress::Trainings(done, total));
        }
        Ok(total)
    }
}

impl Decision {
    fn repeat<S: Source>(
        &self,
        blobs: &mut Blobs<'_, S>,
        manifest: &Manifest,
        data: &[u8],
    ) -> Result<Cid, Fault> {
        let Self { round, contributor, .. } = *self;
        let role = BlobRole::Checkpoint(RoundNumber(round.0.saturating_sub(1)));
        let base = blobs.fetch(self.drawn.base, role, MAX_BLOB)?;
        let rules = Rules::from(manifest);
        let shard = rules.split.shard(rules.seed, round, &contributor);
        let shard = Dataset::decode_samples(data, manifest, &shard)
            .map_err(|error| Fault::Campaign(format!("data: {error}")))?;
        let seed = training_seed(rules.seed, round, &contributor);
        let course = Course { base: &base, shard: &shard, steps: rules.steps, seed };
        block_on(repeat(manifest, &course, async || {}))
            .map_err(|error| Fault::Round { round, problem: error.to_string() })
    }
}
