//! Trainings that the campaign's members repeated, and the word of the log on each, checked by repeating them once more, or the
//! piece of them that the evidence in the log points at.

use std::collections::{BTreeMap, BTreeSet};

use lichen_campaign::{Manifest, training_seed};
use lichen_learn::Dataset;
use lichen_record::{AccountId, Cid, EngineVersion, Evidence, MAX_BLOB, RoundNumber};
use lichen_round::{CampaignState, Change, Fault as Proof, FaultKind, Rules};
use lichen_settle::{Claim, Course, Dispute, Ruling, Trace, repeat, repeats, rule, state_length};

use crate::blobs::Blobs;
use crate::{BlobRole, Fault, Progress, Source};

/// Which of the trainings that the log decides about are repeated here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Repeat {
    /// None as a whole: of those in dispute only the piece in question, where evidence shows it.
    Pieces,
    /// Those about which two accounts said different things, and of these only the piece in question where evidence shows it.
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
    evidence: BTreeMap<(RoundNumber, AccountId), Evidence>,
    decided: Vec<Decision>,
    /// Accounts that contributed what their training does not give.
    pub(super) expelled: Vec<AccountId>,
}

/// What was checked here.
#[derive(Default)]
pub(super) struct Checked {
    /// Trainings repeated.
    pub(super) repeated: u64,
    /// Disputes settled by the piece that the evidence points at.
    pub(super) settled: u64,
    /// Steps that this took.
    pub(super) steps: u64,
}

/// A training that was drawn.
#[derive(Clone, Copy)]
struct Drawn {
    base: Cid,
    claim: Claim,
    engine: EngineVersion,
    learning_rate: f64,
}

/// What a training gives, by the word of the log.
struct Decision {
    round: RoundNumber,
    contributor: AccountId,
    drawn: Drawn,
    update: Cid,
    is_disputed: bool,
    evidence: Option<Evidence>,
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
                    let claim = Claim { update: accepted.update, trace: accepted.trace };
                    let (base, learning_rate) = (current.base(), state.learning_rate(*round));
                    Some(Drawn { base, claim, engine: accepted.engine?, learning_rate })
                });
                self.drawn.extend(accepted.map(|drawn| ((*round, *contributor), drawn)));
            }
            Change::Audited { round, contributor, agrees: false, evidence, .. } => {
                let key = (*round, *contributor);
                self.disputed.insert(key);
                self.evidence.extend(evidence.map(|evidence| (key, evidence)));
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
        let update = found.unwrap_or(drawn.claim.update);
        let evidence = self.evidence.remove(&key);
        self.decided.push(Decision { round, contributor, drawn, update, is_disputed, evidence });
    }

    /// Repeats trainings, or pieces of them, and compares; says how many.
    pub(super) async fn check<S: Source>(
        &self,
        blobs: &mut Blobs<'_, S>,
        manifest: &Manifest,
        data: &[u8],
        which: Repeat,
        progress: &mut impl FnMut(Progress),
    ) -> Result<Checked, Fault> {
        let is_chosen = |decision: &&Decision| {
            repeats(decision.drawn.engine) && (which == Repeat::All || decision.is_disputed)
        };
        let chosen: Vec<_> = self.decided.iter().filter(is_chosen).collect();
        let total = chosen.len() as u64;
        let mut checked = Checked::default();
        for (done, decision) in (1..).zip(chosen) {
            decision.check(blobs, manifest, data, which, &mut checked).await?;
            progress(Progress::Trainings(done, total));
        }
        Ok(checked)
    }
}

impl Decision {
    async fn check<S: Source>(
        &self,
        blobs: &mut Blobs<'_, S>,
        manifest: &Manifest,
        data: &[u8],
        which: Repeat,
        checked: &mut Checked,
    ) -> Result<(), Fault> {
        let Self { round, contributor, update: decided, .. } = *self;
        let role = BlobRole::Checkpoint(RoundNumber(round.0.saturating_sub(1)));
        let base = blobs.fetch(self.drawn.base, role, MAX_BLOB).await?;
        let rules = Rules::from(manifest);
        let shard = rules.split.shard(rules.seed, round, &contributor);
        let shard = Dataset::decode_samples(data, manifest, &shard)
            .map_err(|error| Fault::Campaign(format!("data: {error}")))?;
        let seed = training_seed(rules.seed, round, &contributor);
        let course = Course {
            base: &base,
            shard: &shard,
            steps: rules.steps,
            seed,
            learning_rate: self.drawn.learning_rate,
        };
        let wrong = |computed| Fault::Training { round, contributor, computed, decided };

        let claimed = self.drawn.claim.update;
        let (ruling, steps) = self.rule(blobs, manifest, &course).await?;
        if ruling != Ruling::Unsettled {
            checked.settled += 1;
            checked.steps += u64::from(steps);
            if (ruling == Ruling::Stands) != (decided == claimed) {
                return Err(wrong(if ruling == Ruling::Stands { claimed } else { self.after() }));
            }
            if which != Repeat::All {
                return Ok(());
            }
        }
        if which == Repeat::Pieces {
            return Ok(());
        }
        let repeated = repeat(manifest, &course, &self.drawn.claim, None, async || {}).await;
        let computed = repeated.map_err(|error| self.problem(&error))?.found;
        checked.repeated += 1;
        // Where evidence decided, the log knows that another update was contributed, and has the auditor's word for the right one.
        let is_right = match ruling {
            Ruling::Unsettled => computed == decided,
            Ruling::Stands | Ruling::Refuted => (computed == claimed) == (decided == claimed),
        };
        if is_right { Ok(()) } else { Err(wrong(computed)) }
    }

    /// Who is right by the evidence, and the steps that this took: nobody where there is none, or where its blobs are gone.
    async fn rule<S: Source>(
        &self,
        blobs: &mut Blobs<'_, S>,
        manifest: &Manifest,
        course: &Course<'_>,
    ) -> Result<(Ruling, u32), Fault> {
        let (Some(evidence), Some(trace)) = (&self.evidence, self.drawn.claim.trace) else {
            return Ok((Ruling::Unsettled, 0));
        };
        let role = BlobRole::Evidence(self.round);
        let states = Rules::from(manifest).states();
        let Ok(trace) = blobs.fetch(trace, role, Trace::length(states)).await else {
            return Ok((Ruling::Unsettled, 0));
        };
        let length = state_length(manifest).map_err(|error| self.problem(&error))?;
        let before = match evidence.before {
            Some(state) => blobs.fetch(state, role, length).await.ok(),
            None => None,
        };
        let dispute =
            Dispute { claim: &self.drawn.claim, evidence, trace: &trace, before: before.as_deref() };
        rule(manifest, course, &dispute, async || {}).await.map_err(|error| self.problem(&error))
    }

    /// What the piece in question gives, as the evidence says.
    fn after(&self) -> Cid {
        self.evidence.map_or(self.update, |evidence| evidence.after)
    }

    fn problem(&self, error: &impl ToString) -> Fault {
        Fault::Round { round: self.round, problem: error.to_string() }
    }
}
